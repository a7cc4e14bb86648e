"""Terminals over virtio-console: /dev/hvc0 as the console that console= names, over PCI and over MMIO."""

import json
import socket
import tempfile
import time
from pathlib import Path

from linnet_tool.testing.harness import BootTest

# What a serial bus may hang on, besides PCI.
MMIO_MACHINES = {"x86_64": "microvm", "aarch64": "virt", "riscv64": "virt"}


class Line:
    """The other end of the console: a socket that QEMU's character device is joined to."""

    def __init__(self, ours):
        self.ours = ours
        self.seen = b""

    def type(self, text):
        self.ours.sendall(text)

    def expect(self, text, limit=60):
        end = time.monotonic() + limit
        while text not in self.seen:
            self.ours.settimeout(max(0.01, end - time.monotonic()))
            try:
                data = self.ours.recv(4096)
            except TimeoutError:
                data = b""
            if not data:
                raise AssertionError(f"waited for {text!r}, have {self.seen[-3000:]!r}")
            self.seen += data
        before, self.seen = self.seen.split(text, 1)
        return before


class VirtioConsole(BootTest):
    only_kernels = ("linnet",)

    def start_on(self, append, backend, bus, machine="", pass_fds=(), extra=()):
        """A guest whose only terminal is on the QEMU character device `backend`."""
        return self.start_bare(f"console=hvc0 {append}",
                               ["-chardev", f"{backend},id=line", "-device", bus, "-device", "virtconsole,chardev=line",
                                *extra], pass_fds, machine=machine)

    def start_shell(self, bus, machine="", pass_fds=(), extra=()):
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        with theirs:
            guest = self.start_on("rdinit=/bin/busybox -- setsid -c /bin/sh", f"socket,fd={theirs.fileno()}", bus,
                                  machine, [theirs.fileno(), *pass_fds], extra)
        return guest, Line(ours)

    def check(self, bus, machine=""):
        guest, line = self.start_shell(bus, machine)
        line.expect(b"Run /bin/busybox as init process")  # the kernel's log is there from its first line
        line.expect(b"# ")
        line.type(b"mount -t devtmpfs none /dev; mount -t proc proc /proc; mount -t sysfs sys /sys; echo re\x7fady\r")
        line.expect(b"\nrady\r\n")  # the erase character took the 'e'
        line.type(b"tty; cat /sys/class/tty/console/active; (: < /dev/vport0p0) || echo no file\r")
        line.expect(b"\nhvc0\r\n")
        line.expect(b"\nno file\r\n")
        line.type(b"echo go; cat\r")
        line.expect(b"\ngo\r\n")  # typed earlier, what follows would go to the shell's editor
        line.type(b"its own\r")
        line.expect(b"its own\r\nits own\r\n")
        line.type(b"\x03")
        line.expect(b"# ")  # cat could still read what comes before it has died
        line.type(b"echo status $?\r")
        line.expect(b"\nstatus 130\r\n")
        line.type(b"poweroff -f\r")
        self.assertEqual(guest.wait(60), 0)

    def test_over_pci(self):
        self.check("virtio-serial-pci")

    def test_much_output(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "output"
            guest = self.start_on("quiet rdinit=/bin/busybox -- seq 50000", f"file,path={path}", "virtio-serial-pci")
            guest.wait(60)  # PID 1's end is a panic, which restarts the machine
            self.assertIn(b"\r\n".join(b"%d" % number for number in range(1, 50001)), path.read_bytes())

    def test_output_comes_before_the_end(self):
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # most of it waits in the guest's buffers
        with theirs:
            port = ["-chardev", f"socket,fd={theirs.fileno()},id=port", "-device", "virtserialport,chardev=port"]
            guest, line = self.start_shell("virtio-serial-pci", pass_fds=[theirs.fileno()], extra=port)
        line.expect(b"# ")
        line.type(b"mount -t devtmpfs none /dev; mount -t proc proc /proc; exec 3> /dev/vport0p1; seq 4000 > /four; "
                  b"cat /four >&3; echo o > /proc/sysrq-trigger\r")
        line.expect(b"sysrq: Power Off")
        output = b"".join(b"%d\n" % number for number in range(1, 4001))
        self.assertEqual(ours.makefile("rb").read(), output)
        self.assertEqual(guest.wait(60), 0)

    def test_console_that_comes_late(self):
        """The host tells of its consoles when it gets round to it, which may be after the kernel looked for one."""
        ours, theirs = socket.socketpair()
        monitor, monitor_end = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(monitor.close)
        with theirs, monitor_end:
            guest = self.start_bare(
                "console=hvc0 rdinit=/bin/busybox -- setsid -c /bin/sh",
                ["-serial", "stdio", "-device", "virtio-serial-pci", "-chardev", f"socket,fd={theirs.fileno()},id=line",
                 "-chardev", f"socket,fd={monitor_end.fileno()},id=mon", "-mon", "chardev=mon,mode=control"],
                [theirs.fileno(), monitor_end.fileno()])
        self.assertTrue(any(b"waiting for the console" in line for line in guest.stdout))
        for command in ({"execute": "qmp_capabilities"},
                        {"execute": "device_add", "arguments": {"driver": "virtconsole", "chardev": "line", "id": "late"}}):
            monitor.sendall(json.dumps(command).encode())
        line = Line(ours)
        line.expect(b"# ")
        line.type(b"poweroff -f\r")
        self.assertEqual(guest.wait(60), 0)

    def test_over_mmio(self):
        if self.arch.name not in MMIO_MACHINES:
            self.skipTest("no virtio-mmio there")
        self.check("virtio-serial-device", MMIO_MACHINES[self.arch.name])
