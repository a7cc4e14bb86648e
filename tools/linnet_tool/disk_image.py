"""Disk images as roots: raw files with an ext4 file system, or with a partition table (GPT, MBR) and one in a partition."""

import os
import re
import struct
import uuid
from dataclasses import dataclass

from .ui import LinnetError

SECTOR = 512
EXT_MAGIC = b"\x53\xef"
EXT_MAGIC_AT = 1024 + 0x38
EXTENDED = (0x05, 0x0F, 0x85)  # types of MBR partitions that hold others
MOST_PARTITIONS = 15  # of a virtio disk that the kernel shows

# What the Discoverable Partitions Specification calls a root of an architecture.
ROOT_TYPES = {
    "x86_64": uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
    "aarch64": uuid.UUID("b921b045-1df0-41c3-af44-4c6f280d3fae"),
    "riscv64": uuid.UUID("72ec70a6-cf74-40e6-bd49-4bda08e8f224"),
    "loongarch64": uuid.UUID("77055800-792c-4f94-b39a-98c91b762bb6"),
}

FOREIGN = ((0, b"QFI\xfb", "qcow2"), (0, b"KDMV", "VMDK"), (0, b"vhdxfile", "VHDX"), (0, b"hsqs", "squashfs"),
           (0, b"XFSB", "XFS"), (0x10040, b"_BHRfS_M", "btrfs"), (1024, b"\x10\x20\xf5\xf2", "F2FS"))


@dataclass
class Partition:
    number: int
    start: int  # bytes
    size: int
    type: object = None  # of a GPT: its GUID


class Image:
    """An image, with what has been read of it."""

    def __init__(self, path):
        self.path = path
        try:
            self.file = open(path, "rb")
        except OSError as error:
            raise LinnetError(f"cannot read {path}: {error.strerror}") from None
        with self.file:
            self.size = os.fstat(self.file.fileno()).st_size
            self.has_ext = self._has_ext(0)
            self.partitions = [] if self.has_ext else self._partitions()
            self.roots = [one for one in self.partitions if self._has_ext(one.start)]
            self.foreign = next((name for at, magic, name in FOREIGN if self._read(at, len(magic)) == magic), None)

    def _read(self, at, size):
        self.file.seek(at)
        return self.file.read(size)

    def _has_ext(self, start):
        return self._read(start + EXT_MAGIC_AT, len(EXT_MAGIC)) == EXT_MAGIC

    def _partitions(self):
        record = self._read(0, SECTOR)
        if len(record) < SECTOR or record[510:] != b"\x55\xaa":
            return []
        entries = [record[446 + 16 * i:462 + 16 * i] for i in range(4)]
        if any(entry[4] == 0xEE for entry in entries):
            found = self._gpt()
        else:
            found = self._mbr(entries)
        return [one for one in found if one.number <= MOST_PARTITIONS and one.start < self.size]

    def _mbr(self, entries):
        extended = 0
        for number, entry in enumerate(entries, 1):
            first, count = struct.unpack_from("<II", entry, 8)
            if entry[4] in EXTENDED:
                extended = extended or first
            elif entry[4] and count:
                yield Partition(number, first * SECTOR, count * SECTOR)
        place = extended
        for number in range(5, MOST_PARTITIONS + 1):
            record = self._read(place * SECTOR, SECTOR) if place else b""
            if len(record) < SECTOR or record[510:] != b"\x55\xaa":
                return
            first, count = struct.unpack_from("<II", record, 446 + 8)
            yield Partition(number, (place + first) * SECTOR, count * SECTOR)
            following, = struct.unpack_from("<I", record, 462 + 8)
            place = extended + following if following else 0

    def _gpt(self):
        header = self._read(SECTOR, 92)
        if header[:8] != b"EFI PART" or len(header) < 92:
            return
        entries, count, size = struct.unpack_from("<QII", header, 72)
        for number in range(1, min(count, MOST_PARTITIONS) + 1):
            entry = self._read(entries * SECTOR + (number - 1) * size, 48)
            if len(entry) < 48 or not any(entry[:16]):
                continue
            first, last = struct.unpack_from("<QQ", entry, 32)
            yield Partition(number, first * SECTOR, (last - first + 1) * SECTOR, uuid.UUID(bytes_le=entry[:16]))


def split(text):
    """FILE or FILE:N -> the file and the partition's number, 0 for none given."""
    found = re.fullmatch(r"(.+):([0-9]+)", text)
    if found and not os.path.lexists(text):
        return found[1], int(found[2])
    return text, 0


def is_image(path):
    """Whether a plain file looks like a disk rather than like an archive."""
    try:
        image = Image(path)
    except LinnetError:
        return False
    return image.has_ext or bool(image.partitions) or image.foreign is not None


def choose(path, number, arch):
    """The number of the partition to be the root; 0: the image is a file system itself."""
    image = Image(path)
    if image.has_ext:
        if number:
            raise LinnetError(f"{path} is a file system, not a disk with partitions; leave the :{number} away")
        return 0
    if not image.partitions:
        raise LinnetError(f"{path} is a disk image, but neither ext4 nor with a partition table" + (
            f": it is {image.foreign}" if image.foreign else "") + (
            f"; `qemu-img convert -O raw {path} …` makes a raw one" if image.foreign in ("qcow2", "VMDK", "VHDX") else ""))
    if number:
        if number not in [one.number for one in image.partitions]:
            raise LinnetError(f"{path} has no partition {number} (it has {numbers(image.partitions)})")
        if number not in [one.number for one in image.roots]:
            raise LinnetError(f"partition {number} of {path} holds no ext4 file system")
        return number
    if not image.roots:
        raise LinnetError(f"no partition of {path} holds an ext4 file system")
    wanted = [one for one in image.roots if one.type == ROOT_TYPES[arch.name]]
    candidates = wanted if len(wanted) == 1 else image.roots
    if len(candidates) > 1:
        raise LinnetError(f"several partitions of {path} could be the root: say {path}:N with one of "
                          f"{numbers(candidates)}")
    return candidates[0].number


def numbers(partitions):
    return ", ".join(str(one.number) for one in partitions)
