"""Root trees for guests: `busybox`, `debian`, `stress` (stress-ng), `realtime` (rt-tests), `python` (its own tests), `java`
(and programs of ours), `go` (and its library's tests), `glibc` (its tests of threads and timers), `debug` (strace, gdb and others
with programs to look into), `suites` (tests of strace and libsigsegv), `disk` (file
systems on disks), or a folder or tar, kept as cpio; or a disk image, which stays what it is."""

import io
import json
import os
import re
import stat
import subprocess
import tarfile

from . import cpio, debian, debian_disk, debuggees, disk_image, glibc, qemu, runtimes, suites
from .paths import BUILD, ensure
from .ui import LinnetError, Progress

NAMES = ("busybox", "debian", "stress", "realtime", "python", "java", "go", "glibc", "perf", "debug",
         "suites", "disk")

# Debians that dpkg has configured, on disks.
DISK_NAMES = tuple(debian_disk.PACKAGES)

# Raise it when the code below makes different trees out of the same packages.
VERSION = 1

PACKAGES = {
    "busybox": ["busybox-static"],
    "debian": ["base-files", "base-passwd", "bash", "busybox-static", "coreutils", "dash", "debianutils", "diffutils",
               "findutils", "grep", "gzip", "libc-bin", "mawk", "mount", "ncurses-base", "perl-base", "procps",
               "python3", "sed", "tar", "util-linux"],
    "stress": ["base-files", "base-passwd", "bash", "busybox-static", "coreutils", "libc-bin", "stress-ng"],
    "realtime": ["base-files", "base-passwd", "bash", "busybox-static", "coreutils", "libc-bin", "mawk", "rt-tests", "sed"],
    "python": ["base-files", "base-passwd", "bash", "busybox-static", "coreutils", "dash", "libc-bin",
               r"^libpython3\.[0-9]+-testsuite$", "python3", "sed"],  # apt takes a regular expression
    "java": ["base-files", "base-passwd", "bash", "busybox-static", "coreutils", "dash", "default-jre-headless", "libc-bin", "sed"],
    "go": ["base-files", "base-passwd", "bash", "busybox-static", "coreutils", "dash", "grep", "libc-bin", "sed"],
    "glibc": ["base-files", "base-passwd", "bash", "busybox-static", "coreutils", "dash", "libc-bin"],
    "perf": ["base-files", "base-passwd", "bash", "busybox-static", "coreutils", "dash", "grep", "libc-bin", "linux-perf", "sed",
             "trace-cmd"],
    "debug": ["base-files", "base-passwd", "bash", "busybox-static", "coreutils", "dash", "findutils", "gdb", "gdbserver", "grep",
              "libc-bin", "ltrace", "mawk", "procps", "sed", "strace", "util-linux", "valgrind"],
    "suites": ["base-files", "base-passwd", "bash", "busybox-static", "coreutils", "dash", "diffutils", "findutils", "gawk", "grep",
               "libc-bin", "perl-base", "procps", "sed", "util-linux"],
    "disk": ["acl", "attr", "base-files", "base-passwd", "bash", "busybox-static", "coreutils", "dash", "diffutils", "e2fsprogs",
             "findutils", "grep", "libc-bin", "mount", "perl-base", "sed", "util-linux"],
}

# What Debian has not for an architecture, in the suite that its trees come from.
NOT_PACKAGED = {"aarch64": {"ltrace"}, "riscv64": {"valgrind"}, "loongarch64": {"gdbserver", "valgrind"}}

# What is made here, besides Debian's packages: of what it depends on, and how it is put into a tree.
MADE_HERE = {
    "java": (runtimes.java_version, runtimes.add_java),
    "go": (runtimes.go_version, runtimes.add_go),
    "glibc": (lambda: glibc.VERSION, glibc.add_tests),
    "debug": (debuggees.version, debuggees.add),
    "perf": (debuggees.version, debuggees.add),  # for what has debugging information
    "suites": (suites.version, suites.add),
}

# Left out of the trees: nothing that a program needs to run, but half of the bytes. stress-ng is linked to EGL, whose
# drivers load only when somebody draws.
_UNNEEDED = re.compile(r"usr/share/(doc|man|info|locale|lintian|bash-completion|doc-base|bug|zoneinfo|menu|perl5/Debconf)"
                       r"(/|$)|usr/lib/python3/dist-packages/debpython|usr/share/python3/debpython/__pycache__"
                       r"|usr/lib/[^/]+/(libLLVM|libgallium|dri/)")

_FOLDERS = {"dev": 0o755, "proc": 0o555, "sys": 0o555, "tmp": 0o1777, "root": 0o700, "etc": 0o755, "var": 0o755,
            "var/tmp": 0o1777, "run": 0o755, "mnt": 0o755, "home": 0o755, "usr": 0o755, "usr/bin": 0o755,
            "usr/sbin": 0o755, "usr/lib": 0o755}


class Root:
    """A finished root: its archive, and what the launcher must know about it before boot."""

    def __init__(self, archive, shell, bash, temporary=False):
        self.archive = archive
        self.shell = shell  # has an executable /bin/sh
        self.bash = bash  # has an executable /bin/bash
        self.temporary = temporary

    # The disk that it lies on, and the device that root= is to name; an archive has neither.
    disk = None
    device = None

    def clean_up(self):
        """Removes what was made for one run only."""
        if self.temporary:
            os.unlink(self.archive)


class DiskRoot(Root):
    """An image that the guest mounts. It is the guest's first disk, before those of --disk."""

    def __init__(self, path, partition):
        # What is in it isn't looked at; a missing shell will be told by the guest.
        super().__init__(None, shell=True, bash=False)
        self.disk = qemu.Disk(path, keeps_changes=False)
        self.device = f"/dev/vda{partition or ''}"


def get(name, arch):
    """The root that --rootfs names, made now if need be."""
    if name in DISK_NAMES:
        return DiskRoot(str(debian_disk.get(name, arch)), 0)
    if name in NAMES:
        return named(name, arch)
    path, partition = disk_image.split(name)
    if os.path.isfile(path) and (partition or disk_image.is_image(path)):
        return DiskRoot(path, disk_image.choose(path, partition, arch))
    return from_path(name, arch)


def named(name, arch, include=None, refresh=False):
    archive = BUILD / "rootfs" / f"{name}-{arch.name}.cpio"
    stamp = archive.with_suffix(".json")
    known = _read_stamp(stamp)
    extra = sorted(set(include if include is not None else known.get("include", [])))
    packaged = [one for one in PACKAGES[name] if one not in NOT_PACKAGED.get(arch.name, ())]
    wanted = {"version": VERSION, "packages": packaged, "include": extra}
    if name in MADE_HERE:
        wanted["made_here"] = MADE_HERE[name][0]()
    if refresh or not archive.exists() or any(known.get(key) != value for key, value in wanted.items()):
        with debian.locked(f"rootfs-{name}-{arch.name}", BUILD):
            known = _read_stamp(stamp)
            if refresh or not archive.exists() or any(known.get(key) != value for key, value in wanted.items()):
                known = _make(name, arch, wanted, archive, stamp)
    return Root(archive, known["shell"], known["bash"])


def _read_stamp(stamp):
    try:
        return json.loads(stamp.read_text())
    except (OSError, ValueError):
        return {}


def _make(name, arch, wanted, archive, stamp):
    debs = debian.Archive(arch.suite, arch.debian).download_closure(wanted["packages"] + wanted["include"])
    with Progress(f"making the {name} root for {arch.name}"):
        tree = base_tree(arch)
        keep = None if wanted["include"] else _UNNEEDED
        for deb in debs:
            for member, tar in debian.members(deb):
                cpio.add_tar_member(tree, member, tar, lambda path: _rename(path, arch, keep))
        if name == "busybox":
            add_applets(tree)
        if name in MADE_HERE:
            MADE_HERE[name][1](tree, arch)
        add_accounts(tree)
        known = dict(wanted, **_facts(tree))
        write(tree, archive)
        stamp.write_text(json.dumps(known))
    return known


def _rename(path, arch, unneeded):
    path = debian.merged_path(path, arch.dynamic_links)
    if path in arch.dynamic_links or (unneeded and unneeded.match(path)):
        return ""
    return path


def _facts(tree):
    return {"shell": tree.executable("bin/sh"), "bash": tree.executable("bin/bash")}


def base_tree(arch):
    """The folders and links every Debian tree has, and the two devices PID 1 wants before devtmpfs is there."""
    tree = cpio.Tree()
    for path, mode in _FOLDERS.items():
        tree.add(path, cpio.directory(mode))
    for link in arch.dynamic_links:
        tree.add(link, cpio.symlink(f"usr/{link}"))
        tree.add(f"usr/{link}", cpio.directory())
    tree.add("dev/console", cpio.char_device(5, 1))
    tree.add("dev/null", cpio.char_device(1, 3, 0o666))
    return tree


def add_applets(tree):
    """Links each of BusyBox's applets to it; their names are read out of the program itself."""
    path = tree.resolve("bin/busybox")
    if path is None:
        raise LinnetError("the package busybox-static brought no /bin/busybox")
    for applet in applet_names(tree[path].data):
        if applet != "busybox" and f"usr/bin/{applet}" not in tree:
            tree.add(f"usr/bin/{applet}", cpio.symlink("busybox"))
    tree.add("usr/sbin/init", cpio.symlink("../bin/busybox"))


def applet_names(program):
    """BusyBox keeps its applets' names sorted, one after the other, each ended by a zero byte."""
    start = program.find(b"[\0[[\0")
    if start < 0:
        raise LinnetError("no list of applets inside this busybox")
    names = []
    for name in program[start:start + 16384].split(b"\0"):
        if not re.fullmatch(rb"[a-z0-9_.+\[-]+", name) or (names and name <= names[-1]):
            break
        names.append(name)
    return [name.decode() for name in names]


def add_accounts(tree):
    """/etc/passwd and /etc/group as the package base-passwd would install them, else the least of each."""
    least = {"passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
             "group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"}
    for name, text in least.items():
        if f"etc/{name}" not in tree:
            master = tree.get(f"usr/share/base-passwd/{name}.master")
            tree.add(f"etc/{name}", cpio.file(master.data if master else text))


def write(tree, archive):
    ensure(archive.parent)
    partial = archive.with_suffix(f".{os.getpid()}.partial")
    try:
        with open(partial, "wb") as out:
            tree.write(out)
        partial.rename(archive)
    finally:
        partial.unlink(missing_ok=True)


def from_path(path, arch):
    """Somebody's folder or tar. Made anew each time, because its contents may have changed."""
    if not os.path.lexists(path):
        if "/" not in path:
            raise LinnetError(f"no root named '{path}' (there are {', '.join(NAMES)}) and no folder or tar of that name")
        raise LinnetError(f"no such root: {path}")
    if os.path.isdir(path):
        tree = cpio.from_folder(path)
    elif os.path.isfile(path):
        tree = _from_tar(path)
    else:
        raise LinnetError(f"{path} is neither a folder nor a tar archive")
    if not tree:
        raise LinnetError(f"the root {path} is empty")
    for folder in ("dev", "proc", "sys", "tmp"):
        if tree.resolve(folder) is None and folder not in tree:
            tree.add(folder, cpio.directory(_FOLDERS[folder]))
    if "dev/console" not in tree and stat.S_ISDIR(tree["dev"].mode):
        tree.add("dev/console", cpio.char_device(5, 1))
    archive = ensure(BUILD / "run") / f"root-{os.getpid()}.cpio"
    write(tree, archive)
    return Root(archive, temporary=True, **_facts(tree))


def _from_tar(path):
    tree = cpio.Tree()

    def rename(name):
        clean = os.path.normpath("/" + name).lstrip("/")
        return "" if clean == "." else clean

    try:
        with _open_tar(path) as tar:
            for member in tar:
                cpio.add_tar_member(tree, member, tar, rename)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise LinnetError(_why_no_tar(path, error)) from None
    return tree


def _open_tar(path):
    with open(path, "rb") as probe:
        magic = probe.read(4)
    if magic == b"\x28\xb5\x2f\xfd":
        plain = subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        return tarfile.open(fileobj=io.BytesIO(plain))
    return tarfile.open(path)


def _why_no_tar(path, error):
    if isinstance(error, PermissionError):
        return f"cannot read {path}: {error.strerror}"
    return f"{path} is neither a folder, nor a tar archive, nor a disk image"
