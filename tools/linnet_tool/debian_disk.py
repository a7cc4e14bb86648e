"""Debians on disks: ext4 images whose packages dpkg itself has configured, in a guest of ours. `debian-disk` is small,
`workshop` one to work in: compilers, editors, version control, the interpreters.

The host does what takes no program of the guest's architecture: it unpacks the packages as `dpkg --unpack` would leave them,
with dpkg's database, and makes the file system. Then the guest boots with it and runs `dpkg --configure -a`. The image is
finished when every package is configured and the guest has left the file system clean.
"""

import json
import os
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from . import debian, packages
from .paths import BUILD, ensure
from .ui import LinnetError, Progress

# Raise it when the code below makes different images out of the same packages.
VERSION = 2

BASE = ("?essential", "apt", "bash", "e2fsprogs", "login", "mount", "passwd", "procps")  # apt takes patterns
PACKAGES = {
    "debian-disk": BASE,
    "workshop": (*BASE, "acl", "adduser", "attr", "cron", "file", "g++", "gcc", "git", "less", r"^libpython3\.[0-9]+-testsuite$", "lsof",
                 "make", "man-db", "nano", "perl", "psmisc", "python3", "rsync", "screen", "sqlite3",
                 "systemd-standalone-tmpfiles", "tmux", "vim", "xz-utils", "zstd"),
}
# Whose trees need a package to say that /usr is merged.
MERGED_BY_PACKAGE = ("bookworm",)

SIZE = "4G"  # of the file, of which only what is used takes room
CONFIGURE_LIMIT = 3600  # seconds
MEMORY = "1G"

# As dpkg calls a maintainer script (deb-preinst(5)), and then dpkg itself.
CONFIGURE = """
cd /
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true LC_ALL=C DPKG_ROOT= DPKG_ADMINDIR=/var/lib/dpkg
for script in /var/lib/dpkg/info/*.preinst; do
    package=$(basename "$script" .preinst)
    DPKG_MAINTSCRIPT_PACKAGE=${package%:*} DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1 DPKG_MAINTSCRIPT_NAME=preinst \\
        DPKG_MAINTSCRIPT_ARCH=$(dpkg --print-architecture) "$script" install || exit
done
dpkg --force-unsafe-io --configure -a || exit
test -z "$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\\n' | grep -v '^ii ' | tee /dev/stderr)" || exit
dpkg --audit
"""

FILES = {
    # The launcher makes a root the first disk. Nothing finds a disk by its label without /sys/block.
    "etc/fstab": "/dev/vda / ext4 errors=remount-ro 0 1\n",
    "etc/hostname": "linnet\n",
    "etc/hosts": "127.0.0.1 localhost linnet\n",
    # What dpkg wants to find before the first package is configured.
    "var/lib/dpkg/available": "",
    "var/lib/dpkg/info/format": "1\n",
}


@dataclass
class Package:
    """What dpkg's database keeps of a package."""

    deb: Path
    control: str = ""
    conffiles: list = field(default_factory=list)
    scripts: dict = field(default_factory=dict)  # name -> (mode, bytes) of all that lies in info/
    paths: list = field(default_factory=list)

    def value(self, name):
        for line in self.control.splitlines():
            if line.lower().startswith(name.lower() + ":"):
                return line.split(":", 1)[1].strip()
        return ""

    @property
    def info_name(self):
        """The base of its files in info/."""
        name = self.value("Package")
        return f"{name}:{self.value('Architecture')}" if self.value("Multi-Arch") == "same" else name

    def status(self):
        """Its paragraph in dpkg's status file: unpacked, every conffile yet to be installed."""
        first, *rest = self.control.strip("\n").splitlines()
        lines = [first, "Status: install ok unpacked", *rest]
        if self.conffiles:
            lines += ["Conffiles:", *(f" {path} newconffile" for path in self.conffiles)]
        return "\n".join(lines) + "\n"


def get(name, arch, include=None, refresh=False):
    """The image of that name for an architecture, made now if need be."""
    image = BUILD / "rootfs" / f"{name}-{arch.name}.img"
    stamp = image.with_suffix(".json")

    def known():
        try:
            return json.loads(stamp.read_text()) if image.exists() else {}
        except (OSError, ValueError):
            return {}

    extra = sorted(set(include if include is not None else known().get("include", [])))
    wanted = {"version": VERSION, "packages": list(PACKAGES[name]), "include": extra}
    if refresh or known() != wanted:
        with debian.locked(f"rootfs-{name}-{arch.name}", BUILD):
            if refresh or known() != wanted:
                _make(arch, [*PACKAGES[name], *extra], image)
                stamp.write_text(json.dumps(wanted))
    return image


def _make(arch, names, image):
    packages.require("/usr/sbin/mke2fs", *(["fakeroot"] if os.geteuid() != 0 else []))
    if arch.suite in MERGED_BY_PACKAGE:
        names = [*names, "usr-is-merged"]
    debs = debian.Archive(arch.suite, arch.debian).download_closure(names)
    partial = ensure(image.parent) / f"{image.name}.{os.getpid()}.partial"
    try:
        with tempfile.TemporaryDirectory(dir=ensure(BUILD / "rootfs"), prefix="unpacked-") as home:
            with Progress(f"unpacking {len(debs)} packages of Debian {arch.suite} ({arch.debian})"):
                _unpack(arch, [_read(deb) for deb in debs], Path(home), partial)
        _configure(arch, partial, image.with_suffix(".log"))
        partial.rename(image)
    finally:
        partial.unlink(missing_ok=True)


def _read(deb):
    package = Package(deb)
    with subprocess.Popen(["dpkg-deb", "--ctrl-tarfile", str(deb)], stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
            for member in tar:
                name = os.path.normpath(member.name)
                if not member.isfile():
                    continue
                data = tar.extractfile(member).read()
                if name == "control":
                    package.control = data.decode()
                else:
                    package.scripts[name] = (member.mode & 0o777, data)
        process.stdout.read()
    conffiles = package.scripts.get("conffiles", (0, b""))[1].decode().splitlines()
    # "remove-on-upgrade /path" names what this version has no more.
    package.conffiles = [line.strip() for line in conffiles if line.startswith("/")]
    listing = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE, check=True)
    names = subprocess.run(["tar", "-t"], input=listing.stdout, stdout=subprocess.PIPE, check=True).stdout.decode()
    package.paths = [os.path.normpath("/" + name.lstrip("./")) if name.strip("./") else "/." for name in names.splitlines()]
    return package


def _unpack(arch, found, home, image):
    """The tree, and the file system made of it, as root or as what looks like root to tar and mke2fs."""
    tree = home / "tree"
    for link in arch.dynamic_links:
        ensure(tree / "usr" / link)
        os.symlink(f"usr/{link}", tree / link)
    script = ["set -e"]
    for package in found:
        script.append(f"dpkg-deb --fsys-tarfile '{package.deb}' | tar -x -p --numeric-owner --keep-directory-symlink -C '{tree}'")
        script += [f"mv '{tree}{path}' '{tree}{path}.dpkg-new'" for path in package.conffiles]
    script.append(f"cp -r --no-preserve=ownership '{home}/add/.' '{tree}'")
    # Maintainer scripts want an awk before mawk is configured, which is when its alternative is made.
    script.append(f"test -e '{tree}/usr/bin/awk' || ln -s mawk '{tree}/usr/bin/awk'")
    script.append(f"chmod 0755 '{tree}' '{tree}/usr'")
    script.append(f"PATH=$PATH:/usr/sbin mke2fs -q -F -t ext4 -L linnet-root -E root_owner=0:0 -d '{tree}' '{image}' {SIZE}")
    _write_database(found, home / "add")
    (home / "unpack").write_text("\n".join(script) + "\n")
    command = [] if os.geteuid() == 0 else ["fakeroot"]
    result = subprocess.run([*command, "sh", home / "unpack"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        raise LinnetError(f"the packages could not be unpacked: {packages.last_line(result.stdout)}")


def _write_database(found, add):
    """dpkg's database and what else no package brings, as a tree to be laid over the packages' own."""
    for path, text in FILES.items():
        ensure((add / path).parent)
        (add / path).write_text(text)
    database = add / "var/lib/dpkg"
    (database / "status").write_text("\n".join(package.status() for package in found))
    for package in found:
        base = database / "info" / package.info_name
        Path(f"{base}.list").write_text("".join(f"{path}\n" for path in package.paths))
        for name, (mode, data) in package.scripts.items():
            file = Path(f"{base}.{name}")
            file.write_bytes(data)
            file.chmod(mode)
    _write_triggers(found, ensure(database / "triggers"))


def _write_triggers(found, triggers):
    """Who is interested in what (deb-triggers(5)): names have a file each, paths share one."""
    interests = {}
    for package in found:
        for line in package.scripts.get("triggers", (0, b""))[1].decode().splitlines():
            words = line.split("#")[0].split()
            if len(words) != 2 or not words[0].startswith("interest"):
                continue
            awaits = "" if words[0] in ("interest", "interest-await") else "/noawait"
            interests.setdefault(words[1], []).append(package.info_name + awaits)
    files = []
    for trigger, names in interests.items():
        if trigger.startswith("/"):
            files += [f"{trigger} {name}\n" for name in names]
        else:
            (triggers / trigger).write_text("".join(f"{name}\n" for name in names))
    (triggers / "File").write_text("".join(files))


def _configure(arch, image, log):
    from . import batch, boot, rootfs
    root = rootfs.DiskRoot(str(image), 0)
    setup = boot.Setup(arch, root=root, memory=MEMORY, persist=True)
    with Progress(f"configuring Debian {arch.suite} in a guest ({arch.name})"):
        try:
            with batch.Batch(setup) as guest:
                outcome = guest.run(["/bin/sh", "-c", CONFIGURE], CONFIGURE_LIMIT)
        except batch.GuestLost as lost:
            raise LinnetError(f"the guest that configured the packages was lost: {lost}") from None
    log.write_bytes(outcome.both)
    if outcome.status != 0:
        raise LinnetError(f"the packages could not be configured (status {outcome.status}); {log} has the whole of\n"
                          + b"\n".join(outcome.both.splitlines()[-15:]).decode(errors="replace"))
    if not guest.powered_off:
        raise LinnetError("the guest that configured the packages did not power off")
    checked = subprocess.run(["/usr/sbin/e2fsck", "-f", "-n", str(image)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True)
    if checked.returncode != 0:
        raise LinnetError(f"the guest left its file system damaged:\n{checked.stdout}")
