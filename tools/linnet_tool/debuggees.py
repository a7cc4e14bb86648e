"""What the root `debug` holds besides Debian's strace, gdb and the like: the programs of tests/apps/debug that they look into,
compiled here, because a compiler would be most of the tree."""

import hashlib

from . import cpio, debian, sysroot
from .paths import BUILD, ROOT, ensure
from .runtimes import run_tool

SOURCES = ROOT / "tests/apps/debug"
# Where they and their sources, which gdb shows, are in the guest.
INSIDE = "usr/local/lib/debuggees"
# Names of folders here stay out of the programs. DWARF 4: valgrind 3.19 does not read all of 5.
FLAGS = ("-g", "-gdwarf-4", "-O0", "-fno-omit-frame-pointer", "-pthread", f"-ffile-prefix-map={SOURCES}=/{INSIDE}")


def version():
    """What the tree depends on besides its packages."""
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for source in sorted(SOURCES.glob("*.c")):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()


def add(tree, arch):
    """Compiles the programs and puts them into a root."""
    with debian.locked(f"debuggees-{arch.name}", BUILD):
        folder = ensure(BUILD / "tests" / "debug" / arch.name)
        for source in sorted(SOURCES.glob("*.c")):
            program = folder / source.stem
            run_tool([*sysroot.compiler(arch, "c"), *FLAGS, "-o", program, source])
            tree.add(f"{INSIDE}/{source.stem}", cpio.Entry(0o100755, source=str(program)))
            tree.add(f"{INSIDE}/{source.name}", cpio.file(source.read_bytes()))
