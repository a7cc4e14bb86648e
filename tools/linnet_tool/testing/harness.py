"""What tests/boot's tests are made of: the launcher as a user calls it, in this guest architecture and kernel."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest
from dataclasses import dataclass

from .. import boot, qemu
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

    def launch(self, *words, stdin=b"", limit=LIMIT, cwd=None, env=None):
        """Calls `./linnet WORDS…` to its end."""
        done = subprocess.run(self.command(*words), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=limit, cwd=cwd, env=env)
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

    def start_bare(self, append, extra=(), pass_fds=(), **setup):
        """Starts a guest without launcher and agent: QEMU with further words, its output in a pipe. `append` says what
        PID 1 is."""
        prepared = boot.prepare(boot.Setup(**{"arch": self.arch, "kernel": self.kernel, "smp": 4, "append": append, **setup}))
        prepared.machine.extra += extra
        guest = subprocess.Popen(prepared.program.command + prepared.machine.command(), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, pass_fds=pass_fds, env=qemu.pass_environment(prepared.program))
        self.addCleanup(guest.wait)
        self.addCleanup(guest.stdout.close)
        self.addCleanup(guest.kill)
        return guest

    def terminal(self, *options, rows=33, columns=99):
        """`./linnet run` on a terminal of its own."""
        screen = Terminal(self.command(*self.run_options(), *options), rows, columns)
        self.addCleanup(screen.close)
        return screen

    def assert_complaint(self, call, status=125):
        """One clear line of ours, and never a traceback."""
        self.assertEqual(call.status, status, call.err)
        self.assertNotIn(b"Traceback", call.err)
        lines = call.err.decode(errors="replace").splitlines()
        self.assertEqual(len(lines), 1, call.err)
        self.assertTrue(lines[0].startswith("linnet: "), call.err)
        self.assertNotIn("internal error", lines[0])


class Terminal:
    """The launcher on a pseudo-terminal, driven as a user types."""

    def __init__(self, command, rows=33, columns=99):
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # The size must be there before the launcher looks.
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.environ.update(TERM="vt100", CI="true")
            os.execv(command[0], command)
        self.settings = termios.tcgetattr(self.fd)

    def type(self, text):
        os.write(self.fd, text)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, pattern, limit=30):
        """Waits until the regular expression comes; returns the match, and forgets all up to its end."""
        end = time.monotonic() + limit
        while not (found := re.search(pattern, self.seen)):
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            try:
                data = os.read(self.fd, 4096) if ready else b""
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"waited for {pattern!r}, have {self.seen[-2000:]!r}")
            self.seen += data
        self.seen = self.seen[found.end():]
        return found

    def leave(self, limit=30):
        """Reads to the end and returns the launcher's exit status."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            ready, _, _ = select.select([self.fd], [], [], 0.2)
            try:
                if ready:
                    self.seen += os.read(self.fd, 4096)
            except OSError:
                pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = None
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"the launcher did not end; have {self.seen[-2000:]!r}")

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)
