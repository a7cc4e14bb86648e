"""Where things lie: the repository's root and everything generated under build/."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("LINNET_BUILD_DIR", ROOT / "build")).absolute()


def _shared():
    """What does not depend on the sources (downloads, sysroots, Debian's kernels, the private QEMU).

    The worktrees of one clone share it: it lies in the build folder of the clone's main worktree.
    """
    if "LINNET_BUILD_DIR" in os.environ:
        return BUILD
    try:
        gitdir = (ROOT / ".git").read_text().strip()
    except OSError:
        return BUILD
    # "gitdir: <main>/.git/worktrees/<name>"
    parts = gitdir.removeprefix("gitdir: ").rsplit("/.git/worktrees/", 1)
    return Path(parts[0]) / "build" if len(parts) == 2 else BUILD


SHARED = _shared()


def ensure(path):
    """Makes the folder `path` (and its parents) and returns it."""
    path.mkdir(parents=True, exist_ok=True)
    return path
