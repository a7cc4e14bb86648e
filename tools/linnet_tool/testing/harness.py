"""What tests/boot's tests are made of: the launcher as a user calls it, in this guest architecture and kernel."""

import os
import subprocess
import unittest
from dataclasses import dataclass

from ..paths import ROOT

LIMIT = 120  # seconds for one call of the launcher


@dataclass
class Call:
    status: int
    out: bytes
    err: bytes


class BootTest(unittest.TestCase):
    """`self.arch`, `self.kernel` and `self.long` are set before a test runs."""

    arch = None
    kernel = "linnet"
    long = False
    # Names of architectures and kernels that the class is for; empty: all.
    only_arches = ()
    only_kernels = ()
    # Tests that need no guest of a certain architecture run once.
    once = False

    longMessage = True

    def applies(self):
        if self.once and self.arch.name != "x86_64":
            return False
        return (not self.only_arches or self.arch.name in self.only_arches) and \
            (not self.only_kernels or self.kernel in self.only_kernels)

    def command(self, *words):
        return [str(ROOT / "linnet"), *[os.fspath(word) for word in words]]

    def launch(self, *words, stdin=b"", limit=LIMIT, cwd=None):
        """Calls `./linnet WORDS…` to its end."""
        done = subprocess.run(self.command(*words), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=limit, cwd=cwd)
        return Call(done.returncode, done.stdout, done.stderr)

    def run_options(self, smp=4):
        return ["run", "--arch", self.arch.name, "--kernel", self.kernel, "--smp", str(smp)]

    def guest(self, *command, options=(), stdin=b"", limit=LIMIT, smp=4):
        """Calls `./linnet run … -- COMMAND`."""
        tail = ["--", *command] if command else []
        return self.launch(*self.run_options(smp), *options, *tail, stdin=stdin, limit=limit)

    def start(self, *words, **how):
        """Starts `./linnet WORDS…` and returns the process."""
        return subprocess.Popen(self.command(*words), **how)

    def assert_complaint(self, call, status=125):
        """One clear line of ours, and never a traceback."""
        self.assertEqual(call.status, status, call.err)
        self.assertNotIn(b"Traceback", call.err)
        lines = call.err.decode(errors="replace").splitlines()
        self.assertEqual(len(lines), 1, call.err)
        self.assertTrue(lines[0].startswith("linnet: "), call.err)
        self.assertNotIn("internal error", lines[0])
