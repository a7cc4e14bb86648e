"""`./linnet debug`: a guest halted at its first instruction, with gdb attached, symbols and helpers loaded."""

import os
import signal
import socket
import subprocess
import tempfile

from . import boot, kernel, packages, qemu, rootfs
from .guest import Guest, open_log
from .paths import ROOT
from .ui import LinnetError, say

GDB_ARCH = {"x86_64": "i386:x86-64", "aarch64": "aarch64", "riscv64": "riscv:rv64", "loongarch64": "Loongarch64"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_known(arch):
    """Whether Debian's gdb-multiarch knows the architecture; Debian 12's is too old for LoongArch."""
    packages.require("gdb-multiarch")
    known = subprocess.run(["gdb-multiarch", "-nx", "-batch", "-ex", f"set architecture {GDB_ARCH[arch.name]}"],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return "Undefined item" not in known.stdout


def debugger(arch):
    if not is_known(arch):
        raise LinnetError(f"this gdb-multiarch does not know {arch.name}")
    return "gdb-multiarch"


def run(options):
    gdb = debugger(options.arch)
    log = options.log or tempfile.mkstemp(prefix="linnet-", suffix=".log")[1]
    log_file = open_log(log)
    setup = boot.Setup(options.arch, kernel=options.kernel, smp=options.smp, memory=options.mem, root=options.rootfs,
                       machine=options.machine, append=" ".join(filter(None, ["nokaslr", options.append])),
                       debug=options.debug, sanitize=options.sanitize, quiet=False,
                       disks=[qemu.Disk.parse(text) for text in options.disk], persist=options.persist)
    setup.root = rootfs.get(setup.root, setup.arch)
    boot.check_root(setup, options.rootfs)
    prepared = boot.prepare(setup)
    port = free_port()
    prepared.machine.extra += ["-S", "-gdb", f"tcp:127.0.0.1:{port}"]
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os._exit(serve(prepared, setup, log_file))
    say(f"the guest waits; its kernel's log goes to {log}")
    # Ctrl-C is for gdb.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.call([gdb, *gdb_words(options, port)], preexec_fn=lambda: signal.signal(signal.SIGINT,
                                                                                                  signal.SIG_DFL))
    finally:
        try:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        prepared.clean_up()


def serve(prepared, setup, log_file):
    """In a process of its own: keeps the guest's ends open and its log written until gdb is done."""
    guest = Guest(with_agent=not setup.own_init, log_file=log_file)
    signal.signal(signal.SIGTERM, lambda *_: guest.process.kill() if guest.process else os._exit(0))
    try:
        guest.start(prepared.program, prepared.machine)
        while guest.running:
            guest.step(5)
    finally:
        guest.close()
    return 0


def gdb_words(options, port):
    words = ["-q", "-nx", "-ex", "set confirm off", "-ex", "set pagination off", "-ex", "set language c++"]
    words += ["-ex", f"set architecture {GDB_ARCH[options.arch.name]}"]
    if options.kernel == "linnet":
        symbols = kernel.symbols(options.arch, options.debug, options.sanitize)
        words += ["-ex", f"file {symbols}", "-x", str(ROOT / "tools" / "gdb" / "linnet.py")]
    words += ["-ex", f"target remote 127.0.0.1:{port}"]
    for command in options.execute or ():
        words += ["-ex", command]
    return words + (["-batch"] if options.batch else [])
