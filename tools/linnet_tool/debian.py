"""Packages of other suites and architectures, fetched by apt with a private configuration and unpacked by us.

A tree made here is "extracted": files of packages, no maintainer script has run. It needs neither root nor
emulation. Nothing of this touches the machine's own apt state; the mirror is read from the machine's configuration.
"""

import fcntl
import os
import shutil
import subprocess
import tarfile
import time
import urllib.parse
from contextlib import contextmanager

from . import arch as arches
from . import packages
from .paths import SHARED, ensure
from .ui import LinnetError, Progress, say

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# A mirror renews the folders of a release one after the other: until the next visit a list may be another than its
# release says, which apt refuses. What the same release has under its other name may be whole then.
ALIASES = {"bookworm": "oldstable", "trixie": "stable", "forky": "testing"}
PAUSES = (5, 20, 60)  # seconds between attempts


@contextmanager
def locked(name, where=SHARED):
    """One process at a time prepares the thing `name` below `where`; the others wait and then find it done."""
    lock = open(ensure(where / "locks") / name.replace("/", "_"), "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        lock.close()


def made_once(name, home, version, make):
    """The folder `home` below the shared one. `make()` fills it unless this `version` of the code has done so already."""
    stamp = home / "stamp"

    def is_done():
        return stamp.exists() and stamp.read_text() == str(version)

    if not is_done():
        with locked(name):
            if not is_done():
                make()
                stamp.write_text(str(version))
    return home


def mirror():
    """The Debian mirror that this machine uses, or $LINNET_DEBIAN_MIRROR."""
    if os.environ.get("LINNET_DEBIAN_MIRROR"):
        return os.environ["LINNET_DEBIAN_MIRROR"]
    if not shutil.which("apt-get"):
        raise LinnetError("no apt here to fetch Debian packages with (needed: apt, dpkg, debian-archive-keyring)")
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(LABEL)",
         "Created-By: Packages"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    best = None
    for line in listing.splitlines():
        uri, release, component, label = (line.split("|") + [""] * 4)[:4]
        if component != "main" or "-" in release or "/" in release:
            continue
        if label == "Debian":
            return uri
        if best is None and uri.rstrip("/").endswith("debian"):
            best = uri
    if best is None:
        raise LinnetError("apt's configuration names no Debian mirror; set LINNET_DEBIAN_MIRROR to one")
    return best


class Archive:
    """apt's view of one suite for one architecture."""

    KIND = "deb"  # of what sources.list(5) names

    def __init__(self, suite, architecture):
        self.suite = suite
        self.architecture = architecture
        self.base = SHARED / "apt" / self._home()

    def _home(self):
        return f"{self.suite}-{self.architecture}"

    def _options(self):
        archives = SHARED / "apt" / "archives"
        settings = {
            "Dir::Etc::SourceList": self.base / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State": self.base / "state",
            "Dir::State::status": self.base / "status",
            "Dir::Cache": self.base / "cache",
            "Dir::Cache::archives": archives,
            "Dir::Log": self.base / "log",
            "APT::Architecture": self.architecture,
            "APT::Architectures::": self.architecture,
            "APT::Install-Recommends": "false",
            "APT::Get::AllowUnauthenticated": "false",
            "APT::Sandbox::User": "root",
            "Acquire::Check-Valid-Until": "false",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false",
        }
        words = []
        for key, value in settings.items():
            words += ["-o", f"{key}={value}"]
        return words

    def _run(self, program, *arguments, folder=None):
        return subprocess.run([program, *self._options(), *arguments], cwd=folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                              env=dict(os.environ, LC_ALL="C"))

    def _download(self, run, what):
        """Calls `run`, which starts apt and returns how that ended, until it succeeds or PAUSES are used up."""
        for pause in (*PAUSES, None):
            result = run()
            if result.returncode == 0:
                return
            if pause is not None:
                say(f"{what} failed, trying again in {pause} s: {packages.last_line(result.stderr)}")
                time.sleep(pause)
        complaints = [line for line in result.stderr.splitlines() if line.startswith(("E:", "W:"))]
        raise LinnetError(f"{what} failed: {'; '.join(complaints) or packages.last_line(result.stderr)}")

    def prepare(self):
        """Fetches the package lists once."""
        packages.require(*packages.DEBIAN_TREES)
        done = self.base / "updated"
        if done.exists():
            return
        ensure(self.base / "cache")
        ensure(self.base / "log")
        ensure(SHARED / "apt" / "archives" / "partial")
        (self.base / "status").write_text("")
        with Progress(f"reading the package lists of Debian {self.suite} ({self.architecture})"):
            self._download(self._update, f"apt-get update for {self.suite}/{self.architecture}")
        done.write_text("")

    def _update(self):
        """apt-get update, by the first of the suite's names that answers with lists that match their release."""
        for name in filter(None, (self.suite, ALIASES.get(self.suite))):
            lists = self.base / "state" / "lists"
            shutil.rmtree(lists, ignore_errors=True)
            ensure(lists / "partial")
            (self.base / "sources.list").write_text(
                f"{self.KIND} [signed-by={KEYRING} arch={self.architecture}] {mirror()} {name} main\n")
            # Without --error-on=any apt succeeds with old lists where it got no new ones.
            result = self._run("apt-get", "update", "-q", "--error-on=any")
            if name == self.suite:
                first = result
            elif not any(f"\nCodename: {self.suite}\n" in release.read_text() for release in lists.glob("*_InRelease")):
                break  # the alias is another suite's by now
            if result.returncode == 0:
                return result
        return first

    def depends(self, name):
        """The packages that `name` directly depends on."""
        self.prepare()
        output = self._run("apt-cache", "depends", "--no-recommends", "--no-suggests", name).stdout
        return [line.split("Depends:")[1].strip() for line in output.splitlines() if " Depends:" in line]

    def search(self, pattern):
        self.prepare()
        return self._run("apt-cache", "search", "--names-only", pattern).stdout.split("\n")

    def download(self, names):
        """Downloads exactly the packages named; returns their .deb files."""
        return self._fetch("download", names)

    def download_closure(self, names):
        """Downloads packages with everything they depend on; returns the .deb files."""
        return self._fetch("install", names)

    def _fetch(self, how, names):
        with locked("apt"):
            self.prepare()
            words = {"install": ["install", "-y", "--download-only"], "download": ["download"],
                     "source": ["source", "--download-only"]}[how] + [*names]
            # Asked about an empty cache, because apt leaves out of the answer what it has already.
            nothing = ensure(self.base / "nothing")
            ensure(nothing / "partial")
            listing = self._run("apt-get", "-qq", "--print-uris", "-o", f"Dir::Cache::archives={nothing}", *words)
            if listing.returncode != 0:
                raise LinnetError(f"apt does not find {' '.join(names)} in {self.suite}/{self.architecture}: "
                                  f"{packages.last_line(listing.stderr)}")
            wanted = {}
            for line in listing.stdout.splitlines():
                if line.startswith("'"):
                    fields = line.split()
                    wanted[fields[1]] = int(fields[2])
            archives = SHARED / "apt" / "archives"
            if any(self._have(archives, name) != size for name, size in wanted.items()):
                total = sum(wanted.values()) / 1e6
                with Progress(f"downloading {len(wanted)} packages ({total:.0f} MB) of Debian {self.suite} "
                              f"({self.architecture})"):
                    # What isn't to be installed is left in the folder where apt runs.
                    folder = None if how == "install" else archives
                    self._download(lambda: self._run("apt-get", "-q", *words, folder=folder), "downloading packages")
            return [self._file(archives, name) for name in sorted(wanted)]

    # With `download` apt decodes %3a in file names' versions or keeps it, depending on its version.
    @staticmethod
    def _file(archives, name):
        for candidate in (name, urllib.parse.unquote(name)):
            if (archives / candidate).exists():
                return archives / candidate
        raise LinnetError(f"apt did not leave {name} behind")

    @classmethod
    def _have(cls, archives, name):
        try:
            return cls._file(archives, name).stat().st_size
        except LinnetError:
            return None


class SourceArchive(Archive):
    """apt's view of the sources of one suite."""

    KIND = "deb-src"

    def __init__(self, suite):
        super().__init__(suite, arches.HOST[arches.host_arch()]["debian"])

    def _home(self):
        return f"{self.suite}-source"

    def download_source(self, name):
        """The tar of a package's sources as their authors published them."""
        for file in self._fetch("source", [name]):
            if ".orig.tar." in file.name and not file.name.endswith(".asc"):
                return file
        raise LinnetError(f"the sources of {name} in Debian {self.suite} have no tar of their authors")


def members(deb):
    """Yields (TarInfo, open tar) for everything in a package, in order."""
    process = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE)
    try:
        with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
            for member in tar:
                yield member, tar
        process.stdout.read()
    finally:
        process.stdout.close()
        process.wait()


def merged_path(name, links):
    """Normalises a member's name; lib/x becomes usr/lib/x where the tree has the merged-/usr links."""
    path = os.path.normpath(name).lstrip("/")
    if path == ".":
        return ""
    head, _, tail = path.partition("/")
    return f"usr/{path}" if tail and head in links else path


def unpack(debs, folder, links, wanted=None):
    """Unpacks packages into a folder (contents and modes, this user's ownership); `wanted(path)` may choose."""
    for link in links:
        ensure(folder / "usr" / link)
        if not os.path.lexists(folder / link):
            os.symlink(f"usr/{link}", folder / link)
    for deb in debs:
        for member, tar in members(deb):
            path = merged_path(member.name, links)
            if not path or path in links or (wanted and not wanted(path)):
                continue
            _unpack_member(member, tar, folder, folder / path, links)


def _unpack_member(member, tar, folder, target, links):
    if member.isdir():
        if not target.is_symlink():
            target.mkdir(parents=True, exist_ok=True)
        return
    ensure(target.parent)
    if os.path.lexists(target) and (target.is_symlink() or not target.is_dir()):
        target.unlink()
    if member.issym():
        os.symlink(member.linkname, target)
    elif member.islnk():
        source = folder / merged_path(member.linkname, links)
        os.link(source, target, follow_symlinks=False)
    elif member.isfile():
        with tar.extractfile(member) as source, open(target, "wb") as out:
            shutil.copyfileobj(source, out)
        os.chmod(target, (member.mode & 0o777) | 0o600)
