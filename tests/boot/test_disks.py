"""--disk: files of ours as disks of the guest."""

import os
import tempfile

from linnet_tool.testing.harness import BootTest

SIZE = 8 << 20


class DiskTest(BootTest):
    def disk(self, beginning=b""):
        handle, path = tempfile.mkstemp(suffix=".img")
        self.addCleanup(os.unlink, path)
        with open(handle, "wb") as file:
            file.write(beginning)
            file.truncate(SIZE)
        return path

    def contents(self, path, count):
        with open(path, "rb") as file:
            return file.read(count)

    def read_and_write(self, *options):
        """Both sides see the same bytes, on each of two disks."""
        one, other = self.disk(b"outside"), self.disk()
        call = self.guest("sh", "-c", "head -c 7 /dev/vda; printf in > /dev/vda; echo other > /dev/vdb",
                          options=("--disk", one, "--disk", other, *options))
        self.assertEqual((call.status, call.out), (0, b"outside"), call.err)
        self.assertEqual(self.contents(one, 7), b"intside")
        self.assertEqual(self.contents(other, 6), b"other\n")


class Disks(DiskTest):
    def test_both_sides_see_the_same(self):
        self.read_and_write()

    def test_sync_stores_what_an_open_device_holds(self):
        path = self.disk()
        self.guest("sh", "-c", "exec 3<> /dev/vda; printf kept >&3; sync; reboot -f", options=("--disk", path))
        self.assertEqual(self.contents(path, 4), b"kept")

    def test_read_only(self):
        path = self.disk(b"stays")
        call = self.guest("sh", "-c", "echo x > /dev/vda", options=("--disk", path + ":ro"))
        self.assertEqual(call.status, 1)
        self.assertIn(b"Operation not permitted", call.err)
        self.assertEqual(self.contents(path, 5), b"stays")

    def test_no_such_file(self):
        self.assert_complaint(self.guest("true", options=("--disk", "/nowhere/disk.img")))


class MemoryMapped(DiskTest):
    """The transport without PCI."""

    only_arches = ("x86_64",)

    def test_both_sides_see_the_same(self):
        self.read_and_write("--machine", "microvm")
