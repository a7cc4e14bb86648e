"""Disk images as the root: mounted by the kernel (root=), by the agent, by an initramfs of somebody's own."""

import hashlib
import os
import re
import struct
import subprocess
import tempfile
import uuid
import zlib
from pathlib import Path

from linnet_tool import packages, rootfs
from linnet_tool.testing.harness import BootTest

TOOLS = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
START = 1 << 20  # where the partition begins, in bytes
SIZE = 12 << 20
SIGNATURE = 0xA1B2C3D4
PARTITIONS = ("01234567-89ab-cdef-0123-456789abcdef", "89abcdef-0123-4567-89ab-cdef01234567")
INIT = """#!/bin/sh
mount -t proc proc /proc
echo "pid $$, arguments: $*"
grep ' / ' /proc/mounts
ls /dev/null
touch /fresh || echo refused
mount -o remount,rw / && echo written > /fresh && mount -o remount,ro / && echo remounted
poweroff -f
"""
SWITCH = """#!/bin/sh
mkdir -p /new
mount -t devtmpfs devtmpfs /dev
mount -t ext4 -o ro /dev/vda /new
pivot_root /new /new/mnt || echo no pivot
mount --move /dev /new/dev
exec switch_root /new /sbin/init switched
"""


# A package of our own through all that dpkg does with one, and a user.
PACKAGE = """set -e
mkdir -p /tmp/p/DEBIAN /tmp/p/etc
cat > /tmp/p/DEBIAN/control << 'end'
Package: probe
Version: 1
Architecture: all
Maintainer: nobody <nobody@localhost>
Description: a probe
end
echo /etc/probe.conf > /tmp/p/DEBIAN/conffiles
printf '#!/bin/sh\\necho "postinst $@" >&3\\n' > /tmp/p/DEBIAN/postinst
chmod 755 /tmp/p/DEBIAN/postinst
echo one > /tmp/p/etc/probe.conf
exec 3>&1
dpkg-deb -b /tmp/p /tmp/one.deb > /dev/null
dpkg -i /tmp/one.deb > /dev/null
echo changed > /etc/probe.conf
sed -i s/1/2/ /tmp/p/DEBIAN/control
echo two > /tmp/p/etc/probe.conf
dpkg-deb -b /tmp/p /tmp/two.deb > /dev/null
dpkg --force-confold -i /tmp/two.deb > /dev/null 2>&1
cat /etc/probe.conf /etc/probe.conf.dpkg-dist
dpkg -P probe > /dev/null
ls /etc/probe.conf* || useradd -m somebody
su somebody -c 'id -un; echo $HOME'
dpkg --audit
dpkg -V
apt-get check -qq
"""


def run(*words):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=TOOLS)


class RootTest(BootTest):
    def setUp(self):
        packages.require("/usr/sbin/mke2fs")
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.home = Path(home.name)

    def tree(self):
        """The busybox root with an init of ours."""
        tree = self.home / "tree"
        tree.mkdir()
        subprocess.run(["cpio", "-id", "--quiet", "--no-absolute-filenames"], check=True, cwd=tree,
                       stdin=open(rootfs.get("busybox", self.arch).archive, "rb"))
        for name in (tree / "dev").iterdir():
            name.unlink()  # devtmpfs brings them
        init = tree / "usr/sbin/init"
        init.unlink()
        init.write_text(INIT)
        init.chmod(0o755)
        return tree

    def image(self, offset=0):
        """A file system, `offset` bytes from the start of the file."""
        path = self.home / "root.img"
        words = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-E", f"offset={offset}", "-d", self.tree()]
        made = run(*words, path, f"{SIZE >> 10}k")
        self.assertEqual(made.returncode, 0, made.stdout)
        return path

    def partitioned(self):
        """The second of two partitions is the root."""
        path = self.image(START)
        with open(path, "r+b") as file:
            file.truncate(START + SIZE)
            file.seek(440)
            file.write(struct.pack("<I", SIGNATURE))
            file.seek(446)
            file.write(struct.pack("<4xB3xII", 0x83, 64, 64) + struct.pack("<4xB3xII", 0x83, START // 512, SIZE // 512))
            file.seek(510)
            file.write(b"\x55\xaa")
        return path

    def partitioned_by_gpt(self):
        """The same by a GPT."""
        path = self.image(START)
        entries = bytearray(128 * 128)
        for index, (first, last, name) in enumerate(((64, 127, "small"), (START // 512, (START + SIZE) // 512 - 1, "the root"))):
            struct.pack_into("<16s16sQQQ72s", entries, index * 128, uuid.UUID(int=1 + index).bytes_le,
                             uuid.UUID(PARTITIONS[index]).bytes_le, first, last, 0, name.encode("utf-16le"))
        header = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, 1, 0, 34, (START + SIZE) // 512, bytes(16), 2,
                             128, 128, zlib.crc32(entries))
        header = header[:16] + struct.pack("<I", zlib.crc32(header)) + header[20:]
        with open(path, "r+b") as file:
            file.truncate(START + SIZE)
            file.write(bytes(446) + struct.pack("<4xB3xII", 0xEE, 1, 0xFFFFFFFF) + bytes(48) + b"\x55\xaa")
            file.write(header + bytes(512 - len(header)) + entries)
        return path

    def assert_clean(self, path, offset=0):
        """Unmounted, with nothing for e2fsck to mend."""
        told = run("dumpe2fs", "-h", f"{path}?offset={offset}").stdout
        self.assertRegex(told, rb"(?m)^Filesystem state: +clean$")
        self.assertNotIn(b"needs_recovery", told)
        checked = run("e2fsck", "-f", "-n", f"{path}?offset={offset}")
        self.assertEqual(checked.returncode, 0, checked.stdout)


class Root(RootTest):
    def test_mounted_by_the_kernel(self):
        """Read-only when it says so, with /dev, and clean once it has been made so."""
        path = self.partitioned()
        root, source = f"root=PARTUUID={SIGNATURE:08X}-02 rootwait", b"/dev/root"
        if self.kernel == "linux":  # the agent does it there
            root, source = "", b"/dev/vda2"
        call = self.guest(options=("--rootfs", path, "--persist", "--timeout", "60", "--append",
                                   f"{root} ro init=/sbin/init word"))
        self.assertEqual(call.status, 0, call.err)
        text = call.out.replace(b"\r", b"")
        self.assertIn(b"pid 1, arguments: word\n" + source + b" / ext4 ro,relatime 0 0\n/dev/null\n", text)
        self.assertRegex(text, rb"Read-only file system\nrefused\nremounted\n")
        self.assert_clean(path, START)
        fresh = run("debugfs", "-R", "cat fresh", f"{path}?offset={START}").stdout
        self.assertTrue(fresh.endswith(b"written\n"), fresh)

    def test_kept_on_request(self):
        """A command's bytes and status are its own; the guest unmounts when it is done."""
        path = self.image()
        call = self.guest("sh", "-c", "grep -c ' / ext4 rw' /proc/mounts; cat > /fresh; sleep 1000 & exit 7",
                          options=("--rootfs", path, "--persist"), stdin=b"a\0b\r\n")
        self.assertEqual((call.status, call.out, call.err), (7, b"1\n", b""))
        self.assert_clean(path)
        self.assertTrue(run("debugfs", "-R", "cat fresh", path).stdout.endswith(b"a\0b\r\n"))


class RootOnce(RootTest):
    """What is the same on all architectures."""

    def applies(self):
        return super().applies() and (self.long or self.arch.name == "x86_64")

    def test_gone_unless_requested(self):
        path = self.image()
        before = hashlib.sha256(path.read_bytes()).digest()
        disk = self.home / "disk.img"
        disk.write_bytes(b"second" + bytes(SIZE))
        call = self.guest("sh", "-c", "echo x > /fresh && sync && head -c 6 /dev/vdb",
                          options=("--rootfs", path, "--disk", disk))
        self.assertEqual((call.status, call.out), (0, b"second"), call.err)
        self.assertEqual(hashlib.sha256(path.read_bytes()).digest(), before)

    def test_shell(self):
        call = self.guest(stdin=b"echo one; exit 5\n", options=("--rootfs", self.image()))
        self.assertEqual((call.status, call.out, call.err), (5, b"one\n", b""))

    def test_device_that_is_missing(self):
        call = self.guest("true", options=("--rootfs", self.image(), "--append", "root=/dev/vdz"))
        self.assertEqual(call.status, 125)
        self.assertIn(b"cannot mount the root /dev/vdz: No such file or directory", call.err)


class RootOfLinnet(RootTest):
    """Debian's kernel has no disks before its modules are loaded."""

    only_kernels = ("linnet",)

    def applies(self):
        return super().applies() and (self.long or self.arch.name == "x86_64")

    def test_initramfs_that_switches(self):
        """Its own root can't be pivoted, as on Linux."""
        path = self.image()
        tree = self.home / "tree"
        (tree / "init").write_text(SWITCH)
        (tree / "init").chmod(0o755)
        call = self.guest(options=("--rootfs", tree, "--disk", path, "--append", "rdinit=/init", "--timeout", "60"))
        self.assertEqual(call.status, 0, call.err)
        text = call.out.replace(b"\r", b"")
        self.assertRegex(text, rb"pivot_root.*: Invalid argument\nno pivot\n")
        self.assertIn(b"pid 1, arguments: switched\n/dev/vda / ext4 ro,relatime 0 0\n/dev/null\n", text)

    def test_names_of_devices(self):
        path = self.partitioned_by_gpt()
        for name in (f"PARTUUID={PARTITIONS[1].upper()}", f"PARTUUID={PARTITIONS[0]}/PARTNROFF=1", '"PARTLABEL=the root"', "254:2"):
            with self.subTest(name=name):
                call = self.guest(options=("--rootfs", path, "--append", f"root={name} init=/sbin/init", "--timeout", "60"))
                self.assertEqual(call.status, 0, call.err)
                self.assertIn(b"pid 1,", call.out)

    def panic(self, path, append):
        call = self.guest(options=("--rootfs", path, "--append", append + " init=/sbin/init", "--timeout", "60"))
        self.assertEqual(call.status, 125, call.err)
        return re.sub(r"\[ *[0-9.]+\] ", "", call.out.decode(errors="replace").replace("\r", "")), call.err

    def test_no_such_device(self):
        log, complaint = self.panic(self.partitioned(), "root=/dev/vdb1")
        self.assertIn('VFS: Cannot open root device "/dev/vdb1" or unknown-block(0,0): error -6\n'
                      'Please append a correct "root=" boot option; here are the available partitions:\n'
                      f"fe00      {(START + SIZE) >> 10:10} vda \n"
                      f"  fe01      {32:10} vda1 {SIGNATURE:08x}-01\n  fe02      {SIZE >> 10:10} vda2 {SIGNATURE:08x}-02\n"
                      "List of all bdev filesystems:\n ext4\n", log)
        self.assertIn(b"Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)", complaint)

    def test_no_file_system(self):
        log, complaint = self.panic(self.partitioned(), "root=fe01")
        self.assertIn("No filesystem could mount root, tried: ext4\n", log)
        self.assertIn(b"VFS: Unable to mount root fs on unknown-block(254,1)", complaint)

    def test_no_such_type(self):
        log, complaint = self.panic(self.partitioned(), "rootfstype=xfs")
        self.assertIn('VFS: Cannot open root device "/dev/vda2" or unknown-block(254,2): error -19\n', log)


class Choice(RootTest):
    """Which part of which image: nothing is booted."""

    once = True

    def complaint(self, path, *options):
        call = self.guest("true", options=("--rootfs", path, *options))
        self.assert_complaint(call)
        return call.err.decode()

    def test_what_cannot_be_a_root(self):
        whole = self.image()
        self.assertIn("leave the :1 away", self.complaint(f"{whole}:1"))
        self.assertIn("rdinit=", self.complaint(whole, "--append", "rdinit=/init"))
        self.assertIn("--persist", self.complaint("busybox", "--persist"))
        foreign = self.home / "foreign.img"
        foreign.write_bytes(b"QFI\xfb" + bytes(4096))
        self.assertIn("qemu-img convert", self.complaint(foreign))

    def test_partitions(self):
        path = self.partitioned()
        self.assertIn("has no partition 3 (it has 1, 2)", self.complaint(f"{path}:3"))
        self.assertIn("partition 1 of", self.complaint(f"{path}:1"))
        with open(path, "r+b") as file:
            file.seek(446 + 8)
            file.write(struct.pack("<II", START // 512, SIZE // 512))  # both show the same
        self.assertIn("several partitions", self.complaint(path))


class Debian(RootTest):
    """A Debian whose packages were configured in a guest: that takes minutes, and a mirror."""

    def applies(self):
        return super().applies() and self.long

    def test_packages_come_and_go(self):
        image = self.launch("rootfs", "debian-disk", "--arch", self.arch.name, limit=3600)
        self.assertEqual(image.status, 0, image.err)
        self.assert_clean(image.out.decode().strip())
        call = self.guest("bash", "-c", PACKAGE, options=("--rootfs", "debian-disk"), limit=600)
        self.assertEqual((call.status, call.out), (0, b"postinst configure \npostinst configure 1\nchanged\ntwo\n"
                                                      b"somebody\n/home/somebody\n"), call.err)
