"""glibc's own tests of threads, time, signals and processes, compiled from Debian's package of its sources.

They run with Debian's library of the same version, so of the sources only the test programs and what they are linked to are
compiled. How each test is run is asked of glibc's make, by a wrapper that notes commands (tools/build/note_glibc_test.sh).
"""

import os
import shutil
import subprocess

from . import arch as arches
from . import cpio, debian, packages
from .paths import ROOT, SHARED, ensure
from .ui import LinnetError, Progress

# Raise it when the code below builds something else out of the same sources.
VERSION = 2

# One version for all architectures; its tests come with the library that they were written for.
SUITE = "bookworm"
PACKAGE = "glibc-source"

# Where the folder of the build lies in the guest, and the list of tests in there.
INSIDE = "glibc"
TESTS = "tests"

# Of posix only what a kernel's part in processes is asked about: forks, executions, waits, sleeps and scheduling. The rest is
# regular expressions, names of files and of hosts.
ALL = None
TEST_FOLDERS = {
    "nptl": ALL,
    "rt": ALL,
    "signal": ALL,
    "posix": """
        test-vfork tst-_Fork tst-cpucount tst-cpuset tst-exec tst-exec-static tst-execl1 tst-execl2 tst-execle1 tst-execle2
        tst-execlp1 tst-execlp2 tst-execv1 tst-execv2 tst-execve1 tst-execve2 tst-execveat tst-execvp1 tst-execvp2 tst-execvp3
        tst-execvp4 tst-execvpe1 tst-execvpe2 tst-execvpe3 tst-execvpe4 tst-execvpe5 tst-execvpe6 tst-fexecve tst-fork
        tst-nanosleep tst-nice tst-posix_spawn-fd tst-posix_spawn-setsid tst-sched_getaffinity tst-sched_rr_get_interval
        tst-spawn tst-spawn-chdir tst-spawn-static tst-spawn2 tst-spawn3 tst-spawn4 tst-spawn5 tst-spawn6 tst-vfork1 tst-vfork2
        tst-wait3 tst-wait4 tst-waitid""",
}

# Where make looks for what it would have built: file of the build -> file of Debian's packages, in the folder of the architecture.
LIBRARY_PACKAGES = ["libc6", "libc6-dev", "libgcc-s1"]
LIBRARIES = {
    "libc.so": "usr/lib/*/libc.so.6",
    "libgcc_s.so.1": "usr/lib/*/libgcc_s.so.1",  # which cancellation loads
    "linkobj/libc.so": "usr/lib/*/libc.so.6",
    "math/libm.so": "usr/lib/*/libm.so.6",
    "malloc/libc_malloc_debug.so": "usr/lib/*/libc_malloc_debug.so.0",
    "nptl/libpthread.so": "usr/lib/*/libpthread.so.0",
    "rt/librt.so": "usr/lib/*/librt.so.1",
    "dlfcn/libdl.so": "usr/lib/*/libdl.so.2",
    "elf/ld.so": "usr/lib/*/ld-linux-*.so.[12]",
}
LINKED = {name: f"usr/lib/*/{os.path.basename(name)}"
          for name in ("libc.a", "libc_nonshared.a", "csu/crt1.o", "csu/Scrt1.o", "csu/rcrt1.o", "csu/gcrt1.o", "csu/grcrt1.o",
                       "csu/crti.o", "csu/crtn.o")}
# What make would derive them from: it is told that these are not worth looking at either.
NOT_REMADE = ("linkobj/libc_pic.a", "libc_pic.a", "csu/start.o", "nptl/stamp.o", "nptl/stamp.os", "rt/stamp.o", "rt/stamp.os")

ARCHES = ("x86_64", "aarch64")  # those of the suite that Debian's compilers on this machine know


def get(arch):
    """The folder of the finished build for an architecture."""
    if arch.name not in ARCHES:
        raise LinnetError(f"Debian {SUITE} has no compiler for {arch.name} to build glibc's tests with")
    home = SHARED / "glibc" / f"obj-{arch.name}"
    return debian.made_once(f"glibc-{arch.name}", home, VERSION, lambda: _build(arch, home))


def _sources():
    """The unpacked sources, with Debian's patches."""
    home = SHARED / "glibc" / f"source-{SUITE}"
    return debian.made_once("glibc-source", home, VERSION, lambda: _unpack_sources(home))


def _unpack_sources(home):
    deb = debian.Archive(SUITE, "amd64").download([PACKAGE])[0]
    with Progress("unpacking glibc's sources"):
        packed = ensure(home.parent) / "source.tar.xz"
        for member, tar in debian.members(deb):
            if member.isfile() and member.name.endswith(".tar.xz"):
                with tar.extractfile(member) as source, open(packed, "wb") as out:
                    shutil.copyfileobj(source, out)
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run(["tar", "-xJf", packed, "-C", ensure(home), "--strip-components=1"], check=True)
        packed.unlink()


def _build(arch, home):
    headers = "/usr/include" if arch.name == arches.host_arch() else f"/usr/{arch.triplet}/include"
    packages.require(*packages.GLIBC_BUILD, f"{arch.triplet}-gcc", f"{headers}/linux/limits.h")
    sources = _sources()
    debs = debian.Archive(SUITE, arch.debian).download(LIBRARY_PACKAGES)
    ensure(home)
    log = home / "log"
    with Progress(f"building glibc's tests for {arch.name} (log in {log})"), log.open("ab") as out:
        if not (home / "config.make").exists():
            _step(out, home, [sources / "configure", "--prefix=/usr", f"--host={arch.triplet}",
                              f"--build={arches.HOST[arches.host_arch()]['triplet']}", "--disable-werror", "--without-selinux",
                              f"CC={arch.triplet}-gcc", "CXX=false", "CFLAGS=-O2 -g0"])
        finished = _place_library(arch, home, debs)
        _make_tests(arch, home, sources, out, finished)


def _place_library(arch, home, debs):
    """Puts Debian's library where make expects the one it would build; returns what make is not to remake."""
    unpacked = home / "debian"
    shutil.rmtree(unpacked, ignore_errors=True)
    debian.unpack(debs, unpacked, arch.dynamic_links, wanted=lambda path: path.startswith("usr/lib/"))
    finished = list(NOT_REMADE)
    for name, pattern in {**LIBRARIES, **LINKED}.items():
        found = sorted(unpacked.glob(pattern))
        if not found:
            raise LinnetError(f"Debian's packages of glibc for {arch.name} lack {pattern}")
        target = home / name
        ensure(target.parent)
        shutil.copy(found[0], target)
        finished.append(name)
        soname = target.parent / found[0].name  # what programs ask the loader for
        if name in LIBRARIES and soname != target:
            soname.unlink(missing_ok=True)
            soname.symlink_to(target.name)
            finished.append(str(soname.relative_to(home)))
    return finished


def _step(log, folder, command, settings=None):
    """One command of the build."""
    result = subprocess.run([*map(str, command)], cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                            env={**os.environ, "LC_ALL": "C", **(settings or {})})
    if result.returncode != 0:
        raise LinnetError(f"building glibc's tests failed in `{command[0]}`; see {log.name}")


def _make_tests(arch, home, sources, log, finished):
    """Builds the test programs and asks make for the commands that run them."""
    noted = home / "noted"
    noted.unlink(missing_ok=True)
    settings = {"LINNET_NOTED_TESTS": str(noted), "LINNET_NOTED_BUILD": str(home)}
    wrapper = ROOT / "tools" / "build" / "note_glibc_test.sh"
    # Tests that are done by programs of this machine (debuggers, comparisons of files) are none for a guest.
    words = ["make", "-r", "-j2", f"objdir={home}", "run-built-tests=yes", f"test-wrapper={wrapper}", "tests-special=",
             "xtests-special=", "tests-printers="]
    for name in finished:
        words += ["-o", home / name]
    for name in ("misc/bits/syscall.h", "csu/abi-note.o", "support/libsupport_nonshared.a"):
        _step(log, sources / os.path.dirname(name).split("/")[0], [*words, home / name])
    for folder, names in TEST_FOLDERS.items():
        for old in (home / folder).glob("*.out"):
            old.unlink()  # else make takes the test for run
        targets = ["tests", "xtests"] if names is ALL else [home / folder / f"{name}.out" for name in names.split()]
        _step(log, sources / folder, [*words, *targets], settings)
    lines = dict(line.split(" ", 1) for line in noted.read_text().splitlines())
    (home / TESTS).write_text("".join(f"{name} {lines[name].replace('@', '/' + INSIDE)}\n" for name in sorted(lines)))


def add_tests(tree, arch):
    """Puts libraries, test programs and the list of tests into a root, where the list says they are."""
    home = get(arch)
    tree.add(str(home).lstrip("/"), cpio.symlink(f"/{INSIDE}"))  # some programs name a library by the path it was linked from
    folders = [home, *(home / name for name in sorted({os.path.dirname(name) for name in LIBRARIES} | set(TEST_FOLDERS)))]
    for path in sorted({path for folder in folders for path in folder.iterdir()}):
        inside = f"{INSIDE}/{path.relative_to(home)}"
        if path.is_symlink():
            tree.add(inside, cpio.symlink(os.readlink(path)))
        elif path == home / TESTS or _is_program(path):
            tree.add(inside, cpio.Entry(0o100755, source=str(path)))


def _is_program(path):
    """Whether a file is a program or a shared library."""
    if not path.is_file() or path.suffix in (".o", ".os", ".oS"):
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"
