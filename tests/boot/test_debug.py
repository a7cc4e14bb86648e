"""`./linnet debug`: gdb on a halted guest, with commands that know the kernel."""

from linnet_tool.testing.harness import BootTest


class Debugger(BootTest):
    only_kernels = ("linnet",)

    def test_commands_show_the_kernel_at_a_breakpoint(self):
        commands = ("hbreak linnet::syscalls::sys_clock_nanosleep", "continue", "linnet threads", "linnet cpus",
                    "linnet maps 1", "linnet log", "backtrace 8")
        words = [word for command in commands for word in ("--execute", command)]
        call = self.launch("debug", "--arch", self.arch.name, "--smp", "4", "--batch", *words,
                           "--append", "rdinit=/bin/busybox -- sleep 100", limit=300)
        if b"this gdb-multiarch does not know" in call.err:
            self.skipTest("gdb is too old")  # Debian 12's for LoongArch
        self.assertEqual(call.status, 0, call.err)
        out = call.out
        self.assertRegex(out, rb"\n +1 +1 Running +\d  busybox\n", call.err)
        self.assertRegex(out, rb"\ncpu \d: online, thread 0x[0-9a-f]+ 1 busybox,", call.err)
        self.assertRegex(out, rb"\ncpu 3: online, thread 0x[0-9a-f]+ - kernel,", call.err)
        self.assertRegex(out, rb"\n[0-9a-f]{16}-[0-9a-f]{16} r-xp object 0x[0-9a-f]+ page \d+\n", call.err)
        self.assertIn(b"] Run /bin/busybox as init process\n", out)
        self.assertIn(b"linnet::syscalls::dispatch", out)
