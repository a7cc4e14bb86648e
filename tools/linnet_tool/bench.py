"""`./linnet bench`: the same benchmark on Debian's Linux and on Linnet, and the ratios.

Measured in instructions: QEMU's -icount on one processor makes a run repeatable to the digit. What the numbers mean
is told by the comments of bench/*.cpp. Instructions leave out what TLB misses, address-space switches and IPIs cost, so
`wall` runs the same program by the clock, in two guests that take turns.
"""

import contextlib
import json
import math
import re
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass

from . import arch as arches
from . import boot, cpio, kernel, linux, packages, plot, rootfs, sysroot
from .batch import Batch, GuestLost, scratch_disk
from .guest import Guest
from .paths import BUILD, ROOT, ensure
from .ui import Counter, LinnetError, Progress, say

KINDS = ("boot", "core", "fs", "memory", "mm", "net", "programs", "sched", "signal", "wall", "mm-wall", "sched-wall")
FLAGS = ["-std=c++23", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-pthread"]
CORE_TIMEOUT = 300
WALL_TIMEOUT = 900
MM_TIMEOUT = 900
MM_MEMORY = "2G"  # a process of 1 GiB must fit
FS_TIMEOUT = 1800
BOOT_TIMEOUT = 180

PROGRAMS = """set -e
export HOME=/root LC_ALL=C
bench=/.linnet/t/bench
mkdir /tmp/w
cd /tmp/w
mkdir tree
i=0
while [ $i -lt 100 ]; do
    mkdir tree/$i
    j=0
    while [ $j -lt 100 ]; do echo $i.$j > tree/$i/$j; j=$((j + 1)); done
    i=$((i + 1))
done
tar cf tree.tar tree
(cd tree; git init -q .; git add .; git -c user.name=a -c user.email=a@b commit -qm all)
printf '#include <stdio.h>\\n#include <stdlib.h>\\nint main(void) { return puts(getenv("HOME")) < 0; }\\n' > hello.c
echo 'i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i + 1)); done' > loop.sh
cat > insert.sql << 'end'
create table t(a integer primary key, b text, c integer);
begin;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
    insert into t select i, 'text ' || (i * 7919 % 20011), i * 31 % 1009 from n;
commit;
create index u on t(c, b);
select count(*), sum(length(b)) from t where c between 100 and 300;
update t set c = c + 1 where a % 3 = 0;
delete from t where a % 5 = 0;
select count(*) from t join t as v on t.c = v.a;
end
$bench --program run-git-status git -C tree status
$bench --program run-tar-extract tar xf tree.tar -C /tmp/w --one-top-level=out
$bench --program run-gcc gcc -c hello.c
$bench --program run-python3 python3 -c pass
$bench --program run-1000-forks sh loop.sh
$bench --program run-sqlite sh -c 'rm -f db; sqlite3 db < insert.sql'
$bench --program run-ls-lR ls -lR /usr/lib
$bench --program run-find-du sh -c 'find / -xdev > /dev/null; du -sx /usr > /dev/null'
"""

# The seven of which the geometric mean is reported.
MEAN_OF = ("null", "open+close", "stat", "fork+exec+wait", "anon-fault", "switch", "pipe")

# Before the names of bench/fs.cpp, bench/mm.cpp and so on; they have plots of their own.
FS_PREFIX = "fs:"
MM_PREFIX = "mm:"
SCHED_PREFIX = "sched:"
SIGNAL_PREFIX = "signal:"
NET_PREFIX = "net:"


@dataclass(frozen=True)
class Wall:
    """What is measured by the clock: the same program in two guests that take turns."""

    kind: str
    program: str  # of bench/
    prefix: str  # of its rows
    processors: tuple  # to measure with, one after the other
    words: tuple = ("--wall",)

    def key(self, processors):
        """Of what is stored."""
        return f"{self.kind}-{processors}"


WALLS = (
    Wall("wall", "core", "", (2,), ()),
    Wall("mm-wall", "mm", MM_PREFIX, (2, 4)),
    Wall("sched-wall", "sched", SCHED_PREFIX, (2, 4)),
)


def prefix_of(row):
    return row[:row.index(":") + 1] if ":" in row else ""


@dataclass(frozen=True)
class Document:
    """A page of results under docs/results, and a table of the README, made by --record."""

    name: str
    title: str
    about: str
    marker: str  # of the README's comments around the table
    prefix: str  # of its rows
    kinds: tuple  # that make it worth writing
    left_out: tuple = ()  # of the README

    def wanted(self, row):
        return prefix_of(row) == self.prefix

    @property
    def begin(self):
        return f"<!-- {self.marker} -->"

    @property
    def end(self):
        return f"<!-- /{self.marker} -->"


DOCUMENTS = (
    Document("bench", "Benchmarks", "Instructions (memory: KiB, image: bytes) under QEMU's -icount on one processor; what each row "
             "means: `bench/core.cpp`.", "measured", "", ("boot", "core", "memory", "wall")),
    Document("mm", "Memory benchmarks", "Instructions (idle: KiB for a thousand processes; flushes: events) under QEMU's "
             "-icount on one processor; what each row means: `bench/mm.cpp`.", "measured: memory", MM_PREFIX, ("mm", "mm-wall"),
             tuple(MM_PREFIX + row for row in ("fork-1m-again", "fork-64m-again", "fork-1g-again", "mmap+touch+munmap",
                                               "mprotect-split", "idle-slab", "idle-stacks", "idle-page-tables",
                                               "flushes-fork", "flushes-mmap+munmap", "flushes-mprotect", "flushes-dontneed"))),
    Document("sched", "Scheduling benchmarks", "Instructions under QEMU's -icount on one processor; what each row means: "
             "`bench/sched.cpp`.", "measured: scheduling", SCHED_PREFIX, ("sched", "sched-wall")),
    Document("signal", "Signal benchmarks", "Instructions under QEMU's -icount on one processor; what each row means: "
             "`bench/signal.cpp`.", "measured: signals", SIGNAL_PREFIX, ("signal",)),
    Document("fs", "File benchmarks", "Instructions under QEMU's -icount on one processor; what each row means: "
             "`bench/fs.cpp`. Rows with `ext4-` are on a disk, and those with `run-` are whole programs from one.",
             "measured: files", FS_PREFIX, ("fs", "programs")),
    Document("net", "Socket benchmarks", "Instructions under QEMU's -icount on one processor; what each row means: "
             "`bench/net.cpp`.", "measured: sockets", NET_PREFIX, ("net",)),
)

RIVALS = ("linux-bench", "linnet")


def run(options):
    kinds = options.kinds or list(KINDS)
    for kind in kinds:
        if kind not in KINDS:
            raise LinnetError(f"no benchmark '{kind}' (there are: {', '.join(KINDS)})", 2)
    chosen = arches.get_arches(options.arch or "all")
    for arch in chosen:
        measure(arch, [kind for kind in kinds if kind in MEASURES], options.kernel)
        for wall in WALLS:
            for processors in wall.processors if wall.kind in kinds else ():
                measure_wall(arch, wall, processors, options.pairs)
    summarise([arch.name for arch in chosen])
    if options.record:
        record(kinds)
    return 0


def measure(arch, kinds, only):
    """Measures both kernels, or the one asked for; what was measured before stays in the file."""
    if not kinds:
        return
    stored = load(arch)
    for rival in RIVALS:
        if only and not rival.startswith(only):
            continue
        name = "linux" if rival == "linux-bench" else "linnet"
        values = stored.setdefault(name, {})
        values["version"] = linux.get(arch, "bench").version if name == "linux" else commit()
        for kind in kinds:
            with Progress(f"measuring {kind} of {name} on {arch.name}"):
                try:
                    values.update(MEASURES[kind](arch, rival))
                except GuestLost as lost:
                    say(f"{kind} of {name} on {arch.name} failed: {lost}")
    store(arch, stored)


def store(arch, stored):
    (ensure(BUILD / "bench") / f"{arch.name}.json").write_text(json.dumps(stored, indent=1))


def load(arch):
    try:
        return json.loads((BUILD / "bench" / f"{arch.name}.json").read_text())
    except (OSError, ValueError):
        return {}


def commit():
    return packages.run_quietly(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]).stdout.strip()


def compile_program(arch, name):
    source = ROOT / "bench" / f"{name}.cpp"
    program = ensure(BUILD / "bench" / arch.name) / name
    newest = max(path.stat().st_mtime for path in source.parent.iterdir())
    if not program.exists() or program.stat().st_mtime < newest:
        result = packages.run_quietly([*sysroot.compiler(arch), *FLAGS, "-o", str(program), str(source)])
        if result.returncode != 0:
            raise LinnetError(f"{source.name} does not compile for {arch.name}:\n{result.stdout}")
    return program


def results(text):
    return {name: float(value) for name, value in re.findall(r"^bench (\S+) ([0-9.]+)\r?$", text, re.MULTILINE)}


# -- the kinds ---------------------------------------------------------------------------------------------------------


def measure_core(arch, rival, name="core", prefix="", **wanted):
    program = compile_program(arch, name)
    setup = boot.Setup(arch, kernel=rival, smp=1, icount=True, **wanted)
    with Batch(setup) as guest:
        guest.put("/.linnet/t/bench", program.read_bytes())
        outcome = guest.run(["/.linnet/t/bench"], CORE_TIMEOUT)
    if outcome.status != 0:
        raise GuestLost(f"the benchmark ended with status {outcome.status}: {outcome.both.decode(errors='replace')}")
    return {prefix + row: value for row, value in results(outcome.stdout.decode()).items()}


def measure_sched(arch, rival):
    return measure_core(arch, rival, "sched", SCHED_PREFIX)


def measure_signal(arch, rival):
    # Debian's strace is in that root.
    return measure_core(arch, rival, "signal", SIGNAL_PREFIX, root="debug", memory="2G")


def measure_net(arch, rival):
    return measure_core(arch, rival, "net", NET_PREFIX)


def measure_fs(arch, rival):
    """The calls in memory and on a disk, and the descriptors."""
    program = compile_program(arch, "fs")
    setup = boot.Setup(arch, kernel=rival, smp=1, icount=True, root="disk", disks=[scratch_disk(arch, "512M")])
    script = """set -e
mkdir /tmp/memory /tmp/disk
mount -t tmpfs tmpfs /tmp/memory
mke2fs -q -t ext4 /dev/vda
mount /dev/vda /tmp/disk
/.linnet/t/bench /tmp/memory
/.linnet/t/bench /tmp/disk ext4-
/.linnet/t/bench --descriptors
"""
    return measure_by_script(setup, program, script, FS_PREFIX)


def measure_programs(arch, rival):
    """Whole programs of Debian's, on a disk; everything is in the page cache when it counts."""
    program = compile_program(arch, "fs")
    setup = boot.Setup(arch, kernel=rival, smp=1, icount=True, root="workshop", memory="2G")
    return measure_by_script(setup, program, PROGRAMS, FS_PREFIX)


def measure_by_script(setup, program, script, prefix):
    with Batch(setup) as guest:
        guest.put("/.linnet/t/bench", program.read_bytes())
        outcome = guest.run(["/bin/sh", "-c", script], FS_TIMEOUT)
    if outcome.status != 0:
        raise GuestLost(f"the benchmark ended with status {outcome.status}: {outcome.both.decode(errors='replace')}")
    return {prefix + row: value for row, value in results(outcome.stdout.decode()).items()}


def measure_mm(arch, rival):
    program = compile_program(arch, "mm")
    with Batch(boot.Setup(arch, kernel=rival, smp=1, icount=True, memory=MM_MEMORY)) as guest:
        guest.put("/.linnet/t/bench", program.read_bytes())
        outcome = guest.run(["/.linnet/t/bench"], MM_TIMEOUT)
    if outcome.status != 0:
        raise GuestLost(f"the benchmark ended with status {outcome.status}: {outcome.both.decode(errors='replace')}")
    return {MM_PREFIX + name: value for name, value in results(outcome.stdout.decode()).items()}


def measure_wall(arch, wall, processors, count):
    """The median ratio of times by the clock, with its 95 % interval, from `count` pairs of runs that alternate."""
    program = compile_program(arch, wall.program).read_bytes()
    pairs = []
    with contextlib.ExitStack() as stack:
        guests = [stack.enter_context(Batch(boot.Setup(arch, kernel=rival, smp=processors))) for rival in RIVALS]
        for guest in guests:
            guest.put("/.linnet/t/bench", program)
        progress = Counter(f"measuring pairs of {wall.kind} by the clock on {arch.name}, {processors} CPUs")
        for number in range(count):
            progress.show(f"{number}/{count}")
            outcomes = [guest.run(["/.linnet/t/bench", *wall.words], WALL_TIMEOUT) for guest in guests]
            if any(outcome.status != 0 for outcome in outcomes):
                raise LinnetError(f"the benchmark failed on {arch.name}: "
                                  + b" ".join(outcome.both for outcome in outcomes).decode(errors="replace"))
            pairs.append([results(outcome.stdout.decode()) for outcome in outcomes])
        progress.done()
    stored = load(arch)
    stored[wall.key(processors)] = {
        "version": commit(), "pairs": count,
        "ratios": {name: median_interval([ours[name] / theirs[name] for theirs, ours in pairs if theirs[name] > 0])
                   for name in pairs[0][0]}}
    store(arch, stored)


def median_interval(values):
    """(median, low, high): the order statistics that hold the true median between them with 95 % probability."""
    values = sorted(values)
    count = len(values)
    outside, rank = 0.0, 0
    while rank < count // 2 and outside + 2 * math.comb(count, rank) / 2 ** count <= 0.05:
        outside += 2 * math.comb(count, rank) / 2 ** count
        rank += 1
    rank = max(rank - 1, 0)
    return [statistics.median(values), values[rank], values[count - 1 - rank]]


def measure_boot(arch, rival):
    """Reset to the first line of PID 1, in instructions, firmware included."""
    program = compile_program(arch, "boot")
    tree = rootfs.base_tree(arch)
    tree.add("init", cpio.file(program.read_bytes(), 0o755))
    archive = ensure(BUILD / "bench" / arch.name) / "boot.cpio"
    with open(archive, "wb") as out:
        tree.write(out)
    values = {}
    for machine in ("q35", "microvm") if arch.name == "x86_64" else arch.machines[:1]:
        setup = boot.Setup(arch, kernel=rival, smp=1, icount=True, machine=machine, direct=True,
                           root=rootfs.Root(archive, False, False), append="rdinit=/init quiet")
        text = boot_and_read(setup)
        found = results(text)
        if "boot" not in found:
            raise GuestLost(f"no word from PID 1 on {machine}:\n{text[-2000:]}")
        values[f"boot-{machine}"] = found["boot"]
    return values


def boot_and_read(setup):
    prepared = boot.prepare(setup)
    guest = Guest(with_agent=False)
    try:
        guest.start(prepared.program, prepared.machine)
        end = time.monotonic() + BOOT_TIMEOUT
        while guest.running and time.monotonic() < end and not guest.panic_complete():
            guest.step(1)
    finally:
        guest.close()
        prepared.clean_up()
    return guest.log.decode(errors="replace")


def measure_memory(arch, rival):
    """What of 1 GiB is gone at the BusyBox prompt, in KiB; and the stripped image's size in bytes."""
    with Batch(boot.Setup(arch, kernel=rival, smp=1, memory="1G")) as guest:
        outcome = guest.run(["cat", "/proc/meminfo"], 30)
    fields = {key: int(value) for key, value in re.findall(r"^(\w+):\s+(\d+)", outcome.stdout.decode(), re.MULTILINE)}
    if "MemFree" not in fields:
        raise GuestLost("no MemFree in /proc/meminfo")
    values = {"memory": (1 << 20) - fields["MemFree"]}
    if rival == "linnet":
        values["image"] = stripped_size(arch)
    return values


def stripped_size(arch):
    with tempfile.NamedTemporaryFile() as out:
        symbols = kernel.symbols(arch)
        subprocess.run(["llvm-objcopy-19", "--strip-all", str(symbols), out.name], check=True)
        return len(open(out.name, "rb").read())


MEASURES = {"boot": measure_boot, "core": measure_core, "memory": measure_memory, "mm": measure_mm,
            "sched": measure_sched, "signal": measure_signal, "net": measure_net, "fs": measure_fs, "programs": measure_programs}

# -- what comes of it ----------------------------------------------------------------------------------------------------


def table(arch, stored, wanted=lambda name: True):
    """Lines of text: each value beside Linux's, of the rows that `wanted` says."""
    ours, theirs = stored.get("linnet", {}), stored.get("linux", {})
    lines = [f"{arch.name}: Linux {theirs.get('version', '-')}, Linnet {ours.get('version', '-')}",
             f"  {'':<22}{'Linux':>13}{'Linnet':>13}{'ratio':>9}"]
    for name in [name for name in {**theirs, **ours} if name != "version" and wanted(name)]:
        a, b = theirs.get(name), ours.get(name)
        ratio = f"{b / a:.3f}" if a and b is not None else ""
        lines.append(f"  {name:<22}{show(a):>13}{show(b):>13}{ratio:>9}")
    ratios = mean_ratios(stored)
    if ratios and wanted(MEAN_OF[0]):
        lines.append(f"  {'geometric mean of ' + str(len(ratios)):<48}{geometric_mean(ratios):>9.3f}")
    for wall in WALLS:
        for processors in wall.processors if wanted(wall.prefix) else ():
            lines += wall_table(wall, processors, stored.get(wall.key(processors)))
    return lines


def wall_table(wall, processors, measured):
    if not measured:
        return []
    return [f"  by the clock, {processors} CPUs, {measured['pairs']} pairs, Linnet {measured['version']}: median ratio and its "
            "95 % interval",
            *(f"  {wall.prefix + name:<22}{'':>26}{median:>9.3f}  [{low:.3f}, {high:.3f}]"
              for name, (median, low, high) in measured["ratios"].items())]


def show(value):
    return "-" if value is None else f"{value:,.1f}" if 0 < value < 20 else f"{value:,.0f}"


def mean_ratios(stored):
    ours, theirs = stored.get("linnet", {}), stored.get("linux", {})
    return [ours[name] / theirs[name] for name in MEAN_OF if ours.get(name) and theirs.get(name)]


def geometric_mean(values):
    return math.exp(sum(math.log(value) for value in values) / len(values))


def summarise(shown):
    """Prints the tables of some architectures, and keeps all that was measured so far as Markdown and as a plot."""
    everything = {arch.name: load(arch) for arch in arches.ARCHES.values() if load(arch)}
    for name in shown:
        print("\n".join(table(arches.get_arch(name), everything.get(name, {}))) + "\n", flush=True)
    for document in DOCUMENTS:
        markdown = []
        for name, stored in everything.items():
            markdown += ["```", *table(arches.get_arch(name), stored, document.wanted), "```", ""]
        (BUILD / "bench" / f"{document.name}.md").write_text("\n".join(markdown))
        (BUILD / "bench" / f"{document.name}.svg").write_text(plot.bars(part_of(everything, document.wanted)))
    say(f"written to {(BUILD / 'bench').relative_to(ROOT) if BUILD.is_relative_to(ROOT) else BUILD / 'bench'}/"
        "{bench.md,mm.md,net.md,sched.md,signal.md,*.svg,*.json}")


def part_of(everything, wanted):
    return {arch: {who: {name: value for name, value in stored.get(who, {}).items() if wanted(name)}
                   for who in ("linux", "linnet")} for arch, stored in everything.items()}


def record(kinds):
    """Keeps the tables and plots of what was measured for good, with commit and date."""
    home = ensure(ROOT / "docs" / "results")
    readme = ROOT / "README.md"
    for document in DOCUMENTS:
        if not any(kind in document.kinds for kind in kinds):
            continue
        name = f"{time.strftime('%Y-%m-%d')}-{document.name}"
        text = (f"# {document.title}, {time.strftime('%Y-%m-%d')}\n\n{document.about} `./linnet bench` makes them again. "
                f"Versions are in the tables.\n\n![Linnet's cost as a part of Linux's]({name}.svg)\n\n")
        (home / f"{name}.md").write_text(text + (BUILD / "bench" / f"{document.name}.md").read_text())
        (home / f"{name}.svg").write_text((BUILD / "bench" / f"{document.name}.svg").read_text())
        before, _, rest = readme.read_text().partition(document.begin)
        _, _, after = rest.partition(document.end)
        readme.write_text(before + document.begin + "\n" + readme_table(document, name) + document.end + after)
        say(f"recorded in docs/results/{name}.md and in README.md")


def readme_table(document, name):
    """Markdown: x86_64's numbers, and the ratio on every architecture that was measured."""
    everything = {arch.name: load(arch) for arch in arches.ARCHES.values() if load(arch).get("linnet")}
    first = next(iter(everything))
    rows = [row for row in everything[first]["linux"]
            if row != "version" and not row.startswith("boot") and document.wanted(row) and row not in document.left_out]
    lines = [f"| instructions | Linux, {first} | Linnet, {first} | " + " | ".join(f"ratio, {arch}" for arch in everything)
             + " |", "|---|---|---|" + "---|" * len(everything)]

    def ratio(stored, row):
        ours, theirs = stored["linnet"].get(row), stored["linux"].get(row)
        return f"{ours / theirs:.{2 if ours > theirs / 10 else 3}f}" if ours is not None and theirs else "—"

    if not document.prefix:
        rows.insert(0, "boot")
    for row in rows:
        cells = []
        for stored in everything.values():
            boots = [key for key in stored["linux"] if key.startswith("boot")]
            cells.append(", ".join(f"{ratio(stored, key)} ({key[5:]})" for key in boots) if row == "boot"
                         else ratio(stored, row))
        values = ["—", "—"] if row == "boot" else [show(everything[first][who].get(row)) for who in ("linux", "linnet")]
        label = {"boot": "reset to PID 1", "memory": "memory at the prompt (KiB)"}.get(row, row.removeprefix(document.prefix))
        lines.append(f"| {label} | " + " | ".join(values + cells) + " |")
    if not document.prefix:
        means = [f"**{geometric_mean(mean_ratios(stored)):.2f}**" for stored in everything.values()]
        lines.append(f"| geometric mean of {', '.join(MEAN_OF)} | | | " + " | ".join(means) + " |")
    rivals = "; ".join(f"{arch}: {stored['linux']['version']}" for arch, stored in everything.items())
    return ("\n" + "\n".join(lines) + f"\n\nThe rivals, Debian's own: {rivals}. By the clock, and with the commit: "
            f"[docs/results/{name}.md](docs/results/{name}.md).\n\n"
            f"![Linnet's cost as a part of Linux's](docs/results/{name}.svg)\n\n")
