"""Builds Linnet's kernel with CMake and Ninja, one build folder per architecture and flavour."""

import os
import subprocess

from . import debian, packages
from .paths import BUILD, ROOT, ensure
from .ui import Counter, LinnetError, Progress


def folder(arch, debug=False, sanitize=False):
    return BUILD / "kernel" / (arch.name + ("-debug" if debug else "") + ("-sanitize" if sanitize else ""))


def build(arch, debug=False, sanitize=False):
    """Builds what is out of date; returns the bootable image's path."""
    if not (ROOT / "CMakeLists.txt").exists():
        raise LinnetError("there is no kernel in this tree yet (no CMakeLists.txt)")
    if not (ROOT / "kernel" / "arch" / arch.name).is_dir():
        raise LinnetError(f"the kernel has not been ported to {arch.name} yet (--kernel linux boots Debian's there)")
    packages.require(*packages.KERNEL_BUILD)
    home = folder(arch, debug, sanitize)
    with debian.locked(f"kernel-{home.name}", BUILD):
        if not (home / "build.ninja").exists():
            _configure(arch, home, debug, sanitize)
        _ninja(arch, home)
    image = home / "linnet"
    if not image.exists():
        raise LinnetError(f"the build left no {image}")
    return image


def symbols(arch, debug=False, sanitize=False):
    return folder(arch, debug, sanitize) / "linnet.elf"


def _configure(arch, home, debug, sanitize):
    ensure(home)
    command = ["cmake", "-G", "Ninja", "-S", str(ROOT), "-B", str(home), f"-DLINNET_ARCH={arch.name}",
               f"-DCMAKE_BUILD_TYPE={'Debug' if debug else 'Release'}"]
    if sanitize:
        command.append("-DLINNET_SANITIZE=ON")
    with Progress(f"configuring the kernel for {arch.name}"):
        _checked(command, f"CMake could not configure the kernel for {arch.name}")


def _ninja(arch, home):
    run_ninja(home, f"building the kernel for {arch.name}", f"the kernel for {arch.name} does not build")


def run_ninja(home, what, complaint):
    """Runs ninja in a folder; says so, and how far it is, only when there is something to build."""
    command = ["ninja", "-C", str(home), "-j", str(os.cpu_count() or 1)]
    counter = Counter(what)
    output = []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", env=dict(os.environ, NINJA_STATUS="[%f/%t] ")) as process:
        for line in process.stdout:
            output.append(line)
            if line.startswith("[") and "] " in line and "Re-checking globbed" not in line:
                counter.show(line[1:line.index("] ")])
    counter.done()
    if process.returncode != 0:
        raise LinnetError(complaint + ":\n" + _what_failed("".join(output)))


def _checked(command, complaint):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, errors="replace")
    if result.returncode != 0:
        raise LinnetError(complaint + ":\n" + _what_failed(result.stdout))


def _what_failed(output):
    """What matters is where it failed, not the hundred steps before."""
    lines = output.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("FAILED") or "Error" in line), 0)
    return "\n".join(line[:400] for line in lines[start:start + 60])
