"""One running guest: a QEMU process, the kernel's log from its UART, and the agent's port.

A single-threaded event loop: `step()` waits for anything to happen and calls back. Whoever drives a guest (a `run`, a
batch of tests) overrides `on_frame` and adds its own descriptors with `watch()`.
"""

import ctypes
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import time

from . import protocol, qemu
from .ui import LinnetError, verbose

LOG_LIMIT = 4 << 20  # of the kernel's log kept in memory
PANIC_QUIET = 1.0  # after a panic's last line: that long nothing more, and it is complete
PANIC_LIMIT = 10.0
SOCKET_BUFFER = 1 << 20

PANIC = re.compile(rb"^(?:<\d+>)?(?:\[[^\]\n]*\]\s*)*(?:Kernel panic|panic:|PANIC:)", re.MULTILINE)
_TROUBLE = re.compile(rb"BUG:|Oops|Unable to handle|Internal error|general protection|cut here|sysrq: Trigger")
_GOODBYE = re.compile(rb"reboot: (Restarting system|Power down|System halted)")

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def open_log(path):
    """The file that a guest's log goes to, or None where nobody asked for one."""
    if not path:
        return None
    try:
        return open(path, "wb")
    except OSError as error:
        raise LinnetError(f"cannot write the log {path}: {error.strerror}") from None


class Guest:
    def __init__(self, with_agent=True, log_file=None, log_echo=False):
        self.with_agent = with_agent
        self.log = bytearray()
        self.log_file = log_file
        self.log_echo = log_echo
        self.process = None
        self.hello = False
        self.panicked_at = None
        self.shutdown_reason = None
        self.last_log = time.monotonic()
        self.selector = selectors.DefaultSelector()
        self.decoder = protocol.Decoder()
        self.outbox = bytearray()
        self.agent = self.serial = self.monitor = None
        self._echoed = self._scanned = 0
        self._monitor_text = b""
        self._wants_write = False
        self.qemu_output = None

    # -- starting and ending -----------------------------------------------------------------------------------------

    def start(self, chosen, machine):
        """Starts QEMU (a qemu.Program) with a qemu.Machine; returns at once."""
        pairs = {}
        for name in ("serial", "monitor") + (("agent",) if self.with_agent else ()):
            ours, theirs = socket.socketpair()
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
            ours.setblocking(False)
            pairs[name] = (ours, theirs)
            setattr(self, name, ours)
            setattr(machine, f"{name}_fd", theirs.fileno())
        command = chosen.command + machine.command()
        verbose("starting " + " ".join(command))
        import tempfile
        self.qemu_output = tempfile.TemporaryFile()
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self.qemu_output, stderr=self.qemu_output,
                pass_fds=[theirs.fileno() for _, theirs in pairs.values()], start_new_session=True,
                env=qemu.pass_environment(chosen), preexec_fn=_die_with_parent)
        except OSError as error:
            raise LinnetError(f"cannot start {command[0]}: {error.strerror}") from None
        for _, theirs in pairs.values():
            theirs.close()
        self.started = self.last_log = time.monotonic()
        self.watch(os.pidfd_open(self.process.pid), selectors.EVENT_READ, self._on_end)
        self.watch(self.serial, selectors.EVENT_READ, self._on_serial)
        self.watch(self.monitor, selectors.EVENT_READ, self._on_monitor)
        self.monitor.send(b'{"execute":"qmp_capabilities"}\n')
        if self.agent:
            self.watch(self.agent, selectors.EVENT_READ, self._on_agent)

    @property
    def running(self):
        return self.process is not None and self.process.returncode is None

    def kill(self):
        """Ends QEMU at once and takes in what it still had to say."""
        if self.running:
            self.process.kill()
        self.wait_end(10)

    def wait_end(self, seconds):
        """Waits until QEMU has ended; false if it has not."""
        end = time.monotonic() + seconds
        while self.running and time.monotonic() < end:
            self.step(max(0, end - time.monotonic()))
        return not self.running

    def power_off(self, seconds=5):
        """Asks the agent to power the guest off; ends QEMU if that takes too long. True if the guest did it."""
        self.send(protocol.frame(protocol.POWER_OFF))
        if self.wait_end(seconds):
            return True
        self.kill()
        return False

    def close(self):
        if self.running:
            self.kill()
        for key in list(self.selector.get_map().values()):
            self.selector.unregister(key.fileobj)
        for end in (self.agent, self.serial, self.monitor, self.log_file, self.qemu_output):
            if end:
                end.close()
        self.selector.close()

    # -- the event loop ------------------------------------------------------------------------------------------------

    def watch(self, fileobj, events, callback):
        self.selector.register(fileobj, events, callback)

    def unwatch(self, fileobj):
        try:
            self.selector.unregister(fileobj)
        except (KeyError, ValueError):
            pass

    def step(self, timeout=None):
        if self.agent and bool(self.outbox) != self._wants_write:
            self._wants_write = bool(self.outbox)
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._wants_write else 0)
            try:
                self.selector.modify(self.agent, events, self._on_agent)
            except KeyError:
                self.outbox.clear()
        for key, events in self.selector.select(timeout):
            if key.fileobj in self.selector.get_map():
                key.data(events)

    def send(self, data):
        """Queues frames for the agent."""
        if self.running:
            self.outbox += data

    def on_frame(self, kind, payload):
        """What the agent says; HELLO has been noticed already."""

    def on_console(self, data):
        """What the UART says, besides being logged."""

    def _on_end(self, _events):
        self.process.wait()
        # What was still under way in the sockets.
        for drain in (self._on_serial, self._on_monitor, lambda _: self._read_agent()):
            drain(0)
        for key in list(self.selector.get_map().values()):
            if isinstance(key.fileobj, int) and key.data == self._on_end:
                self.selector.unregister(key.fileobj)
                os.close(key.fileobj)

    def _receive(self, end):
        """Everything that can be read now; closes the watch at the end of the stream."""
        data = bytearray()
        while end.fileno() >= 0:
            try:
                block = end.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError:
                block = b""
            if not block:
                self.unwatch(end)
                break
            data += block
            if len(data) >= 1 << 18 and self.running:
                break
        return bytes(data)

    def _on_serial(self, _events):
        data = self._receive(self.serial)
        if not data:
            return
        self.last_log = time.monotonic()
        self.on_console(data)
        self.add_log(data.replace(b"\r\n", b"\n").replace(b"\r", b""))

    def add_log(self, text):
        self.log += text
        if len(self.log) > LOG_LIMIT:
            cut = len(self.log) - LOG_LIMIT // 2
            del self.log[:cut]
            self._echoed = max(0, self._echoed - cut)
            self._scanned = max(0, self._scanned - cut)
        if self.log_file:
            self.log_file.write(text)
            self.log_file.flush()
        if self.log_echo:
            end = self.log.rfind(b"\n") + 1
            if end > self._echoed:
                for line in self.log[self._echoed:end].decode(errors="replace").splitlines():
                    verbose(line)
                self._echoed = end
        self._look_for_panic()

    def _look_for_panic(self):
        """Searches the lines that are new, and the unfinished one before them."""
        if self.panicked_at is None and PANIC.search(self.log, self._scanned):
            self.panicked_at = time.monotonic()
        self._scanned = self.log.rfind(b"\n") + 1

    def _on_monitor(self, _events):
        self._monitor_text += self._receive(self.monitor)
        *lines, self._monitor_text = self._monitor_text.split(b"\n")
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if event.get("event") == "SHUTDOWN":
                self.shutdown_reason = event.get("data", {}).get("reason")

    def _on_agent(self, events):
        if events & selectors.EVENT_READ:
            self._read_agent()
        if events & selectors.EVENT_WRITE and self.outbox:
            try:
                sent = self.agent.send(memoryview(self.outbox)[:1 << 18])
                del self.outbox[:sent]
            except BlockingIOError:
                pass
            except OSError:
                self.outbox.clear()

    def _read_agent(self):
        if not self.agent:
            return
        for kind, payload in self.decoder.feed(self._receive(self.agent)):
            if kind == protocol.HELLO:
                self.hello = True
            self.on_frame(kind, payload)

    # -- verdicts --------------------------------------------------------------------------------------------------

    @property
    def panicked(self):
        return self.panicked_at is not None

    def panic_complete(self):
        """True once the panic's text is all there."""
        now = time.monotonic()
        return self.panicked and (now - self.last_log > PANIC_QUIET or now - self.panicked_at > PANIC_LIMIT)

    def panic_text(self):
        found = PANIC.search(self.log)
        if not found:
            return ""
        before = bytes(self.log[:found.start()]).split(b"\n")[-120:]
        start = next((index for index, line in enumerate(before) if _TROUBLE.search(line)), len(before) - 1)
        text = b"\n".join(before[start:]) + bytes(self.log[found.start():])
        return text.decode(errors="replace").strip("\n")

    def ended_cleanly(self):
        """True if the guest powered itself off or rebooted because it was told to."""
        if self.panicked:
            return False
        if self.shutdown_reason is None:
            # RISC-V's test device ends QEMU 7.2 on the spot, without an event.
            return self.process.returncode == 0
        return self.shutdown_reason == "guest-shutdown" or bool(_GOODBYE.search(self.log[-4096:]))

    def log_tail(self, lines=25):
        return "\n".join(self.log.decode(errors="replace").rstrip().splitlines()[-lines:])

    def qemu_complaint(self):
        """What QEMU itself printed; its reason when it could not start."""
        if not self.qemu_output:
            return ""
        self.qemu_output.seek(0)
        lines = self.qemu_output.read().decode(errors="replace").splitlines()
        return "\n".join(line for line in lines if line.strip())
