"""`./linnet doctor`: what this machine has, what is missing, and how to get it."""

import os
import shutil
import sys

from . import arch as arches
from . import packages, qemu
from .testing import boot
from .paths import BUILD, ROOT, SHARED

GROUPS = (
    ("build the kernel", packages.KERNEL_BUILD),
    ("build programs for guests", packages.USER_BUILD),
    ("fetch Debian trees and kernels", (*packages.DEBIAN_TREES, "apt-get", "xz", "zstd")),
    ("run x86_64 guests", ("qemu-system-x86_64",)),
    ("run AArch64 guests", ("qemu-system-aarch64",)),
    ("run RISC-V guests", ("qemu-system-riscv64", *qemu.FIRMWARE["riscv64"])),
    ("run the unit tests", ("/usr/src/googletest/CMakeLists.txt", "/usr/sbin/mke2fs")),
    ("run the boot tests", boot.NEEDS),
    ("run ./linnet debug", ("gdb-multiarch",)),
    ("check the sources' style", ("clang-format-19", "clang-tidy-19")),
)


def run(_options):
    missing = set()
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} processors, {free_space():.0f} GB free under {ROOT}")
    for purpose, needs in GROUPS:
        lacking = packages.missing_packages(needs)
        missing.update(lacking)
        print(f"{'ok     ' if not lacking else 'MISSING'}  to {purpose}"
              + (f": {' '.join(lacking)}" if lacking else ""))
    print_loongarch()
    print_generated()
    if missing:
        print(f"\nto get what is missing: apt-get install {' '.join(sorted(missing))}")
        print("(./linnet does that by itself when it needs something, after asking)")
        return 1
    print("\nnothing is missing")
    return 0


def print_loongarch():
    name = arches.ARCHES["loongarch64"].qemu
    if (SHARED / f"qemu-{qemu.PRIVATE_SUITE}" / "stamp").exists():
        where = "a private QEMU is installed under build/"
    elif shutil.which(name) and qemu.system_version(name) >= qemu.LOONGARCH_LEAST:
        where = "the system's QEMU is new enough"
    else:
        where = "a private QEMU will be fetched (75 MB) when it is needed"
    print(f"ok       to run LoongArch guests: {where}")


def print_generated():
    """What lies under build/ already."""
    for title, folder, pattern in (("sysroots", SHARED / "sysroot", "*"), ("Debian kernels", SHARED / "linux", "*"),
                                   ("root trees", BUILD / "rootfs", "*.cpio"), ("kernels", BUILD / "kernel", "*")):
        found = sorted(path.name.removesuffix(".cpio") for path in folder.glob(pattern)) if folder.is_dir() else []
        print(f"         {title}: {', '.join(found) if found else 'none yet'}")


def free_space():
    status = os.statvfs(ROOT)
    return status.f_bavail * status.f_frsize / 1e9
