"""A machine that stops while a file system is written: e2fsck finds whole transactions, and all that was synced."""

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
