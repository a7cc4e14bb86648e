"""Foreign bytes at boot: damaged initramfs archives and damaged device trees. However they look, the kernel runs /init, or
ends with one clear panic message; it never faults, fails a check of its own, or hangs."""

import gzip
import random
import re
import struct
import subprocess
import tempfile
import time
import zlib
from pathlib import Path

from linnet_tool import qemu
from linnet_tool.boot import Setup, prepare
from linnet_tool.guest import Guest
from linnet_tool.testing import fdt
from linnet_tool.testing.harness import BootTest

LIMIT = 40  # seconds for a boot; a second or two are usual

FIRMWARE_LIMIT = 8
# PID 1 has run, and left.
INIT_LEFT = "Attempted to kill init"
# What says clearly that it can't go on; anything else that panics is a mistake of the kernel's.
CLEAR = ("No working init found", "VFS: Unable to mount root fs", "the boot loader's tables are unusable", "no usable memory",
         "no room for the page array", "no interrupt controller was found")

MACHINES = {"x86_64": 62, "aarch64": 183, "riscv64": 243, "loongarch64": 258}
# exit(0), as the kernel's system-call ABI wants it.
EXIT = {"x86_64": (0x00003CB8, 0x0FFF3100, 0x00000005), "aarch64": (0xD2800000, 0xD2800BA8, 0xD4000001),
        "riscv64": (0x00000513, 0x05D00893, 0x00000073), "loongarch64": (0x03800004, 0x0381740B, 0x002B0000)}


def tiny_program(arch):
    """A static program of one segment that leaves at once: PID 1 doing so is a panic that tells that it ran."""
    code = struct.pack("<3I", *EXIT[arch.name])
    size, base = 120 + len(code), 0x400000
    header = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack("<HHIQQQIHHHHHH", 2, MACHINES[arch.name], 1, base + 120, 64, 0,
                                                              0, 64, 56, 1, 0, 0, 0)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x10000) + code


def entry(name, data=b"", mode=0o100644, inode=1, links=1, **fields):
    """One entry of a newc archive; `fields` replaces header fields by what shall stand there."""
    name = name if isinstance(name, bytes) else name.encode()
    values = dict(inode=inode, mode=mode, uid=0, gid=0, links=links, mtime=0, size=len(data), major=0, minor=0, rmajor=0,
                  rminor=0, namesize=len(name) + 1, check=0)
    header = "070701"
    for key, value in values.items():
        value = fields.get(key, value)
        header += value if isinstance(value, str) else f"{value & 0xffffffff:08X}"
    record = header.encode() + name + b"\0"
    record += bytes(-len(record) % 4) + data
    return record + bytes(-len(record) % 4)


TRAILER = entry("TRAILER!!!", mode=0)


class HostileBoot(BootTest):
    only_kernels = ("linnet",)

    def boot(self, extra=(), initrd=None, append=""):
        """Boots to the end, whatever that is. Returns the log, and whether the guest ended of its own."""
        setup = Setup(self.arch, smp=4, memory="256M", append=f"rdinit=/init {append}".strip(), extra=list(extra))
        prepared = prepare(setup)
        self.addCleanup(prepared.clean_up)
        machine = prepared.machine
        # /init is what the kernel tries of itself too, and then it says what it found instead.
        machine.append = machine.append.replace("rdinit=/init", "").strip()
        machine.initrd = initrd
        guest = Guest(with_agent=False)
        try:
            guest.start(prepared.program, machine)
            end = time.monotonic() + LIMIT
            while guest.running and time.monotonic() < end and not guest.panic_complete():
                guest.step(0.2)
                if self.firmware_failed(guest.log, time.monotonic() - guest.started):
                    break
            ended = not guest.running
            return guest.log.decode(errors="replace"), ended, guest.qemu_complaint()
        finally:
            guest.close()

    def firmware_failed(self, log, seconds):
        """RISC-V's firmware reads the tree before us, and not every tree leaves it alive: then there is nothing to judge."""
        return self.arch.name == "riscv64" and b"Boot HART MEDELEG" not in log and \
            (b"sbi_trap_error" in log or seconds > FIRMWARE_LIMIT)

    def assert_clear(self, what, log):
        """It ran /init, or said why not."""
        panic = re.search(r"Kernel panic - not syncing: (.*)", log)
        self.assertTrue(panic, f"{what}: no word from the kernel within {LIMIT} s\n{log[-1500:]}")
        self.assertTrue(any(text in panic[1] for text in (INIT_LEFT, *CLEAR)), f"{what}: {panic[1]}\n{log[-3000:]}")


class Initramfs(HostileBoot):
    """Archives (cpio newc, initramfs buffer format)."""

    def archive(self, *parts):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / "initrd"
        path.write_bytes(b"".join(parts))
        return path

    def good(self):
        return entry("init", tiny_program(self.arch), 0o100755) + TRAILER

    def odd_entries(self):
        """Entries that are whole but can't or shouldn't be unpacked: each costs itself only."""
        loop = [entry("a", b"b", 0o120777), entry("b", b"a", 0o120777), entry("a/x", b"1")]
        return b"".join([
            entry("../outside", b"1"), entry("/../../init/x", b"1"), entry("//absolute//x//", b"1"),
            entry("d", mode=0o40755), entry("d/../d/../../e", b"1"), entry("d", b"a file over a folder"),
            entry("none/such/folder", b"1"), entry(".", mode=0o40755), entry("..", mode=0o40755), entry("/", b"1"),
            entry("n" * 255, b"1"), entry("n" * 256, b"1"), entry("n/" * 2000 + "x", b"1"), entry(b"\xff\x01\n", b"1"),
            entry("with\0nul", b"1"), *loop, entry("long", b"t" * 4096, 0o120777), entry("empty", b"", 0o120777),
            # Hard links: to nothing, to a folder, with data only in the last, to themselves.
            entry("l1", inode=7, links=2), entry("l2", b"data", inode=7, links=9), entry("l2", inode=7, links=2),
            entry("dir", mode=0o40755, inode=8, links=5), entry("l3", inode=8, links=2), entry("l3/x", b"1"),
            entry("links", inode=9, links="FFFFFFFF"), entry("ino", inode="FFFFFFFF", links=2),
            # Types and numbers that nothing has.
            *[entry(f"type{kind}", b"1", kind << 12) for kind in range(16)],
            entry("mode", b"1", mode="FFFFFFFF"), entry("device", mode=0o20666, rmajor="FFFFFFFF", rminor="FFFFFFFF"),
            entry("owner", b"1", uid="FFFFFFFF", gid="80000000"), entry("time", b"1", mtime="FFFFFFFF"),
            entry("dev", b"over what is there", 0o100644), entry("dev/console", b"1"), entry("root", b"t", 0o120777),
        ]) + TRAILER

    def broken(self):
        """What ends an archive; names for the reports."""
        noise = random.Random(1).randbytes(5000)
        whole = entry("file", b"data" * 100, inode=2)
        packed = gzip.compress(whole + TRAILER)
        return {
            "random bytes": noise,
            "zeros and random bytes": bytes(512) + noise,
            "cut in the header": whole[:60],
            "cut in the name": whole[:112],
            "cut in the data": whole[:200],
            "size beyond the end": entry("file", b"data", size="7FFFFFFF"),
            "negative size": entry("file", b"data", size="FFFFFFFF"),
            "no name": entry("file", b"data", namesize=0),
            "long name": entry("n" * 5000, b"data"),
            "negative name size": entry("file", b"data", namesize="FFFFFFF0"),
            "digits that are none": entry("file", b"data", size="0000 0x4", mode="zzzzzzzz"),
            "another format": b"\xc7\x71" + noise[:200],
            "no trailer": whole,
            "garbage behind the trailer": whole + TRAILER + noise,
            "gzip of noise": b"\x1f\x8b\x08" + noise,
            "cut gzip": packed[:len(packed) // 2],
            "gzip with a wrong sum": packed[:-8] + noise[:8],
            "gzip that tells a wrong size": packed[:-4] + b"\xff\xff\xff\xff",
            "gzip in gzip": gzip.compress(packed),
            "gzip bomb": self.bomb(),
        }

    def bomb(self):
        """300 MiB of zeros, by the same small block over and over: more than the machine has."""
        block = zlib.compressobj(wbits=-15)
        first = block.compress(bytes(1 << 20)) + block.flush(zlib.Z_FULL_FLUSH)
        return b"\x1f\x8b\x08\0\0\0\0\0\0\3" + first * 300 + block.flush() + struct.pack("<II", 0, 300 << 20)

    def test_odd_entries_cost_themselves_only(self):
        log, *_ = self.boot(initrd=self.archive(self.odd_entries(), self.good()))
        self.assert_clear("odd entries", log)
        self.assertIn(INIT_LEFT, log)

    def test_what_comes_before_the_damage_runs(self):
        cases = list(self.broken().items())
        # The parser's own tests are on the host; here the way to PID 1 counts. Each boot takes a second or two.
        if not self.long:
            cases = random.Random(self.arch.name).sample(cases, 5)
        for what, damage in cases:
            log, *_ = self.boot(initrd=self.archive(self.good(), damage))
            self.assert_clear(what, log)
            self.assertIn(INIT_LEFT, log, what)

    def test_nothing_but_damage(self):
        broken = self.broken()
        for what in ("random bytes", "cut gzip", "gzip bomb") if self.long else ("random bytes",):
            log, *_ = self.boot(initrd=self.archive(broken[what]))
            self.assert_clear(what, log)
            self.assertNotIn(INIT_LEFT, log)
        log, *_ = self.boot(initrd=self.archive())
        self.assert_clear("an empty file", log)


class DeviceTree(HostileBoot):
    """The tree that QEMU makes for `virt`, one thing damaged at a time."""

    only_arches = ("aarch64", "riscv64")

    def machine_tree(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "dtb"
            chosen = qemu.program(self.arch)
            setup = Setup(self.arch, smp=4, memory="256M")
            subprocess.run([*chosen.command, "-M", f"virt,dumpdtb={path}", "-cpu", self.arch.cpu["linnet"], "-smp", "4", "-m",
                            setup.memory, "-display", "none", "-nodefaults"], check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, env=qemu.pass_environment(chosen))
            return fdt.parse(path.read_bytes())

    @staticmethod
    def spared(node):
        """The UART, for what couldn't be printed couldn't be judged; and what RISC-V's firmware needs for its own start."""
        return any(name in ("arm,pl011", "ns16550a", "riscv", "riscv,cpu-intc", "sifive,clint0", "sifive,plic-1.0.0",
                            "sifive,test0") for name in node.compatible()) or \
            node.properties.get("device_type") == b"memory\0"

    def cases(self):
        """Name -> what to do to the tree."""
        def every(change):
            def apply(root):
                for node in list(root.walk()):
                    if not self.spared(node):
                        change(node)
            return apply

        def cut(name, size):
            return every(lambda node: name in node.properties and
                         node.properties.update({name: node.properties[name][:size]}))

        def fill(name, value):
            return every(lambda node: name in node.properties and node.properties.update({name: value}))

        def drop(name):
            return every(lambda node: node.properties.pop(name, None))

        def absurd_cells(bus, address, size):
            def apply(root):
                root.find(bus).set_cells("#address-cells", address)
                root.find(bus).set_cells("#size-cells", size)
            return apply

        def rename(part):
            def apply(root):
                for node in root.walk():
                    if any(part in name for name in node.compatible()):
                        node.properties["compatible"] = b"nobody,knows\0"
            return apply

        def deep(root):
            node = root
            for _ in range(12):
                node.children.append(fdt.Node("deep"))
                node = node.children[-1]

        def many(root):
            for number in range(3000):
                root.children.append(fdt.Node(f"node@{number:x}"))
                root.children[-1].set_cells("phandle", 0x8000)

        def seeds(root):
            root.find("chosen").properties.update({"rng-seed": b"", "stdout-path": b"/nowhere\0", "bootargs": b"open"})

        ones = b"\xff" * 64
        bus = "soc" if self.arch.name == "riscv64" else "platform-bus"
        controller = "plic" if self.arch.name == "riscv64" else "gic"
        return {
            "short reg": cut("reg", 4),
            "reg of one byte": cut("reg", 1),
            "no reg": drop("reg"),
            "dangling interrupt parents": fill("interrupt-parent", b"\0\0\x70\0"),
            "one phandle for all": fill("phandle", b"\0\0\0\1"),
            "no phandles": drop("phandle"),
            "short interrupts": cut("interrupts", 3),
            "interrupts of ones": fill("interrupts", ones),
            "extended interrupts of ones": fill("interrupts-extended", ones),
            "no interrupt cells": drop("#interrupt-cells"),
            "interrupt cells of ones": fill("#interrupt-cells", ones[:4]),
            "huge cells of a bus": absurd_cells(bus, 0xFFFFFFFF, 0xFFFFFFFF),
            "no cells of a bus": absurd_cells(bus, 0, 0),
            "huge cells of PCI": absurd_cells("pcie" if self.arch.name == "aarch64" else "pci", 0x40000000, 0x40000000),
            "huge cells of the CPUs": absurd_cells("cpus", 9, 9),
            "strings that don't end": every(lambda node: "compatible" in node.properties and node.properties.update(
                {"compatible": node.properties["compatible"][:-1]})),
            "endless ranges": fill("ranges", ones * 1000),
            "endless interrupt maps": fill("interrupt-map", bytes(3) + b"\1" + bytes(60000)),
            "unknown interrupt controller": rename(controller),
            "unknown PCI": rename("pci-host"),
            "unknown CPUs": rename("arm,cortex" if self.arch.name == "aarch64" else "riscv"),
            "no device types": drop("device_type"),
            "unknown timer": rename("timer"),
            "no clock": drop("timebase-frequency"),
            "clock of ones": fill("timebase-frequency", ones[:4]),
            "no status": fill("status", b"disabled\0"),
            "deep": deep,
            "many nodes": many,
            "odd chosen": seeds,
        }

    def test_damaged_trees(self):
        cases = list(self.cases().items())
        if not self.long:
            cases = random.Random(self.arch.name).sample(cases, 8)
        tree = self.machine_tree()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        blob, initrd = Path(folder.name) / "dtb", Path(folder.name) / "initrd"
        initrd.write_bytes(entry("init", tiny_program(self.arch), 0o100755) + TRAILER)
        good = fdt.serialise(tree)
        judged = []
        for what, damage in [("as it is", lambda root: None), *cases]:
            root = fdt.parse(good)
            damage(root)
            blob.write_bytes(fdt.serialise(root))
            log, ended, complaint = self.boot(["-dtb", str(blob)], initrd)
            refused = not log and ended and "qemu" in complaint.lower()
            if refused or self.firmware_failed(log.encode(), LIMIT):
                continue
            judged.append(what)
            self.assert_clear(what, log)
            if what == "as it is":
                self.assertIn(INIT_LEFT, log)
        self.assertGreater(len(judged), len(cases) // 3, judged)

