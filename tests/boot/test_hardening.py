"""What makes attacks on the kernel harder: its address is another one at each boot."""

import re

from linnet_tool.testing.harness import BootTest


class Randomisation(BootTest):
    only_kernels = ("linnet",)
    only_arches = ("x86_64",)

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
            self.assertRegex(text, rb"linnet::syscalls::dispatch\+0x")
        self.assertEqual(len(slides), 2, slides)

    def test_nokaslr(self):
        for word in ("nokaslr", "quiet nokaslr"):
            self.assertEqual(self.offset(word)[0], 0)

    def test_words_of_init_are_not_ours(self):
        # Behind "--" it is init's word; one slide in many thousands is 0.
        self.assertNotEqual(self.offset("loglevel=7", "--", "nokaslr")[0], 0)
