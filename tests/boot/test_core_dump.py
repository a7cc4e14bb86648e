"""A core file of a program with threads, as a debugger sees it: every thread with its backtrace and its variables."""

import re
import subprocess

from linnet_tool import boot, packages
from linnet_tool.batch import Batch
from linnet_tool.paths import BUILD, ensure
from linnet_tool.sysroot import compiler
from linnet_tool.testing import TESTS
from linnet_tool.testing.harness import BootTest

SCRIPT = "ulimit -c unlimited; cd /tmp; echo core > /proc/sys/kernel/core_pattern; /tmp/crash >&2; cat core"


class CoreDump(BootTest):
    def test_debugger(self):
        if self.arch.name != "x86_64":
            self.skipTest("the host's gdb knows its own architecture only")
        packages.require("gdb")
        folder = ensure(BUILD / "tests" / "boot" / self.arch.name)
        program, core = folder / "crash_with_threads", folder / "crash_with_threads.core"
        source = TESTS / "boot" / "programs" / "crash_with_threads.c"
        result = packages.run_quietly([*(word.replace("clang++", "clang") for word in compiler(self.arch)), "-g", "-O0",
                                       "-static", "-pthread", "-o", str(program), str(source)])
        self.assertEqual(result.returncode, 0, result.stdout)
        with Batch(boot.Setup(self.arch, smp=4)) as guest:
            guest.put("/tmp/crash", program.read_bytes())
            core.write_bytes(guest.run(["sh", "-c", SCRIPT], 60).stdout)
        said = subprocess.run(["gdb", "-nx", "-batch", "-ex", "thread apply all bt full", str(program), str(core)],
                              capture_output=True, text=True, timeout=120)
        text = said.stdout
        self.assertIn("Program terminated with signal SIGSEGV", text, said.stderr)
        threads = re.split(r"^Thread \d+ ", text, flags=re.M)[1:]
        self.assertEqual(len(threads), 5, text)
        crashed = [thread for thread in threads if "crash_here (nowhere=0x0)" in thread]
        self.assertEqual(len(crashed), 1, text)
        self.assertRegex(crashed[0], r"(?s)crash_here.*\bmain \(\)")
        for number in range(1, 5):
            standing = [thread for thread in threads if f"stand_still (number={number})" in thread]
            self.assertEqual(len(standing), 1, text)
            self.assertRegex(standing[0], rf"(?s)stand_still.*kept = {number * 111}\b.*\binner \(.*\bouter \(")
