"""The guest agent: built for an architecture, and packed as the second archive of a guest's initramfs."""

import io
import subprocess

from . import cpio, debian, sysroot
from .paths import BUILD, ROOT, ensure
from .ui import LinnetError, Progress

SOURCES = ROOT / "user" / "agent"
FLAGS = ["-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror", "-fno-exceptions", "-fno-rtti", "-static", "-s"]

# Where PID 1 lies in the guest.
INIT = "/.linnet/agent"


def get(arch):
    """The agent's program for an architecture, built now if its sources are newer."""
    program = BUILD / "user" / arch.name / "agent"
    if not _current(program):
        with debian.locked(f"agent-{arch.name}", BUILD):
            if not _current(program):
                _build(arch, program)
    return program


def _current(program):
    try:
        built = program.stat().st_mtime_ns
    except OSError:
        return False
    return all(path.stat().st_mtime_ns <= built for path in [SOURCES, *SOURCES.iterdir()])


def _build(arch, program):
    command = sysroot.compiler(arch)
    with Progress(f"building the guest agent for {arch.name}"):
        ensure(program.parent)
        partial = program.with_suffix(".partial")
        sources = sorted(str(path) for path in SOURCES.glob("*.cpp"))
        result = subprocess.run([*command, *FLAGS, "-o", str(partial), *sources], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)
        if result.returncode != 0:
            raise LinnetError(f"the guest agent does not compile for {arch.name}:\n{result.stdout}")
        partial.rename(program)


def archive(arch, modules=()):
    """The bytes of a cpio archive with the agent, and kernel modules for it to load in that order."""
    tree = cpio.Tree()
    tree.add(".linnet", cpio.directory(0o755))
    tree.add(INIT.lstrip("/"), cpio.file(get(arch).read_bytes(), 0o755))
    for module in modules:
        tree.add(f".linnet/modules/{module.name}", cpio.file(module.read_bytes()))
    if modules:
        tree.add(".linnet/modules/list", cpio.file("".join(f"{module.name}\n" for module in modules)))
    out = io.BytesIO()
    tree.write(out)
    return out.getvalue()
