"""`./linnet run`: one guest, one command or one shell, joined to the launcher's own standard streams."""

import errno
import os
import select
import selectors
import signal
import stat
import sys
import time

from . import boot, protocol, qemu, rootfs, terminal
from .guest import Guest, open_log
from .ui import LinnetError, say

STATUS_TIMEOUT = 124
STATUS_NO_GUEST = 125
STATUS_NOT_EXECUTABLE = 126
STATUS_NOT_FOUND = 127

BOOT_SILENCE = 120  # seconds without a word from a booting kernel, and it is given up
POWER_OFF_LIMIT = 5
STORE_LIMIT = 300  # the same for a guest that stores what it has written to a disk first
OUTPUT_HELD = 1 << 20  # of output that our own reader has not taken yet, before the guest must wait
PIPE_ATOMIC = 4096  # what a pipe that select() calls writable surely takes without blocking

# Of a root that nobody has looked into.
ANY_SHELL = [b"sh", b"-c", b"if command -v bash > /dev/null; then exec bash; else exec sh; fi"]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(extra, term):
    """The command's environment; --env adds and replaces."""
    values = {b"PATH": DEFAULT_PATH.encode(), b"HOME": b"/root", b"TERM": os.fsencode(term), b"LANG": b"C.UTF-8"}
    for setting in extra or ():
        name, equals, value = os.fsencode(setting).partition(b"=")
        if not equals or not name:
            raise LinnetError(f"--env {setting}: it must be NAME=value")
        values[name] = value
    return [name + b"=" + value for name, value in values.items()]


class Output:
    """One of our own output descriptors, fed without ever blocking for long."""

    def __init__(self, guest, fd, stream):
        self.guest = guest
        self.fd = fd
        self.stream = stream  # 1 or 2, as the agent counts
        self.pending = bytearray()
        self.broken = False
        self.watching = False
        kind = os.fstat(fd).st_mode if _is_open(fd) else 0
        self.plain = stat.S_ISREG(kind)
        self.chunk = PIPE_ATOMIC if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) else 1 << 16
        self.broken = kind == 0

    def write(self, data):
        if not self.broken:
            self.pending += data
            self.flush_some()

    def flush_some(self):
        """Writes what can be written now, and arranges to be called for the rest."""
        poller = select.poll()
        poller.register(self.fd, select.POLLOUT)
        try:
            while self.pending:
                if not self.plain:
                    ready = poller.poll(0)
                    if not ready:
                        break
                written = os.write(self.fd, memoryview(self.pending)[:self.chunk])
                del self.pending[:written]
        except BlockingIOError:
            pass
        except OSError as error:
            self._break(error)
        self._watch(bool(self.pending))

    def _break(self, error):
        # Nobody reads: the guest's command shall see that as it would on this machine.
        self.broken = True
        self.pending.clear()
        self.guest.send(protocol.frame(protocol.CLOSE_OUTPUT, protocol.number(self.stream)))
        if error.errno != errno.EPIPE:
            say(f"cannot write to {'standard output' if self.stream == 1 else 'standard error'}: {error.strerror}")

    def _watch(self, wanted):
        if wanted and not self.watching:
            self.guest.watch(self.fd, selectors.EVENT_WRITE, lambda _: self.flush_some())
        elif not wanted and self.watching:
            self.guest.unwatch(self.fd)
        self.watching = wanted

    def finish(self):
        """Writes the rest, blocking if need be."""
        self._watch(False)
        while self.pending and not self.broken:
            try:
                written = os.write(self.fd, self.pending)
                del self.pending[:written]
            except BlockingIOError:
                select.select([], [self.fd], [], 1)
            except OSError as error:
                self._break(error)


def _is_open(fd):
    try:
        os.fstat(fd)
        return True
    except OSError:
        return False


class Runner(Guest):
    """A guest whose single command is joined to our standard streams."""

    def __init__(self, options, setup, root, log_file):
        super().__init__(with_agent=not setup.own_init, log_file=log_file, log_echo=options.verbose)
        self.options = options
        self.setup = setup
        self.interactive = not options.command and _is_terminal(0) and _is_terminal(1)
        self.request = None if setup.own_init else self._request(options, root)
        self.out = Output(self, 1, 1)
        self.err = Output(self, 2, 2)
        self.credit = 0
        self.input_watched = False
        self.input_over = False
        self.command_started = False
        self.early_signals = []
        self.signals_seen = 0
        self.ended_by_signal = None
        self.exit = None
        self.shares_done = 0
        self.share_error = None
        self.wake_read, self.wake_write = os.pipe()
        os.set_blocking(self.wake_read, False)
        os.set_blocking(self.wake_write, False)
        self.signals_pending = []

    def _request(self, options, root):
        command = [os.fsencode(word) for word in options.command]
        if not command:
            command = [b"bash" if root.bash else b"sh"] if not root.disk else ANY_SHELL
        term = os.environ.get("TERM", "linux") if self.interactive else "dumb" if not _is_terminal(1) else "linux"
        settings = environment(options.env, term)
        return protocol.run_request(command, settings, os.fsencode(options.cwd), self.interactive,
                                    terminal.size() if self.interactive else (24, 80))

    # -- events ------------------------------------------------------------------------------------------------------

    def on_frame(self, kind, payload):
        if kind == protocol.HELLO:
            if protocol.VERSION != int.from_bytes(payload, "little"):
                raise LinnetError("the guest agent speaks another version of the protocol; remove build/ and try again")
            self._mount_next()
        elif kind == protocol.SHARE_DONE:
            self._share_done(int.from_bytes(payload, "little"))
        elif kind == protocol.STARTED:
            self.command_started = True
            for number in self.early_signals:
                self._send_signal(number)
        elif kind == protocol.OUTPUT:
            self.out.write(payload)
        elif kind == protocol.ERROR:
            self.err.write(payload)
        elif kind == protocol.CREDIT:
            self.credit += int.from_bytes(payload, "little")
            self._watch_input()
        elif kind == protocol.INPUT_CLOSED:
            self.input_over = True
            self._watch_input()
        elif kind == protocol.EXIT:
            self.exit = protocol.exit_status(payload)
            self.input_over = True
            self._watch_input()
        self._throttle()

    def _mount_next(self):
        """Mounts the folders one after the other; the command comes behind the last."""
        if self.shares_done == len(self.setup.shares):
            self.send(self.request)
            return
        share = self.setup.shares[self.shares_done]
        tag = share.tag(self.shares_done).encode()
        self.send(protocol.share_request(tag, os.fsencode(share.place), share.read_only))

    def _share_done(self, error):
        if error:
            self.share_error = f"cannot mount {self.setup.shares[self.shares_done].place}: {os.strerror(error)}"
        else:
            self.shares_done += 1
            self._mount_next()

    def on_console(self, data):
        if not self.with_agent:
            self.out.write(data)

    def _throttle(self):
        """Takes nothing more from the agent while our own reader is far behind."""
        held = len(self.out.pending) + len(self.err.pending)
        agent = self.agent
        if held > OUTPUT_HELD and agent in self.selector.get_map():
            self.unwatch(agent)

    def step(self, timeout=None):
        held = len(self.out.pending) + len(self.err.pending)
        if self.running and self.agent and held <= OUTPUT_HELD and self.agent.fileno() >= 0 \
                and self.agent not in self.selector.get_map():
            self._wants_write = False
            self.watch(self.agent, selectors.EVENT_READ, self._on_agent)
        super().step(timeout)

    def _watch_input(self):
        wanted = not self.input_over and (self.credit > 0 or not self.with_agent) and _is_open(0)
        if wanted and not self.interactive and self.with_agent and _is_terminal(0):
            # Reading from a terminal that is not ours at the moment would stop us.
            wanted = terminal.in_foreground()
        if wanted and not self.input_watched:
            try:
                self.watch(0, selectors.EVENT_READ, self._on_input)
            except PermissionError:
                # Plain files are always ready and cannot be watched.
                self.watch_plain_input()
                return
        elif not wanted and self.input_watched:
            self.unwatch(0)
        self.input_watched = wanted
        if not _is_open(0) and not self.input_over:
            self._end_input()

    def watch_plain_input(self):
        while self.credit > 0 and not self.input_over:
            self._on_input(0)

    def _on_input(self, _events):
        limit = min(self.credit, protocol.DATA_CHUNK) if self.with_agent else 256
        try:
            data = os.read(0, limit)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not self.with_agent:
            self._type(data)
        elif data:
            self.credit -= len(data)
            self.send(protocol.frame(protocol.INPUT, data))
        if not data:
            self._end_input()
        self._watch_input()

    def _type(self, data):
        """Without an agent, what is typed goes to the UART."""
        if data:
            self.serial.setblocking(True)
            try:
                self.serial.sendall(data)
            except OSError:
                pass
            self.serial.setblocking(False)

    def _end_input(self):
        self.input_over = True
        if self.with_agent:
            self.send(protocol.frame(protocol.INPUT))
        if self.input_watched:
            self.unwatch(0)
            self.input_watched = False

    # -- signals -----------------------------------------------------------------------------------------------------

    def install_signals(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        if self.interactive:
            signal.signal(signal.SIGWINCH, self._on_signal)
            signal.signal(signal.SIGCONT, self._on_signal)
            signal.signal(signal.SIGTSTP, self._on_signal)
        self.watch(self.wake_read, selectors.EVENT_READ, lambda _: self._take_signals())

    def _on_signal(self, number, _frame):
        self.signals_pending.append(number)
        try:
            os.write(self.wake_write, b"!")
        except OSError:
            pass

    def _take_signals(self):
        try:
            os.read(self.wake_read, 4096)
        except BlockingIOError:
            pass
        while self.signals_pending:
            self._take_signal(self.signals_pending.pop(0))

    def _take_signal(self, number):
        if number == signal.SIGWINCH:
            rows, columns = terminal.size()
            self.send(protocol.frame(protocol.WINDOW_SIZE, rows.to_bytes(2, "little") + columns.to_bytes(2, "little")))
        elif number == signal.SIGTSTP:
            terminal.restore()
            os.kill(os.getpid(), signal.SIGSTOP)
        elif number == signal.SIGCONT:
            if self.interactive or not self.with_agent:
                terminal.make_raw()
        elif number in (signal.SIGHUP, signal.SIGQUIT):
            self.ended_by_signal = number
        else:
            self.signals_seen += 1
            if self.signals_seen > 1 or not self.with_agent:
                self.ended_by_signal = number
            elif self.command_started:
                self._send_signal(number)
            else:
                self.early_signals.append(number)

    def _send_signal(self, number):
        self.send(protocol.frame(protocol.SIGNAL, protocol.number(number)))

    # -- the whole run -----------------------------------------------------------------------------------------------

    def run(self, prepared):
        """Boots, relays until the end, and returns the exit status."""
        self.install_signals()
        raw = self.interactive or (not self.with_agent and _is_terminal(0))
        if raw:
            terminal.make_raw()
        try:
            self.start(prepared.program, prepared.machine)
            if not self.with_agent:
                self._watch_input()
            status = self._relay()
            self.out.finish()
            self.err.finish()
        finally:
            self.close()
            if raw:
                terminal.restore()
        return status

    def _relay(self):
        end = self.started + self.options.timeout if self.options.timeout else None
        while True:
            now = time.monotonic()
            if self.exit is not None:
                return self._finish()
            if self.ended_by_signal is not None:
                return self._end_by_signal()
            if self.share_error:
                return self._share_failed()
            if end is not None and now >= end:
                return self._time_out()
            if not self.running or self.panic_complete():
                return self._ended_early()
            if self.with_agent and not self.hello and not self.panicked and now - self.last_log > BOOT_SILENCE:
                return self._no_boot(f"no sign of life from the kernel for {BOOT_SILENCE} s")
            limits = [1.0 if self.panicked or not self.hello else 60.0]
            if end is not None:
                limits.append(max(0.0, end - now))
            self.step(min(limits))

    def _finish(self):
        kind, value, _ = self.exit
        # Our own reader may be slow: nothing is lost by writing it all before the guest ends.
        self.out.finish()
        self.err.finish()
        kept = self.setup.persist
        if not self.power_off(STORE_LIMIT if kept else POWER_OFF_LIMIT) and (self.interactive or kept):
            terminal.restore()
            say("the guest did not power off; ended it" + (": the disk may lack what was written last" if kept else ""))
        if self.panicked:
            return self._ended_early()
        if kind == protocol.EXITED:
            return value
        if kind == protocol.SIGNALLED:
            return 128 + value
        return self._not_started(kind, value)

    def _not_started(self, kind, error):
        if kind == protocol.CWD_FAILED:
            say(f"cannot change to the folder {self.options.cwd}: {os.strerror(error)}")
            return STATUS_NO_GUEST
        if kind == protocol.EXEC_FAILED:
            command = self.options.command[0] if self.options.command else "the shell"
            say(f"cannot run {os.fsencode(command).decode(errors='replace')}: {os.strerror(error)}")
            return STATUS_NOT_FOUND if error in (errno.ENOENT, errno.ENOTDIR) else STATUS_NOT_EXECUTABLE
        say(f"the guest could not start the command: {os.strerror(error)}")
        return STATUS_NO_GUEST

    def _end_by_signal(self):
        self.kill()
        terminal.restore()
        say(f"ended the guest ({signal.Signals(self.ended_by_signal).name})")
        return 128 + self.ended_by_signal

    def _share_failed(self):
        self.kill()
        terminal.restore()
        say(self.share_error)
        return STATUS_NO_GUEST

    def _time_out(self):
        self.kill()
        terminal.restore()
        say(f"timed out after {self.options.timeout:g} s; ended the guest")
        return STATUS_TIMEOUT

    def _ended_early(self):
        """The guest is gone, or its kernel has panicked, before the command ended."""
        self.kill()
        if self.panicked:
            terminal.restore()
            say("the kernel panicked:")
            sys.stderr.write(self.panic_text() + "\n")
            return STATUS_NO_GUEST
        # A command may power the guest off before the agent gets to say that it has started.
        if self.ended_cleanly() and (self.hello or not self.with_agent):
            return 0
        if self.command_started:
            return self._no_boot("the guest ended before the command did")
        return self._no_boot("the kernel did not boot")

    def _no_boot(self, why):
        self.kill()
        terminal.restore()
        say(why)
        if self.qemu_complaint():
            say(self.qemu_complaint())
        if self.log_tail():
            say("the end of the kernel's log:")
            sys.stderr.write(self.log_tail() + "\n")
        return STATUS_NO_GUEST


def _is_terminal(fd):
    try:
        return os.isatty(fd)
    except OSError:
        return False


def run(options):
    setup = boot.Setup(
        arch=options.arch, kernel=options.kernel, smp=options.smp, memory=options.mem, root=options.rootfs,
        machine=options.machine, append=options.append, debug=options.debug, sanitize=options.sanitize,
        disks=[qemu.Disk.parse(text) for text in options.disk],
        shares=[qemu.Share.parse(text) for text in options.share], quiet=not (options.log or options.verbose),
        persist=options.persist)
    if setup.own_init and options.command:
        raise LinnetError("with init= or rdinit= in --append there is no agent to run a command")
    # Mistakes in the options come to light before the first download or build.
    environment(options.env, "")
    log_file = open_log(options.log)
    setup.root = rootfs.get(setup.root, setup.arch)
    boot.check_root(setup, options.rootfs)
    if not options.command and not setup.own_init and not setup.root.shell:
        setup.root.clean_up()
        raise LinnetError(f"the root {options.rootfs} has no shell (/bin/sh); give a command after --")
    prepared = boot.prepare(setup)
    try:
        return Runner(options, setup, prepared.root, log_file).run(prepared)
    finally:
        prepared.clean_up()
