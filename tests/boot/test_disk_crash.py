"""A machine that stops while a file system is written: e2fsck finds whole transactions, and all that was synced.
One that panics because the file system is damaged, as it was asked to, has noted that there."""

import os
import re
import shutil
import subprocess
import tempfile

from linnet_tool.testing.harness import BootTest

TOOLS = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
# Names come and go without a pause; `count` is replaced by a rename and synced, then told.
WORK = """
mkdir /tmp/mnt && mount -t ext4 /dev/vda /tmp/mnt && cd /tmp/mnt || exit
round=0
while :; do
    round=$((round + 1))
    mkdir -p d$round/e && seq $((round * 100)) > d$round/numbers && ln d$round/numbers d$round/e/link
    for i in 1 2 3 4 5 6 7 8; do echo $i > d$round/$i; done
    mv d$round/e e$round && rm -r d$((round - 3)) e$((round - 3)) 2> /dev/null
    echo $round > new && sync && mv new count && sync && echo "synced $round"
done
"""
# The superblock's sums are stored now and then, for nobody relies on them.
MENDED = re.compile(rb"Free (?:blocks|inodes) count wrong \(\d+, counted=\d+\)\.\nFix\? yes\n")


class DiskCrash(BootTest):
    def tool(self, *words):
        return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=TOOLS)

    def test_killed_while_writing(self):
        if not shutil.which("e2fsck", path=TOOLS["PATH"]):
            self.skipTest("e2fsprogs isn't installed")
        for rounds in (1, 7, 20):
            with self.subTest(rounds=rounds):
                handle, path = tempfile.mkstemp(suffix=".img")
                self.addCleanup(os.unlink, path)
                os.truncate(handle, 32 << 20)
                os.close(handle)
                self.assertEqual(self.tool("mke2fs", "-q", "-F", "-t", "ext4", path).returncode, 0)
                synced = self.kill_after(rounds, path)
                first = self.tool("e2fsck", "-f", "-y", path)
                self.assertLessEqual(first.returncode, 1, first.stdout)
                self.assertEqual(MENDED.sub(b"", first.stdout).count(b"? yes"), 0, first.stdout)
                self.assertEqual(self.tool("e2fsck", "-f", "-n", path).returncode, 0)
                count = self.tool("debugfs", "-R", "cat count", path).stdout.split(b"\n")[-2]
                self.assertGreaterEqual(int(count), synced)

    def test_panic_after_damage(self):
        if not shutil.which("mke2fs", path=TOOLS["PATH"]):
            self.skipTest("e2fsprogs isn't installed")
        with tempfile.TemporaryDirectory() as home:
            path, tree = os.path.join(home, "image"), os.path.join(home, "tree")
            os.makedirs(os.path.join(tree, "bad"))
            options = ["-b", "1024", "-O", "metadata_csum", "-d", tree]
            self.assertEqual(self.tool("mke2fs", "-q", "-F", "-t", "ext4", *options, path, "32M").returncode, 0)
            block = int(self.tool("debugfs", "-R", "blocks bad", path).stdout.split(b"\n")[-2])
            with open(path, "r+b") as image:
                image.seek(block * 1024 + 40)
                image.write(b"X")
            work = "mkdir /tmp/mnt && mount -t ext4 -o errors=panic /dev/vda /tmp/mnt && ls /tmp/mnt/bad/file"
            forever = "mkfifo /tmp/never; cat /tmp/never"
            call = self.guest("sh", "-c", f"{work}; {forever}", options=("--disk", path, "--timeout", "60"))
            self.assertEqual(call.status, 125, call.err)
            self.assertIn(b"EXT4-fs (device vda): panic forced after error", call.err)
            told = self.tool("dumpe2fs", "-h", path).stdout
            self.assertRegex(told, rb"(?m)^Filesystem state: +clean with errors$")
            self.assertRegex(told, rb"(?m)^FS Error count: +1$")
            self.assertRegex(told, rb"(?m)^First error err: +EFSBADCRC$")

    def kill_after(self, rounds, path):
        """Kills a guest once it has synced so often; how often it was in the end."""
        guest = self.start(*self.run_options(), "--disk", path, "--", "sh", "-c", WORK, stdout=subprocess.PIPE,
                           stdin=subprocess.DEVNULL, start_new_session=True)
        synced = 0
        try:
            while synced < rounds:
                line = guest.stdout.readline()
                self.assertTrue(line, "the guest ended")
                if found := re.match(rb"synced (\d+)", line):
                    synced = int(found[1])
        finally:
            os.killpg(guest.pid, 9)
            rest = guest.stdout.read()
            guest.stdout.close()
            guest.wait()
        return max([synced, *map(int, re.findall(rb"synced (\d+)", rest))])
