"""Debian's own kernels: the oracle that `--kernel linux` boots with the same root as ours.

Which one: 6.12 of trixie is the oracle for behaviour and forky's on loongarch64; benchmarks compare with 6.1 of
bookworm on x86_64 and aarch64, the faster rival.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import debian, packages
from .paths import SHARED, ensure
from .ui import LinnetError, Progress

# Raise it when the code below keeps different files of the same package.
VERSION = 7

# (architecture, purpose) -> suite, and the meta package or a pattern of packages
SOURCES = {
    ("x86_64", "oracle"): ("trixie", "linux-image-cloud-amd64"),
    ("aarch64", "oracle"): ("trixie", "linux-image-cloud-arm64"),
    ("riscv64", "oracle"): ("trixie", "linux-image-riscv64"),
    ("loongarch64", "oracle"): ("forky", "linux-binary-*-loong64"),
    ("x86_64", "bench"): ("bookworm", "linux-image-cloud-amd64"),
    ("aarch64", "bench"): ("bookworm", "linux-image-cloud-arm64"),
    ("riscv64", "bench"): ("trixie", "linux-image-riscv64"),
    ("loongarch64", "bench"): ("forky", "linux-binary-*-loong64"),
}

# What a guest of ours needs from them that Debian builds as modules.
MODULES = ("virtio_pci", "virtio_mmio", "virtio_console", "virtio_blk", "binfmt_misc", "crc32c_generic", "ext4", "loop",
           "overlay")
# And what only one with folders of ours needs. Debian's cloud kernels (x86_64, aarch64) lack them.
SHARE_MODULES = ("9pnet_virtio", "9p")


@dataclass
class Kernel:
    image: Path
    modules: list  # in the order to load them
    share_modules: list  # the same, behind the others; empty: it has no 9p
    version: str


def get(arch, purpose="oracle"):
    """Debian's kernel for an architecture, fetched now if need be."""
    suite, package = SOURCES[(arch.name, purpose)]
    # With the version in its name, worktrees that want different files leave each other alone.
    home = SHARED / "linux" / f"{suite}-{arch.name}-{VERSION}"
    debian.made_once(f"linux-{suite}-{arch.name}-{VERSION}", home, VERSION, lambda: _fetch(arch, suite, package, home))
    modules, share_modules = ([home / name for name in (home / f"{kind}.list").read_text().split()]
                              for kind in ("modules", "share_modules"))
    return Kernel(home / "vmlinuz", modules, share_modules, (home / "version").read_text().strip())


def _fetch(arch, suite, package, home):
    archive = debian.Archive(suite, arch.debian)
    if "*" in package:
        # Its modules would be in a package of their own; the kernel image alone is what is wanted here.
        pattern = "^" + package.replace("*", "[0-9].*") + "$"
        found = [line.split(" - ")[0] for line in archive.search(pattern) if line]
    else:
        found = [name for name in archive.depends(package) if name.startswith("linux-image")]
    if not found:
        raise LinnetError(f"Debian {suite} has no kernel package {package}")
    names = [sorted(found)[-1]]
    modules_package = names[0].replace("linux-binary-", "linux-modules-")
    if modules_package != names[0]:
        names.append(modules_package)
    debs = archive.download(names)
    with Progress(f"unpacking Debian's kernel for {arch.name} ({suite})"):
        shutil.rmtree(home, ignore_errors=True)
        ensure(home)
        _unpack(debs, home)


_WANTED = re.compile(r"(boot/vmlinu[xz]-|usr/lib/modules/[^/]+/vmlinuz$)"
                     r"|.*/(virtio|virtio_ring|virtio_pci|virtio_pci_modern_dev|virtio_pci_legacy_dev|virtio_mmio"
                     r"|virtio_console|virtio_blk|binfmt_misc|crc16|crc32c_generic|ext4|jbd2|mbcache|loop|overlay|9p|9pnet|9pnet_virtio|netfs|fscache)\.ko(\.xz|\.zst|\.gz)?$")


def _unpack(debs, home):
    found = {}
    image = None
    for deb in debs:
        for member, tar in debian.members(deb):
            path = debian.merged_path(member.name, ("lib",))
            if not member.isfile() or not _WANTED.match(path):
                continue
            data = tar.extractfile(member).read()
            if not path.endswith((".ko", ".xz", ".zst", ".gz")):
                image = path
                (home / "vmlinuz").write_bytes(data)
            else:
                name = Path(path).name.split(".ko")[0].replace("-", "_")
                found[name] = decompress(data)
    if image is None:
        raise LinnetError("the kernel package holds no vmlinuz")
    version = image.split("/")[-2] if image.endswith("/vmlinuz") else re.split("vmlinu[xz]-", image)[1]
    order = []
    for name in MODULES:
        _in_order(name, found, order)
    shares = list(order)
    for name in SHARE_MODULES:
        _in_order(name, found, shares)
    for name in shares:
        (home / f"{name}.ko").write_bytes(found[name])
    for kind, names in (("modules", order), ("share_modules", shares[len(order):])):
        (home / f"{kind}.list").write_text("\n".join(f"{name}.ko" for name in names))
    (home / "version").write_text(version)


def _in_order(name, found, order):
    """Puts a module behind those it depends on; one that is not there is built in."""
    if name in order or name not in found:
        return
    depends = re.search(rb"\0depends=([^\0]*)\0", b"\0" + found[name])
    for other in (depends.group(1).decode() if depends else "").split(","):
        if other:
            _in_order(other.replace("-", "_"), found, order)
    order.append(name)


def decompress(data):
    """Modules come plain, or packed by xz, zstd or gzip."""
    for magic, command in ((b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\x1f\x8b", "gzip")):
        if data.startswith(magic):
            packages.require(*([command] if command != "gzip" else []))
            result = subprocess.run([command, "-dc"], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            if result.returncode != 0:
                raise LinnetError(f"{command} cannot unpack a kernel module")
            return result.stdout
    return data
