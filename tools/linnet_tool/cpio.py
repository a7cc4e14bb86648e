"""Writes initramfs archives: cpio in the "newc" format that Linux's initramfs documentation describes.

The same entries in the same order give the same bytes. Owners are always root, as guests expect.
"""

import os
import stat
import tarfile
from dataclasses import dataclass

from .ui import LinnetError


@dataclass
class Entry:
    mode: int  # type and permission bits
    data: bytes = b""  # a file's contents, a symbolic link's target
    source: str | None = None  # a file on this machine to take the contents from instead
    device: tuple = (0, 0)
    mtime: int = 0
    same_as: str | None = None  # the path of the entry that this one is a hard link to


def directory(mode=0o755):
    return Entry(stat.S_IFDIR | mode)


def file(data, mode=0o644):
    return Entry(stat.S_IFREG | mode, data if isinstance(data, bytes) else data.encode())


def symlink(target):
    return Entry(stat.S_IFLNK | 0o777, os.fsencode(target))


def char_device(major, minor, mode=0o600):
    return Entry(stat.S_IFCHR | mode, device=(major, minor))


class Tree(dict):
    """path (without leading slash) -> Entry."""

    def add(self, path, entry):
        """Adds an entry and the folders that lead to it."""
        parent = os.path.dirname(path)
        if parent and parent not in self:
            self.add(parent, directory())
        old = self.get(path)
        if old and stat.S_ISDIR(old.mode) and not stat.S_ISDIR(entry.mode):
            return
        self[path] = entry

    def resolve(self, path, hops=0):
        """Follows symbolic links inside the tree; returns the final path or None."""
        parts = [part for part in path.split("/") if part and part != "."]
        current = ""
        while parts:
            part = parts.pop(0)
            if part == "..":
                current = os.path.dirname(current)
                continue
            candidate = f"{current}/{part}" if current else part
            entry = self.get(candidate)
            if entry is None:
                return None
            if stat.S_ISLNK(entry.mode):
                if hops > 40:
                    return None
                target = os.fsdecode(entry.data)
                base = "" if target.startswith("/") else current
                return self.resolve("/".join([base, target, *parts]), hops + 1)
            current = candidate
        return current

    def executable(self, path):
        found = self.resolve(path)
        return bool(found) and stat.S_ISREG(self[found].mode) and bool(self[found].mode & 0o111)

    def write(self, out):
        _write(self, out)


def _header(ino, mode, nlink, mtime, size, rdev, name):
    encoded = os.fsencode(name) + b"\0"
    fields = (ino, mode, 0, 0, nlink, mtime, size, 0, 0, rdev[0], rdev[1], len(encoded), 0)
    head = b"070701" + b"".join(b"%08x" % (value & 0xFFFFFFFF) for value in fields) + encoded
    return head + b"\0" * (-len(head) % 4)


def _write(tree, out):
    groups = {}  # the path of a file with several names -> all of them
    for path, entry in tree.items():
        if entry.same_as is not None and entry.same_as in tree:
            groups.setdefault(entry.same_as, [entry.same_as]).append(path)
    numbers = {}
    for path in sorted(tree):
        entry = tree[path]
        first = entry.same_as if entry.same_as in groups else path
        names = groups.get(first, [path])
        ino = numbers.setdefault(first, len(numbers) + 1)
        # Of several names the last one written carries the contents, as cpio does it.
        carries = len(names) == 1 or path == max(names)
        _write_entry(out, path, tree[first], ino, len(names), carries)
    out.write(_header(0, 0, 1, 0, 0, (0, 0), "TRAILER!!!"))
    out.write(b"\0" * (-out.tell() % 512))


def _write_entry(out, path, entry, ino, nlink, carries):
    source = None
    size = len(entry.data)
    if entry.source is not None and carries:
        source = open(entry.source, "rb")
        size = os.fstat(source.fileno()).st_size
    elif not carries:
        size = 0
    out.write(_header(ino, entry.mode, 2 if stat.S_ISDIR(entry.mode) else nlink, entry.mtime, size, entry.device,
                      path))
    if source:
        with source:
            left = size
            while left:
                block = source.read(min(left, 1 << 20))
                if not block:
                    raise LinnetError(f"{entry.source} became shorter while it was read")
                out.write(block)
                left -= len(block)
    elif carries:
        out.write(entry.data)
    out.write(b"\0" * (-size % 4))


def from_folder(folder):
    """A tree out of a folder of this machine; all becomes root's."""
    tree = Tree()
    links = {}
    for base, folders, files in os.walk(folder, onerror=_refuse):
        for name in folders + files:
            full = os.path.join(base, name)
            path = os.path.relpath(full, folder)
            info = os.lstat(full)
            entry = Entry(info.st_mode, mtime=int(info.st_mtime))
            if stat.S_ISLNK(info.st_mode):
                entry.data = os.fsencode(os.readlink(full))
            elif stat.S_ISREG(info.st_mode):
                entry.source = full
                if info.st_nlink > 1:
                    first = links.setdefault((info.st_dev, info.st_ino), path)
                    entry.same_as = first if first != path else None
                if not os.access(full, os.R_OK):
                    raise LinnetError(f"cannot read {full}")
            elif stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
                entry.device = (os.major(info.st_rdev), os.minor(info.st_rdev))
            elif stat.S_ISSOCK(info.st_mode):
                continue
            tree[path] = entry
    return tree


def _refuse(error):
    raise LinnetError(f"cannot read {error.filename}: {error.strerror}")


_TAR_TYPES = {tarfile.DIRTYPE: stat.S_IFDIR, tarfile.SYMTYPE: stat.S_IFLNK, tarfile.CHRTYPE: stat.S_IFCHR,
              tarfile.BLKTYPE: stat.S_IFBLK, tarfile.FIFOTYPE: stat.S_IFIFO}


def add_tar_member(tree, member, tar, rename):
    """Adds one member of a tar; `rename` maps a member's name to a path in the tree ("" leaves it out)."""
    path = rename(member.name)
    if not path:
        return
    kind = _TAR_TYPES.get(member.type, stat.S_IFREG)
    entry = Entry(kind | (member.mode & 0o7777), mtime=int(member.mtime))
    if member.islnk():
        entry.same_as = rename(member.linkname)
        target = tree.get(entry.same_as)
        if target is not None and target.same_as is not None:
            entry.same_as = target.same_as
    elif member.issym():
        entry.mode = stat.S_IFLNK | 0o777
        entry.data = os.fsencode(member.linkname)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        entry.device = (member.devmajor, member.devminor)
    elif kind == stat.S_IFREG:
        entry.data = tar.extractfile(member).read()
    tree.add(path, entry)
