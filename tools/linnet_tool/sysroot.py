"""Sysroots: the headers and libraries of Debian's libc and libstdc++ that programs for guests are built against."""

import shutil

from . import debian, packages
from .paths import SHARED, ensure
from .ui import Progress

# Raise it when the packages or the way they are unpacked change.
VERSION = 1


def get(arch):
    """The sysroot's folder, made now if need be."""
    home = SHARED / "sysroot" / arch.name
    return debian.made_once(f"sysroot-{arch.name}", home, VERSION, lambda: _make(arch, home))


def _make(arch, home):
    names = ["libc6-dev", f"libstdc++-{arch.gcc}-dev", f"libgcc-{arch.gcc}-dev", "linux-libc-dev"]
    debs = debian.Archive(arch.suite, arch.debian).download_closure(names)
    with Progress(f"unpacking the sysroot of {arch.name}"):
        shutil.rmtree(home, ignore_errors=True)
        ensure(home)
        # Compilers' own programs may come along as dependencies; only what a cross compiler reads is kept.
        debian.unpack(debs, home, arch.dynamic_links,
                      wanted=lambda path: path.startswith(("usr/include", "usr/lib", "usr/lib64"))
                      and not path.startswith("usr/lib/python3"))


def compiler(arch, language="c++"):
    """The command that compiles and links user programs for an architecture."""
    packages.require(*packages.USER_BUILD)
    program = "clang++-19" if language == "c++" else "clang-19"
    return [program, f"--target={arch.target}", f"--sysroot={get(arch)}", "-fuse-ld=lld"]
