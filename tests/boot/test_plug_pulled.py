"""A machine that is killed at any moment while four threads write: what fsync(2) promised is there, what was under way is there in
part at most, the file system's own replay and e2fsck's agree, and e2fsck finds nothing to mend."""

import os
import random
import re
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from linnet_tool import packages, rootfs
from linnet_tool.paths import BUILD, ensure
from linnet_tool.sysroot import compiler
from linnet_tool.testing import TESTS, abi
from linnet_tool.testing.harness import BootTest

TOOLS = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
KILLS = 10
KILLS_LONG = int(os.environ.get("LINNET_KILLS", "300"))
SIZE = 64 << 20
THREADS, SLOTS = 4, 12
RUN_AHEAD = 400  # steps that were done and not heard of
# The superblock's sums are stored now and then, for nobody relies on them.
SUMS = re.compile(rb"Free (?:blocks|inodes) count wrong \(\d+, counted=\d+\)\.\nFix\? yes\n")
WORK = """
mkdir -p /tmp/mnt && mount -t ext4 /dev/vda /tmp/mnt && cd /tmp/mnt || exit
ls /tmp/mnt | while read old; do [ $old = lost+found ] || [ $old -ge {keep} ] || rm -r $old; done
sync; echo mounted
exec /write_until_killed /tmp/mnt/{number} {seed}
"""
MASK = (1 << 64) - 1


def randoms(seed):
    """splitmix64, as the program has it."""
    state = seed & MASK
    while True:
        state = (state + 0x9e3779b97f4a7c15) & MASK
        z = ((state ^ (state >> 30)) * 0xbf58476d1ce4e5b9) & MASK
        z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & MASK
        yield z ^ (z >> 31)


def pattern(seed, size):
    return b"".join(struct.pack("<QQ", seed, i) * 32 for i in range((size + 511) // 512))[:size]


class Model:
    """A folder after so many steps: names, and the files behind them, which may have several."""

    def __init__(self):
        self.names = {}

    def copy(self):
        """One whose files can change by themselves."""
        files = {}
        result = Model()
        result.names = {name: files.setdefault(id(file), list(file)) for name, file in self.names.items()}
        return result

    def read(self, name):
        file = self.names.get(name)
        return None if file is None else file[0]

    def step(self, value):
        """Does one, and tells the names of the files it concerns."""
        a, b = f"f{(value >> 8) % SLOTS}", f"f{(value >> 16) % SLOTS}"
        size = (value >> 24) % 100_000 if value >> 62 == 0 else (value >> 24) % 4096
        kind, names = value % 9, self.names
        same = {name for name in names if a in names and names[name] is names[a]} | {a}
        if kind in (0, 1):
            names.setdefault(a, [b""])[0] = pattern(value, size)
            return same
        if kind == 2:
            if a in names:
                names[a][0] += pattern(value, size)
            return same
        if kind == 3:
            names[a] = [pattern(value, size)]
            return {a, "new"}
        if kind == 4:
            names.pop(a, None)
            return {a}
        if kind == 5:
            if a in names:
                names[a][0] = names[a][0][:len(names[a][0]) // 2]
            return same
        if kind == 6:
            if a != b:
                names.pop(b, None)
                if a in names:
                    names[b] = names[a]
            return {a, b}
        if kind == 7:
            if a in names and a != b and names.get(b) is not names[a]:  # two names of a file stay, as rename(2) says
                names[b] = names.pop(a)
            return {a, b}
        if a in names:
            names[a][0] += bytes(size + 1)
        return same


def is_between(before, after, value, found, name):
    """Whether a file that a step concerns may look so in the middle of that step. None: it isn't there."""
    old, new = before.read(name), after.read(name)
    if found in (old, new):
        return True
    kind = value % 9
    if kind in (0, 1):
        return found is not None and new.startswith(found)
    if kind == 2:
        return found is not None and old is not None and new.startswith(found) and found.startswith(old)
    if kind == 3:
        size = (value >> 24) % 100_000 if value >> 62 == 0 else (value >> 24) % 4096
        return name == "new" and (found is None or pattern(value, size).startswith(found))
    if kind == 5:  # what is to go may have been cleared, and written, before the size has changed
        return (found is not None and old is not None and len(found) == len(old) and found.startswith(new)
                and all(mine in (0, was) for mine, was in zip(found[len(new):], old[len(new):])))
    if kind == 6:
        return name == f"f{(value >> 16) % SLOTS}" and found is None
    if kind == 8:
        return found is not None and old is not None and new.startswith(found) and found.startswith(old)
    return False


def explain(tree, done, seed):
    """None if what was found in a folder is what some number of steps, at least `done`, has left, with the next one in part;
    else what differs from the nearest such number."""
    model, values = Model(), randoms(seed)
    for _ in range(done):
        model.step(next(values))
    nearest = None
    for ahead in range(RUN_AHEAD):
        value = next(values)
        after = model.copy()
        touched = after.step(value)
        wrong = [name for name in {*tree, *model.names, *after.names} - touched if tree.get(name) != model.read(name)]
        if value % 9 == 7:  # a rename is done or not
            if not any(all(tree.get(name) == side.read(name) for name in touched) for side in (model, after)):
                wrong += touched
        else:
            wrong += [name for name in touched if not is_between(model, after, value, tree.get(name), name)]
        if not wrong:
            return None
        if nearest is None or len(wrong) < nearest[0]:
            nearest = len(wrong), (f"after {done} + {ahead} steps {sorted(wrong)} differ; the next is of kind {value % 9}: "
                                   + "; ".join(f"{name}: {describe(model.read(name))} or {describe(after.read(name))}, found "
                                               + describe(tree.get(name)) for name in sorted(wrong)))
        model = after
    return nearest[1]


def describe(data):
    return "nothing" if data is None else f"{len(data)} bytes {data[:24].hex()}…"


class PlugPulled(BootTest):
    only_kernels = ("linnet",)

    def test_killed_at_any_moment(self):
        if not shutil.which("e2fsck", path=TOOLS["PATH"]):
            self.skipTest("e2fsprogs isn't installed")
        kills = KILLS_LONG if self.long else KILLS
        if self.arch.name not in ("x86_64", "riscv64") and not self.long:
            self.skipTest("in the long tier")
        seed = int(os.environ.get("LINNET_SEED", "0")) or random.randrange(1 << 32)
        chance = random.Random(seed)
        with tempfile.TemporaryDirectory() as home:
            disk, copy, root = os.path.join(home, "disk"), os.path.join(home, "copy"), self.make_root(home)
            with open(disk, "wb") as file:
                file.truncate(SIZE)
            self.assertEqual(self.tool("mke2fs", "-q", "-F", "-t", "ext4", disk).returncode, 0)
            last = {}
            for number in range(kills):
                with self.subTest(seed=seed, number=number):
                    done = self.kill(disk, root, number, seed + number, chance.uniform(0.0, 3.0))
                    shutil.copyfile(disk, copy)
                    checked = self.tool("e2fsck", "-f", "-y", copy)
                    self.assertLessEqual(checked.returncode, 1, checked.stdout)
                    self.assertEqual(SUMS.sub(b"", checked.stdout).count(b"? yes"), 0, checked.stdout)
                    found = self.trees(copy, os.path.join(home, "trees"))
                    for thread, steps in enumerate(done):
                        if steps:
                            self.assertIn(f"{number}/{thread}", found)
                        wrong = explain(found.get(f"{number}/{thread}", {}), steps, (seed + number) * THREADS + thread)
                        self.assertIsNone(wrong)
                    # What was there after the last kill is what our own replay has left.
                    for folder, files in last.items():
                        if int(folder.split("/")[0]) == number - 1:
                            self.assertEqual({name: describe(data) for name, data in files.items()},
                                             {name: describe(data) for name, data in found[folder].items()}, folder)
                            self.assertEqual(files, found[folder])
                    last = found

    def tool(self, *words):
        return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=TOOLS)

    def make_root(self, home):
        program = ensure(BUILD / "tests" / "boot" / self.arch.name) / "write_until_killed"
        source = TESTS / "boot" / "programs" / "write_until_killed.cpp"
        result = packages.run_quietly([*compiler(self.arch), *abi.FLAGS, "-static", "-o", str(program), str(source)])
        self.assertEqual(result.returncode, 0, result.stdout)
        tree = Path(home, "root")
        tree.mkdir()
        archive = rootfs.get("busybox", self.arch).archive
        subprocess.run(["cpio", "-idm", "--quiet", "--no-absolute-filenames"], stdin=open(archive, "rb"), cwd=tree, check=False,
                       stderr=subprocess.DEVNULL)
        shutil.copy(program, tree / "write_until_killed")
        return tree

    def kill(self, disk, root, number, seed, after):
        """Kills a guest so many seconds after it has begun to write; the last step that each thread had made durable."""
        script = WORK.format(keep=number - 1, number=number, seed=seed)
        guest = self.start(*self.run_options(), "--rootfs", root, "--disk", disk, "--", "sh", "-c", script, stdout=subprocess.PIPE,
                           stdin=subprocess.DEVNULL, start_new_session=True)
        said = b""
        try:
            while b"mounted" not in said:
                piece = os.read(guest.stdout.fileno(), 1 << 16)
                self.assertTrue(piece, "the guest ended: " + said.decode(errors="replace"))
                said += piece
            time.sleep(after)  # any moment
        finally:
            os.killpg(guest.pid, 9)
            said += guest.stdout.read()
            guest.stdout.close()
            guest.wait()
        done = [0] * THREADS
        for thread, step in re.findall(rb"done (\d) (\d+)\n", said):
            done[int(thread)] = int(step)
        return done

    def trees(self, image, place):
        """What is in the folders of the image that the program has made: their files' bytes, by name."""
        shutil.rmtree(place, ignore_errors=True)
        os.mkdir(place)
        self.tool("debugfs", "-R", f"rdump / {place}", image)
        return {str(folder.relative_to(place)): {file.name: file.read_bytes() for file in folder.iterdir()}
                for folder in Path(place).glob("[0-9]*/[0-9]")}
