"""What differs between the four architectures as far as the launcher is concerned: names, suites, QEMU's words."""

import platform
from dataclasses import dataclass, field

from .paths import ROOT
from .ui import LinnetError


@dataclass(frozen=True)
class Arch:
    name: str
    debian: str  # Debian's name of the architecture
    suite: str  # the suite its trees come from
    target: str  # clang's target for user programs
    triplet: str  # Debian's multiarch folder
    gcc: int  # whose libstdc++ the sysroot holds
    qemu: str
    machines: tuple  # the first is the default
    console: str  # the UART's name on Linux
    dynamic_links: tuple  # top-level links of a merged-/usr tree
    cpu: dict = field(default_factory=dict)  # purpose -> CPU model


ARCHES = {
    "x86_64": Arch(
        name="x86_64", debian="amd64", suite="bookworm", target="x86_64-linux-gnu", triplet="x86_64-linux-gnu",
        gcc=12, qemu="qemu-system-x86_64", machines=("q35", "pc", "microvm"), console="ttyS0",
        dynamic_links=("bin", "sbin", "lib", "lib64", "lib32", "libx32"),
        cpu={"linnet": "max", "linux": "max,-cx16", "bench": "max,-erms,-la57"},
    ),
    "aarch64": Arch(
        name="aarch64", debian="arm64", suite="bookworm", target="aarch64-linux-gnu", triplet="aarch64-linux-gnu",
        gcc=12, qemu="qemu-system-aarch64", machines=("virt",), console="ttyAMA0",
        dynamic_links=("bin", "sbin", "lib"),
        cpu={"linnet": "max,pauth-impdef=on", "linux": "max,lpa2=off,pauth=off", "bench": "cortex-a57"},
    ),
    "riscv64": Arch(
        name="riscv64", debian="riscv64", suite="trixie", target="riscv64-linux-gnu", triplet="riscv64-linux-gnu",
        gcc=14, qemu="qemu-system-riscv64", machines=("virt",), console="ttyS0",
        dynamic_links=("bin", "sbin", "lib"),
        cpu={"linnet": "rv64,v=true,vext_spec=v1.0", "linux": "rv64,v=true,vext_spec=v1.0", "bench": "rv64"},
    ),
    "loongarch64": Arch(
        name="loongarch64", debian="loong64", suite="forky", target="loongarch64-linux-gnu",
        triplet="loongarch64-linux-gnu", gcc=14, qemu="qemu-system-loongarch64", machines=("virt",),
        console="ttyS0", dynamic_links=("bin", "sbin", "lib", "lib64"),
        cpu={"linnet": "max", "linux": "max", "bench": "max"},
    ),
}

# What people type, mapped to our names.
ALIASES = {"amd64": "x86_64", "x86-64": "x86_64", "arm64": "aarch64", "riscv": "riscv64", "loong64": "loongarch64"}

# What a program of the machine that we run on needs: Debian's name, the multiarch folder, the dynamic loader.
HOST = {
    "x86_64": {"debian": "amd64", "triplet": "x86_64-linux-gnu", "loader": "ld-linux-x86-64.so.2"},
    "aarch64": {"debian": "arm64", "triplet": "aarch64-linux-gnu", "loader": "ld-linux-aarch64.so.1"},
    "riscv64": {"debian": "riscv64", "triplet": "riscv64-linux-gnu", "loader": "ld-linux-riscv64-lp64d.so.1"},
    "loongarch64": {"debian": "loong64", "triplet": "loongarch64-linux-gnu", "loader": "ld-linux-loongarch-lp64d.so.1"},
}


def host_arch():
    machine = platform.machine().lower()
    name = ALIASES.get(machine, machine)
    return name if name in ARCHES else "x86_64"


def get_arch(name):
    found = ARCHES.get(ALIASES.get(name, name))
    if not found:
        raise LinnetError(f"unknown architecture '{name}' (known: {', '.join(ARCHES)})")
    return found


def get_arches(name, kernel="linnet"):
    """`all` or one architecture's name -> a list. Of our own kernel `all` means those that it has been ported to."""
    if name != "all":
        return [get_arch(name)]
    return [one for one in ARCHES.values() if kernel != "linnet" or (ROOT / "kernel/arch" / one.name / "kernel.ld").exists()]
