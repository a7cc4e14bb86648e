"""The root `suites`: tests that strace and libsigsegv bring along, compiled here from Debian's packages of their sources.

Both are built as their authors publish them, by their own configure and make, which then builds the test programs and runs none.
"""

import re
import shutil
import subprocess

from . import arch as arches
from . import cpio, debian, packages
from .paths import SHARED, ensure
from .runtimes import run_tool
from .ui import LinnetError, Progress

# Raise it when the code below builds something else out of the same sources.
VERSION = 1

SUITE = "bookworm"
# Those that Debian's compilers on this machine know; strace's thousand programs take long to build.
ARCHES = {"strace": ("x86_64",), "libsigsegv": ("x86_64", "aarch64", "riscv64")}

# What configure is told besides the compiler, and where make builds tests. strace's own stacks need libraries of the architecture;
# its tests of 32-bit programs, those of another one.
SOURCES = {
    "strace": ["--enable-mpers=no", "--without-libdw", "--without-libunwind", "--disable-gcc-Werror"],
    "libsigsegv": ["--disable-shared"],
}
# The variables of strace's make that name its tests: beside the folders there is a file with each one's words.
STRACE_GROUPS = {"misc": "MISC_TESTS", "decoder": "DECODER_TESTS", "generated": "GEN_TESTS"}


def version():
    """What the root depends on besides its packages."""
    return [VERSION, SUITE, *SOURCES]


def get(arch, name):
    """The folder with `source` and `build` of one suite."""
    home = SHARED / "suites" / f"{name}-{arch.name}"
    return debian.made_once(f"suites-{name}-{arch.name}", home, VERSION, lambda: _build(arch, name, home))


def _build(arch, name, home):
    packages.require("make", "gawk", "xz", f"{arch.triplet}-gcc")
    packed = debian.SourceArchive(SUITE).download_source(name)
    log = ensure(home) / "log"
    with Progress(f"building the tests of {name} for {arch.name} (log in {log})"), log.open("ab") as out:
        shutil.rmtree(home / "source", ignore_errors=True)
        shutil.rmtree(home / "build", ignore_errors=True)
        run_tool(["tar", "-xf", packed, "-C", ensure(home / "source"), "--strip-components=1"])
        build = ensure(home / "build")
        _step(out, build, "../source/configure", f"--host={arch.triplet}", f"--build={arches.HOST[arches.host_arch()]['triplet']}",
              f"CC={arch.triplet}-gcc", "CFLAGS=-O1 -g0", *SOURCES[name])
        _step(out, build, "make", "-j2")
        _step(out, build, "make", "-j2", "-C", "tests", "check", "TESTS=")
    if name == "strace":
        _note_strace_tests(home, build / "tests")


def _step(log, folder, *command):
    """One command of the build."""
    result = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, check=False)
    if result.returncode != 0:
        raise LinnetError(f"`{command[0]}` failed in {folder}; see {log.name}")


def _note_strace_tests(home, folder):
    """Writes the names of its tests, and the variables that make sets for them."""
    for group, variable in STRACE_GROUPS.items():
        rules = folder / "linnet_names.mk"
        rules.write_text(f"include Makefile\nlinnet-names:\n\t@echo $({variable})\n")
        names = run_tool(["make", "-s", "-f", rules.name, "linnet-names"], cwd=folder).split()
        (home / group).write_text("".join(f"{name.removesuffix('.test')}\n" for name in names if name.endswith(".test")))
    makefile = (folder / "Makefile").read_text()
    values = {name: re.search(rf"^{name} = ?(.*)$", makefile, re.MULTILINE)[1]
              for name in ("ARCH", "NATIVE_ARCH", "SIZEOF_KERNEL_LONG_T", "SIZEOF_LONG")}
    (home / "environment").write_text(
        "".join(f"export {'STRACE_' if 'ARCH' in name else ''}{name}={value}\n" for name, value in values.items()))


def add(tree, arch):
    """Puts what the tests need of both folders into a root: /strace and /libsigsegv."""
    for name in (name for name, ones in ARCHES.items() if arch.name in ones):
        home = get(arch, name)
        for path in sorted(home.rglob("*")):
            inside = path.relative_to(home)
            if path.is_file() and not path.is_symlink() and _is_needed(path, inside.parts):
                tree.add(f"{name}/{inside}", cpio.Entry(0o100755, source=str(path)))


def _is_needed(path, parts):
    if len(parts) == 1:
        return path.name != "log"
    if parts[:2] == ("source", "tests"):
        return path.suffix not in (".c", ".h")
    if parts[0] == "source":
        return path.name == "strace-log-merge"
    # Programs and what make has generated for the scripts.
    return parts[1] in ("tests", "src") and path.suffix not in (".o", ".a", ".Po", ".Plo", ".lo", ".la")
