"""Which QEMU serves an architecture, and the words it is started with."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field

from . import debian, packages
from .arch import HOST, host_arch
from .paths import SHARED, ensure
from .ui import LinnetError, Progress

# LoongArch needs at least this one: earlier ones lack the vector instructions that Debian's programs use.
LOONGARCH_LEAST = (10, 0)
PRIVATE_SUITE = "forky"


@dataclass
class Program:
    command: list  # starts QEMU
    environment: dict = field(default_factory=dict)
    private: bool = False  # from the private prefix


def program(arch, need_icount=False):
    """The QEMU for an architecture, installed now if need be."""
    if arch.name != "loongarch64":
        packages.require(arch.qemu, *FIRMWARE.get(arch.name, ()))
        return Program([arch.qemu])
    prefix = SHARED / f"qemu-{PRIVATE_SUITE}"
    if not (prefix / "stamp").exists():
        # 10.x aborts with -icount on this architecture.
        if shutil.which(arch.qemu) and system_version(arch.qemu) >= LOONGARCH_LEAST and not need_icount:
            return Program([arch.qemu])
        debian.made_once("qemu-private", prefix, 1, lambda: _make_private(prefix))
    host = HOST[host_arch()]
    libraries = prefix / "usr/lib" / host["triplet"]
    loader = next((path for path in (libraries / host["loader"], prefix / "usr/lib64" / host["loader"],
                                     prefix / "usr/lib" / host["loader"]) if path.exists()), None)
    if not loader:
        raise LinnetError(f"the private QEMU in {prefix} has no {host['loader']}")
    return Program([str(loader), "--library-path", str(libraries), str(prefix / "usr/bin" / arch.qemu),
                    "-L", str(prefix / "usr/share/qemu")],
                   {"QEMU_MODULE_DIR": str(libraries / "qemu")}, private=True)


FIRMWARE = {"riscv64": ("/usr/share/qemu/opensbi-riscv64-generic-fw_dynamic.bin",)}


def system_version(name):
    text = subprocess.run([name, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    found = re.search(r"version (\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _make_private(prefix):
    debs = debian.Archive(PRIVATE_SUITE, HOST[host_arch()]["debian"]).download_closure(["qemu-system-misc"])
    with Progress("unpacking a private QEMU for loongarch64"):
        shutil.rmtree(prefix, ignore_errors=True)
        debian.unpack(debs, ensure(prefix), ("bin", "sbin", "lib", "lib64"),
                      wanted=lambda path: not path.startswith(("usr/share/doc", "usr/share/man", "etc", "var")))


def firmware(arch):
    """UEFI for LoongArch, with which Debian's kernel there finds PCI."""
    home = SHARED / "firmware" / arch.name
    image = home / "usr/share/qemu-efi-loongarch64/QEMU_EFI.fd"
    if not image.exists():
        with debian.locked("firmware"):
            debs = debian.Archive(arch.suite, arch.debian).download(["qemu-efi-loongarch64"])
            debian.unpack(debs, ensure(home), ())
        if not image.exists():
            raise LinnetError("the package qemu-efi-loongarch64 holds no QEMU_EFI.fd")
    return image


@dataclass
class Disk:
    """A file of ours that the guest sees as a disk: /dev/vda, vdb …"""

    path: str
    read_only: bool = False
    keeps_changes: bool = True  # otherwise they go to a temporary file of QEMU's

    @staticmethod
    def parse(text):
        """FILE or FILE:ro."""
        path, colon, mode = text.rpartition(":")
        if not colon or mode not in ("ro", "rw"):
            path, mode = text, "rw"
        if not os.path.exists(path):
            raise LinnetError(f"--disk {text}: there is no {path}; `truncate -s 1G {path}` makes an empty disk")
        if not os.access(path, os.R_OK if mode == "ro" else os.R_OK | os.W_OK):
            raise LinnetError(f"--disk {text}: no permission" + ("" if mode == "ro" else f" to write; try {path}:ro"))
        return Disk(path, mode == "ro")

    def words(self, number, bus, queues):
        name = self.path.replace(",", ",,")
        mode = "on" if self.read_only else "off"
        snapshot = "off" if self.keeps_changes else "on"
        return ["-drive", f"file={name},if=none,id=disk{number},format=raw,discard=unmap,read-only={mode},snapshot={snapshot}",
                "-device", f"{bus},drive=disk{number},num-queues={queues}"]


@dataclass
class Share:
    """A folder of ours that the guest has at one of its own."""

    path: str
    place: str
    read_only: bool = False

    @staticmethod
    def parse(text):
        """HOSTDIR:GUESTDIR or HOSTDIR:GUESTDIR:ro."""
        pair, mode = text, "rw"
        if text.endswith((":ro", ":rw")):
            pair, _, mode = text.rpartition(":")
        path, colon, place = pair.rpartition(":")
        if not colon or not path or not place.startswith("/") or place == "/":
            raise LinnetError(f"--share {text}: it must be FOLDER:PLACE or FOLDER:PLACE:ro; PLACE, in the guest, begins with /")
        if not os.path.isdir(path):
            raise LinnetError(f"--share {text}: there is no folder {path}")
        if not os.access(path, os.R_OK | os.X_OK):
            raise LinnetError(f"--share {text}: no permission to read the folder {path}")
        return Share(os.path.abspath(path), place, mode == "ro")

    @staticmethod
    def tag(number):
        """What the guest mounts it by."""
        return f"share{number}"

    def words(self, number, bus):
        name = self.path.replace(",", ",,")
        # Modes, owners and symlinks are the real ones. With several disks of the host below the folder, numbers of files
        # are made different from each other.
        options = f"local,id=fs{number},path={name},security_model=none,multidevs=remap"
        return ["-fsdev", options + (",readonly=on" if self.read_only else ""),
                "-device", f"{bus},fsdev=fs{number},mount_tag={self.tag(number)}"]


@dataclass
class Machine:
    """What a guest is made of; `command()` says it to QEMU."""

    arch: object
    kernel: str
    initrd: str | None
    append: str
    smp: int = 2
    memory: str = "1G"
    machine: str = ""  # "q35", "virt,gic-version=3", …; empty: the default
    cpu: str = ""
    firmware: str | None = None
    icount: bool = False
    agent_fd: int | None = None
    serial_fd: int | None = None
    monitor_fd: int | None = None
    disks: list = field(default_factory=list)
    shares: list = field(default_factory=list)
    extra: list = field(default_factory=list)

    def command(self):
        arch = self.arch
        machine = self.machine or arch.machines[0]
        words = ["-M", machine, "-cpu", self.cpu, "-smp", str(self.smp), "-m", self.memory]
        words += ["-accel", "tcg" if self.icount else "tcg,thread=multi"]
        if self.icount:
            words += ["-icount", "shift=0,sleep=off"]
        words += ["-nodefaults", "-no-user-config", "-display", "none", "-nic", "none", "-no-reboot"]
        if self.firmware:
            words += ["-bios", str(self.firmware)]
        words += ["-kernel", str(self.kernel), "-append", self.append]
        if self.initrd:
            words += ["-initrd", str(self.initrd)]
        for name, fd in (("serial", self.serial_fd), ("agent", self.agent_fd), ("monitor", self.monitor_fd)):
            if fd is not None:
                words += ["-chardev", f"socket,id={name},fd={fd}"]
        if self.serial_fd is not None:
            words += ["-serial", "chardev:serial"]
        if self.monitor_fd is not None:
            words += ["-mon", "chardev=monitor,mode=control"]
        if self.agent_fd is not None:
            bus = "virtio-serial-device" if machine.split(",")[0] == "microvm" else "virtio-serial-pci"
            words += ["-device", bus, "-device", "virtserialport,chardev=agent,name=org.linnet.agent"]
        bus = "virtio-blk-device" if machine.split(",")[0] == "microvm" else "virtio-blk-pci"
        for number, disk in enumerate(self.disks):
            words += disk.words(number, bus, self.smp)
        bus = "virtio-9p-device" if machine.split(",")[0] == "microvm" else "virtio-9p-pci"
        for number, share in enumerate(self.shares):
            words += share.words(number, bus)
        return words + self.extra


def pass_environment(chosen):
    return dict(os.environ, **chosen.environment)
