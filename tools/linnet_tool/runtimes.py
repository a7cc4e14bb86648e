"""What the roots `java` and `go` hold besides Debian's packages: our Java programs, compiled here by javac, and the tests of Go's
standard library, cross-compiled here by Debian's Go, because compiling all that inside an emulated guest takes hours."""

import hashlib
import os
import re
import shutil
import subprocess

from . import cpio, debian, packages
from .arch import HOST, host_arch
from .paths import BUILD, ROOT, SHARED, ensure
from .ui import LinnetError, Progress

JAVA_SOURCES = ROOT / "tests/apps/java"
JAVA_CLASSES = "usr/local/lib/java-tests"
JAVA_RELEASE = "17"  # the oldest Java of the suites that guests come from

# One Go for all, so that all architectures run the same tests; its programs are static.
GO = "go-1.24"
GO_SUITE = "trixie"
GO_PACKAGES = ("runtime", "os", "os/exec", "os/signal", "sync", "time")
GO_TESTS = "usr/local/lib/go-tests"
GO_ARCH = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64", "loongarch64": "loong64"}
# Debian's LoongArch has never had this version: there the guest has the tests, but no compiler.
GO_TOOLCHAIN_FOR = ("x86_64", "aarch64", "riscv64")

# What `go build` in the guest doesn't need: the compiler's own sources, and the tests of all but the packages above.
_GO_LEFT_OUT = re.compile(rf"usr/share/{GO}/(test|api|misc)(/|$)|usr/share/{GO}/src/cmd/"
                          rf"|usr/lib/{GO}/pkg/tool/[^/]+/(?!(asm|buildid|compile|link)$)|usr/share/(doc|lintian)(/|$)")
_GO_TEST_FILE = re.compile(r"_test\.go$|/testdata/")


def java_version():
    """What the root `java` depends on besides its packages."""
    digest = hashlib.sha256(JAVA_RELEASE.encode())
    for source in sorted(JAVA_SOURCES.glob("*.java")):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()


def go_version():
    """The same of `go`."""
    return [GO, GO_SUITE, *GO_PACKAGES]


def run_tool(command, **options):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            errors="replace", **options)
    if result.returncode != 0:
        raise LinnetError(f"{' '.join(map(str, command[:3]))} failed: {result.stdout[-2000:]}")
    return result.stdout


def add_java(tree, _):
    """Puts our programs into a root, compiled."""
    packages.require("javac")
    with debian.locked("java-classes", BUILD):
        classes = BUILD / "tests" / "java"
        shutil.rmtree(classes, ignore_errors=True)
        ensure(classes)
        run_tool(["javac", "--release", JAVA_RELEASE, "-d", classes, *sorted(JAVA_SOURCES.glob("*.java"))])
        for path in classes.rglob("*.class"):
            tree.add(f"{JAVA_CLASSES}/{path.relative_to(classes)}", cpio.file(path.read_bytes()))


def _host_go():
    """The folder of Debian's Go for this machine, unpacked once."""
    prefix = SHARED / GO
    return debian.made_once(GO, prefix, 1, lambda: _unpack_go(prefix))


def _unpack_go(prefix):
    archive = debian.Archive(GO_SUITE, HOST[host_arch()]["debian"])
    debs = archive.download([f"golang-{GO.removeprefix('go-')}-{part}" for part in ("go", "src")])
    with Progress("unpacking Debian's Go"):
        shutil.rmtree(prefix, ignore_errors=True)
        debian.unpack(debs, ensure(prefix), (), wanted=lambda path: not path.startswith(("usr/share/doc", "etc")))


def add_go(tree, arch):
    """Puts Go's tests, what they read and, where there is one, the compiler into a root."""
    home = _host_go()
    tests = _compile_go_tests(home, arch)
    for package in GO_PACKAGES:
        program = package.replace("/", "_") + ".test"
        tree.add(f"{GO_TESTS}/{program}", cpio.Entry(0o100755, source=str(tests / program)))
    _add_sources(home, tree)
    if arch.name in GO_TOOLCHAIN_FOR:
        debs = debian.Archive(GO_SUITE, arch.debian).download([f"golang-{GO.removeprefix('go-')}-go"])
        for deb in debs:
            for member, tar in debian.members(deb):
                cpio.add_tar_member(tree, member, tar, _rename)
    # Tests of os look for this file, as every installed system has it.
    tree.add("etc/hosts", cpio.file("127.0.0.1 localhost\n"))
    tree.add("etc/hostname", cpio.file("linnet\n"))


def _rename(path):
    path = debian.merged_path(path, ())
    return "" if _GO_LEFT_OUT.match(path) else path


def _add_sources(home, tree):
    folder = home / "usr/share" / GO
    for path in sorted(folder.rglob("*")):
        name = f"usr/share/{GO}/{path.relative_to(folder)}"
        if not path.is_file() or path.is_symlink() or _GO_LEFT_OUT.match(name):
            continue
        if _GO_TEST_FILE.search(name) and not name.startswith(tuple(f"usr/share/{GO}/src/{one}/" for one in GO_PACKAGES)):
            continue
        tree.add(name, cpio.Entry(0o100000 | (path.stat().st_mode & 0o755), source=str(path)))
    for link in ("src", "lib"):
        tree.add(f"usr/lib/{GO}/{link}", cpio.symlink(f"../../share/{GO}/{link}"))


def _compile_go_tests(home, arch):
    out = ensure(BUILD / "tests" / "go" / arch.name)
    root = home / "usr/lib" / GO
    environment = dict(os.environ, GOROOT=str(root), GOARCH=GO_ARCH[arch.name], GOOS="linux", CGO_ENABLED="0", GOFLAGS="",
                       GOTOOLCHAIN="local", GOENV="off", GOPROXY="off", GOMAXPROCS="2",
                       GOCACHE=str(ensure(BUILD / "go-cache")), GOPATH=str(ensure(BUILD / "go-path")))
    # Inside the library's own module, else the tests would get the defaults of old language versions (GODEBUG).
    with Progress(f"compiling the tests of Go's standard library for {arch.name}"):
        for package in GO_PACKAGES:
            run_tool([root / "bin/go", "test", "-c", "-o", out / (package.replace("/", "_") + ".test"), package],
                 env=environment, cwd=root / "src")
    return out
