"""Packages of this machine: what is missing, and installing it with apt after asking."""

import os
import shutil
import subprocess
import sys

from . import ui
from .ui import LinnetError, Progress, say

# A need is named by what proves that it is there (a program, or a file), with the Debian package that brings it.
PROGRAMS = {
    "clang++-19": "clang-19",
    "ld.lld-19": "lld-19",
    "llvm-objcopy-19": "llvm-19",
    "cmake": "cmake",
    "ninja": "ninja-build",
    "dpkg-deb": "dpkg",
    "xz": "xz-utils",
    "zstd": "zstd",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-system-riscv64": "qemu-system-misc",
    "javac": "default-jdk-headless",
    "gdb-multiarch": "gdb-multiarch",
    "clang-format-19": "clang-format-19",
    "clang-tidy-19": "clang-tidy-19",
    "x86_64-linux-gnu-gcc": "gcc",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "riscv64-linux-gnu-gcc": "gcc-riscv64-linux-gnu",
}
FILES = {
    "/usr/lib/llvm-19/include/c++/v1/expected": "libc++-19-dev",
    "/usr/include/boost/intrusive/set.hpp": "libboost-dev",
    "/usr/src/googletest/CMakeLists.txt": "googletest",
    "/usr/sbin/mke2fs": "e2fsprogs",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "/usr/include/linux/limits.h": "linux-libc-dev",
    "/usr/aarch64-linux-gnu/include/linux/limits.h": "linux-libc-dev-arm64-cross",
    "/usr/riscv64-linux-gnu/include/linux/limits.h": "linux-libc-dev-riscv64-cross",
    "/usr/share/qemu/opensbi-riscv64-generic-fw_dynamic.bin": "opensbi",
}

KERNEL_BUILD = ("clang++-19", "ld.lld-19", "llvm-objcopy-19", "cmake", "ninja",
                "/usr/lib/llvm-19/include/c++/v1/expected", "/usr/include/boost/intrusive/set.hpp")
USER_BUILD = ("clang++-19", "ld.lld-19", "ninja")
GLIBC_BUILD = ("make", "gawk", "bison", "xz")
DEBIAN_TREES = ("dpkg-deb", "/usr/share/keyrings/debian-archive-keyring.gpg")

_YES = False


def set_assume_yes(yes):
    global _YES
    _YES = yes


def present(need):
    return os.path.exists(need) if need.startswith("/") else shutil.which(need) is not None


def package_of(need):
    return FILES[need] if need.startswith("/") else PROGRAMS.get(need, need)


def missing_packages(needs):
    return sorted({package_of(need) for need in needs if not present(need)})


def require(*needs):
    """Makes sure that programs and files are there, installing their packages when they are not."""
    missing = missing_packages(needs)
    if missing:
        install(missing)
        still = missing_packages(needs)
        if still:
            raise LinnetError(f"still missing after installation: {' '.join(still)}")


def install(names):
    if not shutil.which("apt-get"):
        raise LinnetError(f"missing packages, and there is no apt to install them: {' '.join(names)}")
    prefix = []
    if os.geteuid() != 0:
        if not shutil.which("sudo"):
            raise LinnetError(f"missing packages: {' '.join(names)}; run as root, or install sudo")
        prefix = ["sudo"]
    if not (_YES or ui.assume_yes()):
        ask(names)
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    with Progress(f"installing {' '.join(names)}"):
        command = prefix + environment + ["apt-get", "-o", "Acquire::Retries=3", "install", "-y", "-q",
                                          "--no-install-recommends", *names]
        if run_quietly(command).returncode != 0:
            # The package lists may be absent or stale on a fresh machine.
            run_quietly(prefix + environment + ["apt-get", "update", "-q"])
            result = run_quietly(command)
            if result.returncode != 0:
                raise LinnetError(f"apt could not install {' '.join(names)}: {last_line(result.stdout)}")


def ask(names):
    if not sys.stdin.isatty():
        raise LinnetError(f"missing packages: {' '.join(names)} (install them, or say --yes)")
    say(f"these packages are needed: {' '.join(names)}")
    sys.stderr.write("linnet: install them with apt now? [Y/n] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("", "y", "yes"):
        raise LinnetError("nothing installed")


def run_quietly(command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace")


def last_line(text):
    lines = [line for line in (text or "").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("E:")]
    return (errors or lines or ["no output"])[-1]
