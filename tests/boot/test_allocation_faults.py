"""Allocations that fail on request (linnet.fail_allocations=, /proc/sys/vm/fail_allocations): programs see ENOMEM or die,
the kernel neither panics nor leaks."""

import random
import re
from types import SimpleNamespace

from linnet_tool import boot
from linnet_tool.batch import Batch
from linnet_tool.packages import run_quietly
from linnet_tool.paths import BUILD, ensure
from linnet_tool.sysroot import compiler
from linnet_tool.testing import TESTS, Header, Report, abi
from linnet_tool.testing.harness import BootTest

KNOB = "/proc/sys/vm/fail_allocations"
PROGRAM = "/.linnet/t/program"
SESSION = """
for i in 1 2 3 4 5 6 7 8; do
    ls -l /bin | head -3
    echo "hello $i" > /tmp/session.$i && cat /tmp/session.$i | tr a-z A-Z
    find /proc/self -maxdepth 1 | sort | tail -1
    seq 100 | while read n; do [ $n = 50 ] && echo half; done
    mkdir -p /tmp/deep/$i/a/b/c && cp /bin/busybox /tmp/deep/$i/a && rm -r /tmp/deep
    rm -f /tmp/session.$i
done
"""
# What is lost of a program that was killed half-way, as files in /tmp and the like.
LEFT_OVER_KIB = 16 << 10
FAST_PROGRAMS = 8


class AllocationFaults(BootTest):
    only_kernels = ("linnet",)

    def free_kib(self, guest):
        """What is free, and what a program killed half-way may leave behind for good reason: files, System V segments, a
        pool of huge pages that it did not make small again."""
        text = guest.run(["cat", "/proc/meminfo"], 20).stdout.decode()
        fields = {key: int(value) for key, value in re.findall(r"^(\w+):\s+(\d+)", text, re.M)}
        return sum(fields[key] for key in ("MemFree", "Shmem", "Slab", "Cached", "Hugetlb"))

    def huge_page_kib(self, guest):
        return int(re.search(r"^Hugepagesize:\s+(\d+)", guest.run(["cat", "/proc/meminfo"], 20).stdout.decode(), re.M)[1])

    def test_each_allocation_of_many_calls(self):
        program = ensure(BUILD / "tests" / "boot" / self.arch.name) / "fail_each_allocation"
        source = TESTS / "boot" / "programs" / "fail_each_allocation.cpp"
        result = run_quietly([*compiler(self.arch), *abi.FLAGS, "-I", str(TESTS / "include"), "-o", str(program),
                              str(source)])
        self.assertEqual(result.returncode, 0, result.stdout)
        with Batch(boot.Setup(self.arch, smp=4)) as guest:
            guest.put(PROGRAM, program.read_bytes())
            outcome = guest.run([PROGRAM], 1200 if self.long else 120, cwd="/tmp",
                                env={"LINNET_LONG": "1"} if self.long else None)
            self.assertEqual(outcome.status, 0, outcome.both.decode(errors="replace"))

    def test_shell_session(self):
        shares = {"heap": 60, "pages": 300, "tables": 60, "area": 20, "all": 200}
        for name, share in shares.items():
            with self.subTest(classes=name):
                with Batch(boot.Setup(self.arch, smp=4, append=f"linnet.fail_allocations={name},every={share}")) as guest:
                    failed = 0
                    for _ in range(20 if self.long else 4):
                        guest.run(["sh", "-c", SESSION], 60)
                    # PID 1's children fail too, until they have become the program: it may take some attempts.
                    for _ in range(50):
                        text = guest.run(["cat", KNOB], 20).stdout.decode()
                        found = re.findall(r"^\w+ (\d+) (\d+)$", text, re.M)
                        if len(found) == 4:
                            failed = sum(int(count) for _, count in found)
                            break
                    self.assertGreater(failed, 0, "nothing was made to fail")

    def test_programs_of_the_abi_tests(self):
        sources = [path for path in sorted(abi.FOLDER.rglob("*.cpp")) if Header(path).chosen(self.arch, long=False)]
        if not self.long:
            sources = random.Random(self.arch.name).sample(sources, FAST_PROGRAMS)
        report = Report(False)
        programs = abi.compile_all(SimpleNamespace(report=report), self.arch, sources)
        self.assertEqual(report.results, [])
        with Batch(boot.Setup(self.arch, smp=4)) as guest:
            before, huge_page = self.free_kib(guest), self.huge_page_kib(guest)
            for path, program in programs.items():
                guest.put(PROGRAM, program.read_bytes())
                for share in (1000, 100) if self.long else (300,):
                    # Its verdict is of no interest, nor whether it ends: that the kernel lives is.
                    guest.run(["sh", "-c", f"echo all every={share} > {KNOB} && exec {PROGRAM}"], 15, cwd="/tmp")
                guest.run(["sh", "-c", f"echo off > {KNOB}; rm -rf /tmp/*; killall -9 program"], 20)
                guest.remove(PROGRAM)
            self.assertEqual(guest.run(["echo", "alive"], 20).stdout, b"alive\n")
            # The huge page of zeros stays once somebody has read from one.
            self.assertGreater(self.free_kib(guest), before - LEFT_OVER_KIB - huge_page)
