"""Reclaim under pressure: a guest with little memory keeps names that nobody uses until programs want the memory; then the
reclaim thread takes them back, and only when nothing is left somebody dies."""

import re

from linnet_tool import boot
from linnet_tool.batch import Batch
from linnet_tool.testing.harness import BootTest

NAMES = "i=0; while [ $i -lt 4000 ]; do [ -e /tmp/no-such-name-$i ]; i=$((i+1)); done"
HOG = "tail -c {}m /dev/zero"  # keeps so much for ever


class Reclaim(BootTest):
    only_kernels = ("linnet",)

    def numbers(self, guest, file, pattern):
        text = guest.run(["cat", file], 20).stdout.decode()
        return {name: int(value) for name, value in re.findall(pattern, text, re.M)}

    def meminfo(self, guest):
        return self.numbers(guest, "/proc/meminfo", r"^(\w+):\s+(\d+)")

    def vmstat(self, guest):
        return self.numbers(guest, "/proc/vmstat", r"^(\w+) (\d+)")

    def test_names_give_way_before_programs_die(self):
        with Batch(boot.Setup(self.arch, smp=4, memory="128M")) as guest:
            guest.run(["sh", "-c", NAMES], 60)
            full = self.meminfo(guest)["SReclaimable"]
            self.assertGreater(full, 500)
            before = self.vmstat(guest)
            # Each is smaller than all memory, together they are larger: somebody must die, the names before.
            hogs = " & ".join([HOG.format(40)] * 4)
            until_one_died = "until grep -q '^oom_kill [1-9]' /proc/vmstat; do sleep 0.1; done"
            guest.run(["sh", "-c", f"{hogs} & {until_one_died}; killall tail; wait"], 60)
            after = self.vmstat(guest)
            self.assertGreater(after["pageoutrun"], before["pageoutrun"])
            self.assertGreater(after["slabs_scanned"], before["slabs_scanned"])
            self.assertGreaterEqual(after["oom_kill"], 1)
            self.assertLess(self.meminfo(guest)["SReclaimable"], full // 2)
            # What was taken for the dead is back.
            self.assertGreater(self.meminfo(guest)["MemFree"], 64 << 10)

    def test_names_of_dead_processes_go_with_them(self):
        with Batch(boot.Setup(self.arch, smp=2)) as guest:
            look = "n=0; while [ $n -lt 300 ]; do sh -c 'cat /proc/self/status /proc/$$/maps >/dev/null'; n=$((n+1)); done"
            guest.run(["sh", "-c", look.replace("300", "5")], 60)
            before = self.meminfo(guest)["SReclaimable"]
            guest.run(["sh", "-c", look], 120)
            self.assertLess(self.meminfo(guest)["SReclaimable"] - before, 40)
