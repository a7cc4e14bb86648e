"""Puts a guest together: the kernel, the initramfs with the agent, the command line, the machine."""

import os
import re
import threading
from dataclasses import dataclass, field, replace

from . import agent, kernel, linux, qemu, rootfs
from .paths import BUILD, ensure
from .ui import LinnetError

MEMORY = re.compile(r"[1-9][0-9]*[KMGT]?", re.IGNORECASE)


@dataclass
class Setup:
    """What a guest shall be."""

    arch: object
    kernel: str = "linnet"  # or "linux", or "linux-bench"
    smp: int = 2
    memory: str = "1G"
    root: object = "busybox"  # a name, or a rootfs.Root
    machine: str = ""
    append: str = ""
    debug: bool = False
    sanitize: bool = False
    quiet: bool = True  # Linux only: no boot messages, which cost time on a UART
    icount: bool = False
    direct: bool = False  # Linux on LoongArch without firmware: quicker, but without PCI
    cpu: str = ""
    disks: list = field(default_factory=list)  # of qemu.Disk
    shares: list = field(default_factory=list)  # of qemu.Share
    persist: bool = False  # a root on a disk keeps what the guest writes
    extra: list = field(default_factory=list)  # further words for QEMU

    def __post_init__(self):
        self.check()

    def check(self):
        if not 1 <= self.smp <= 64:
            raise LinnetError(f"--smp {self.smp}: between 1 and 64 processors are possible")
        if not MEMORY.fullmatch(self.memory):
            raise LinnetError(f"--mem {self.memory}: a size is a number with K, M, G or T behind it")
        machine = self.machine.split(",")[0]
        if machine and machine not in self.arch.machines:
            raise LinnetError(f"no machine '{machine}' on {self.arch.name} (there are: "
                              f"{', '.join(self.arch.machines)})")

    @property
    def own_init(self):
        """The user said what PID 1 is; then there is no agent."""
        return any(word.startswith(("init=", "rdinit=")) for word in words_of(self.append))


def words_of(text):
    """The kernel's words of a command line, up to the `--` behind which all belongs to init."""
    found = []
    for word in text.split():
        if word == "--":
            break
        found.append(word)
    return found


def check_root(setup, name):
    """What can't be had with a root of this kind comes to light before anything is built; `name` is the user's for it."""
    disk = setup.root.disk
    if setup.persist and not disk:
        raise LinnetError(f"--persist: the root {name} is no disk image; what a guest writes to it is always gone afterwards")
    if setup.persist and not os.access(disk.path, os.W_OK):
        raise LinnetError(f"--persist: no permission to write to {disk.path}")
    if disk and any(word.startswith("rdinit=") for word in words_of(setup.append)):
        raise LinnetError(f"rdinit= in --append names a program of an initramfs, but {name} is a disk image; try init=")


@dataclass
class Prepared:
    """A guest ready to be started."""

    program: qemu.Program
    machine: qemu.Machine
    root: rootfs.Root
    image: object
    temporary: list

    def clean_up(self):
        for path in self.temporary:
            try:
                os.unlink(path)
            except OSError:
                pass


def prepare(setup):
    """Builds or fetches all that the guest needs."""
    arch = setup.arch
    root = setup.root if isinstance(setup.root, rootfs.Root) else rootfs.get(setup.root, arch)
    modules = []
    firmware = None
    if setup.kernel.startswith("linux"):
        debian_kernel = linux.get(arch, "bench" if setup.kernel == "linux-bench" else "oracle")
        image, modules = debian_kernel.image, list(debian_kernel.modules)
        if setup.shares:
            if not debian_kernel.share_modules:
                raise LinnetError(f"--share: Debian's kernel for {arch.name} has no 9p; riscv64's and loongarch64's have")
            modules += debian_kernel.share_modules
        if arch.name == "loongarch64" and not setup.direct:
            firmware = qemu.firmware(arch)
    else:
        image = kernel.build(arch, setup.debug, setup.sanitize)
    program = qemu.program(arch, need_icount=setup.icount)
    temporary = [root.archive] if root.temporary else []
    if root.disk:
        initrd, disks = _for_disk(setup, root, modules, temporary), [_root_disk(setup, root), *setup.disks]
    else:
        initrd = root.archive if setup.own_init else _with_agent(arch, root, modules, setup, temporary)
        disks = list(setup.disks)
    machine = qemu.Machine(
        arch=arch, kernel=image, initrd=initrd, append=command_line(setup, root), smp=setup.smp, memory=setup.memory,
        machine=setup.machine, cpu=setup.cpu or default_cpu(setup), firmware=firmware, icount=setup.icount,
        disks=disks, shares=list(setup.shares), extra=list(setup.extra))
    return Prepared(program, machine, root, image, temporary)


def default_cpu(setup):
    if setup.icount:
        return setup.arch.cpu["bench"]
    return setup.arch.cpu["linux" if setup.kernel.startswith("linux") else "linnet"]


def command_line(setup, root):
    console = setup.arch.console
    words = [f"console={console}", "panic=-1"]
    if root.device:
        words += [f"root={root.device}", "rw"]
    if not setup.own_init or _needs_loader(setup, root):
        words.append(f"rdinit={agent.INIT}")
    if setup.kernel.startswith("linux") and setup.quiet:
        words.append("quiet")
    if setup.direct and setup.arch.name == "loongarch64" and setup.kernel.startswith("linux"):
        # Probing a keyboard controller that is not there would take for ever.
        words.append("initcall_blacklist=i8042_init")
    # The user's words come last, so they win.
    return " ".join(words + ([setup.append] if setup.append else []))


def _needs_loader(setup, root):
    """Debian's kernel has the drivers of disks as modules: the agent loads them, and makes way for the user's init."""
    return root.device is not None and setup.own_init and setup.kernel.startswith("linux")


def _root_disk(setup, root):
    return replace(root.disk, keeps_changes=setup.persist)


def _for_disk(setup, root, modules, temporary):
    """The agent alone, which mounts the root; nothing where the kernel does that itself."""
    if setup.own_init and not _needs_loader(setup, root):
        return None
    home = ensure(BUILD / "run")
    out = home / f"agent-{os.getpid()}-{threading.get_ident()}.cpio"
    temporary.append(out)
    out.write_bytes(agent.archive(setup.arch, modules))
    return out


def _with_agent(arch, root, modules, setup, temporary):
    """The root with the agent's archive behind it; kept as long as both parts stay the same."""
    program = agent.get(arch)
    home = ensure(BUILD / "run")
    if root.temporary:
        out = home / f"initrd-{os.getpid()}.cpio"
        temporary.append(out)
    else:
        shares = "-shares" if setup.shares and modules else ""
        out = home / f"{root.archive.stem}-{setup.kernel}{shares}.cpio"
        parts = [program, root.archive, *modules]
        if out.exists() and all(part.stat().st_mtime_ns < out.stat().st_mtime_ns for part in parts):
            return out
    partial = home / f"{out.name}.{os.getpid()}.{threading.get_ident()}"  # tests prepare several guests at a time
    with open(root.archive, "rb") as source, open(partial, "wb") as target:
        while block := source.read(1 << 20):
            target.write(block)
        target.write(agent.archive(arch, modules))
    partial.rename(out)
    return out
