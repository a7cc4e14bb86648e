"""What makes attacks on the kernel harder: its address is another one at each boot."""

import re

from linnet_tool.testing.harness import BootTest


class Randomisation(BootTest):
    only_kernels = ("linnet",)

    def offset(self, *append):
        """The slide that a panic names, and the panic's text."""
        options = ["--timeout", "60"] + (["--append", " ".join(append)] if append else [])
        call = self.guest("sh", "-c", "echo c > /proc/sysrq-trigger", options=options)
        self.assertEqual(call.status, 125, call.err)
        found = re.search(rb"Kernel Offset: (0x[0-9a-f]+|disabled)", call.err)
        self.assertTrue(found, call.err)
        return (0 if found[1] == b"disabled" else int(found[1], 16)), call.err

    def test_slides_differ_and_panics_are_symbolised(self):
        slides = set()
        for _ in range(2):
            slide, text = self.offset()
            slides.add(slide)
            self.assertRegex(text, rb"sysrq\S*\+0x")
            self.assertRegex(text, rb"linnet::process::Thread::run\+0x")
        self.assertEqual(len(slides), 2, slides)

    def test_nokaslr(self):
        for word in ("nokaslr", "quiet nokaslr"):
            self.assertEqual(self.offset(word)[0], 0)

    def test_words_of_init_are_not_ours(self):
        # Behind "--" it is init's word; one slide in many thousands is 0.
        self.assertNotEqual(self.offset("loglevel=7", "--", "nokaslr")[0], 0)


class Rights(BootTest):
    """A debug build looks at all kernel mappings, and panics when memory is writable and executable."""

    only_kernels = ("linnet",)
    # LoongArch's kernel runs in a window that has no page tables.
    only_arches = ("x86_64", "aarch64", "riscv64")

    def test_nothing_is_writable_and_executable(self):
        if not self.long:
            self.skipTest("builds another kernel; --long runs it")
        call = self.launch(*self.run_options(), "--debug", "--timeout", "100", "--", "dmesg", limit=1200)
        self.assertEqual(call.status, 0, call.err)
        self.assertRegex(call.out, rb"W\^X: \d+ kernel mappings checked, [1-9]\d* KiB of text")


class Sanitizers(BootTest):
    """A sanitizer build finds the faults that the boot parameter linnet.fault= plants."""

    only_kernels = ("linnet",)
    # Another kernel build; one architecture shows that the checks work.
    only_arches = ("x86_64",)
    FAULTS = {"heap-overflow": rb"KASAN: heap-out-of-bounds in \S*touch: write of 1 bytes",
              "memset-overflow": rb"KASAN: heap-out-of-bounds in \S*plant_fault: write of 41 bytes",
              "use-after-free": rb"KASAN: use-after-free in \S*touch: write of 1 bytes",
              "double-free": rb"KASAN: double free", "shift": rb"undefined behaviour: shift out of bounds"}

    def test_planted_faults_are_found(self):
        if not self.long:
            self.skipTest("builds another kernel; --long runs it")
        for fault, report in self.FAULTS.items():
            with self.subTest(fault=fault):
                call = self.launch(*self.run_options(), "--sanitize", "--append", f"linnet.fault={fault}",
                                   "--timeout", "100", "--", "true", limit=1200)
                self.assertEqual(call.status, 125, call.err)
                self.assertRegex(call.err, report)
                self.assertRegex(call.err, rb"linnet::init::plant_fault\+0x")
