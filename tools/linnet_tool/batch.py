"""Several commands in one guest, one after the other, with their output collected: what tests and benchmarks use."""

import atexit
import os
import tempfile
import time
from dataclasses import dataclass

from . import boot, protocol, qemu, run
from .guest import Guest, open_log
from .paths import BUILD, ensure

BOOT_LIMIT = 90  # seconds from start to the agent's first word
ANSWER_MARGIN = 20  # seconds more than a command's own timeout, and the guest counts as hung
FILE_LIMIT = 60


def scratch_disk(arch, size):
    """A disk for a guest: empty, and for whoever runs there to write to; the file goes when we do. `size`: "64M"."""
    handle, path = tempfile.mkstemp(".img", f"scratch-{arch.name}-", ensure(BUILD / "test"))
    with open(handle, "wb") as file:
        file.truncate(int(size[:-1]) << {"M": 20, "G": 30}[size[-1]])
    atexit.register(lambda: os.path.exists(path) and os.unlink(path))
    return qemu.Disk(path)


class GuestLost(Exception):
    """The guest panicked, hung or ended; the message tells, with the kernel's log."""


@dataclass
class Outcome:
    kind: int
    value: int
    timed_out: bool
    stdout: bytes
    stderr: bytes
    both: bytes  # standard output and error in the order they came
    seconds: float

    @property
    def status(self):
        """As a shell would say it; 124 for a timeout."""
        if self.timed_out:
            return run.STATUS_TIMEOUT
        if self.kind == protocol.EXITED:
            return self.value
        if self.kind == protocol.SIGNALLED:
            return 128 + self.value
        return run.STATUS_NOT_FOUND if self.kind == protocol.EXEC_FAILED else run.STATUS_NO_GUEST


class Batch(Guest):
    """Use as a context manager; the guest is booted on entry and powered off on exit."""

    def __init__(self, setup, log_path=None):
        super().__init__(log_file=open_log(log_path))
        self.setup = setup
        self._reset()
        self.errors = []
        self.files_done = 0
        self.powered_off = None

    def _reset(self):
        self.exit = None
        self.stdout, self.stderr, self.both = bytearray(), bytearray(), bytearray()
        self.credit = 0
        self.input = b""
        self.input_sent = False

    def __enter__(self):
        self.prepared = boot.prepare(self.setup)
        try:
            self.start(self.prepared.program, self.prepared.machine)
            self._wait(lambda: self.hello, BOOT_LIMIT, "the kernel did not boot")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, traceback):
        if kind is None and self.running and not self.panicked and self.hello:
            self.powered_off = self.power_off(run.STORE_LIMIT if self.setup.persist else 10)
        self.close()
        self.prepared.clean_up()

    def on_frame(self, kind, payload):
        if kind == protocol.OUTPUT:
            self.stdout += payload
            self.both += payload
        elif kind == protocol.ERROR:
            self.stderr += payload
            self.both += payload
        elif kind == protocol.CREDIT:
            self.credit += int.from_bytes(payload, "little")
            self._send_input()
        elif kind == protocol.INPUT_CLOSED:
            self.input_sent = True
        elif kind == protocol.EXIT:
            self.exit = protocol.exit_status(payload)
        elif kind == protocol.FILE_DONE:
            self.files_done += 1
            error = int.from_bytes(payload, "little")
            if error:
                self.errors.append(error)

    def _send_input(self):
        while self.input and self.credit and not self.input_sent:
            size = min(self.credit, protocol.DATA_CHUNK, len(self.input))
            self.send(protocol.frame(protocol.INPUT, self.input[:size]))
            self.input = self.input[size:]
            self.credit -= size
        if not self.input and not self.input_sent:
            self.send(protocol.frame(protocol.INPUT))
            self.input_sent = True

    def _wait(self, done, seconds, complaint):
        end = time.monotonic() + seconds
        while not done():
            if self.panic_complete() or (self.panicked and not self.running):
                self.kill()
                raise GuestLost("the kernel panicked:\n" + self.panic_text())
            if not self.running:
                raise GuestLost(f"{complaint}: the guest ended\n{self.qemu_complaint()}\n{self.log_tail()}".strip())
            if time.monotonic() > end:
                self.kill()
                raise GuestLost(f"{complaint}: no answer for {seconds:g} s\n{self.log_tail()}".strip())
            self.step(0.5 if self.panicked else min(5.0, max(0.0, end - time.monotonic())))

    def put(self, path, data, mode=0o755):
        """Writes a file in the guest."""
        self.errors.clear()
        requests = list(protocol.file_requests(path.encode(), data, mode))
        target = self.files_done + len(requests)
        for request in requests:
            self.send(request)
        self._wait(lambda: self.files_done >= target, FILE_LIMIT, f"writing {path} in the guest")
        if self.errors:
            raise GuestLost(f"the guest could not write {path}: errno {self.errors[0]}")

    def remove(self, path):
        target = self.files_done + 1
        self.send(protocol.remove_request(path.encode()))
        self._wait(lambda: self.files_done >= target, FILE_LIMIT, f"removing {path} in the guest")

    def run(self, argv, timeout, stdin=b"", env=None, cwd="/"):
        """Runs one command to its end; `argv` is a list of str or bytes."""
        self._reset()
        self.input = stdin
        words = [word if isinstance(word, bytes) else word.encode() for word in argv]
        settings = run.environment([f"{name}={value}" for name, value in (env or {}).items()], "linux")
        start = time.monotonic()
        self.send(protocol.run_request(words, settings, cwd.encode(), timeout=timeout))
        self._wait(lambda: self.exit is not None, timeout + ANSWER_MARGIN, f"running {words[0].decode()}")
        kind, value, timed_out = self.exit
        return Outcome(kind, value, timed_out, bytes(self.stdout), bytes(self.stderr), bytes(self.both),
                       time.monotonic() - start)
