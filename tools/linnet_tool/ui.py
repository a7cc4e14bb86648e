"""What the launcher says to its user, and the one kind of error that it reports.

Everything here goes to standard error as lines that begin with `linnet: `, so that a guest command's output on
standard output stays byte for byte its own.
"""

import os
import sys
import time

VERBOSE = False


class LinnetError(Exception):
    """Something the user can understand and act on: one line, no traceback."""

    def __init__(self, message, status=None):
        super().__init__(message)
        self.status = status


def say(message):
    """Prints one message; newlines inside become further prefixed lines."""
    try:
        for line in str(message).splitlines() or [""]:
            sys.stderr.write(f"linnet: {line}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def verbose(message):
    if VERBOSE:
        say(message)


class Progress:
    """Announces a long step when it starts, and how long it took when it ends.

    On a terminal a step that is over is a single line; elsewhere too, so that CI logs stay short.
    """

    def __init__(self, what):
        self.what = what

    def __enter__(self):
        self.start = time.monotonic()
        say(f"{self.what} …" if _utf8() else f"{self.what} ...")
        return self

    def __exit__(self, kind, value, traceback):
        if kind is None:
            seconds = time.monotonic() - self.start
            if seconds >= 5:
                say(f"{self.what}: done in {seconds:.0f} s")
        return False


class Counter:
    """Shows how far a step of many parts is: in place on a terminal, else a line now and then. Silent until there is a
    first part."""

    INTERVAL = 20.0

    def __init__(self, what):
        self.what = what
        self.terminal = sys.stderr.isatty()
        self.start = self.last = None

    def show(self, progress):
        now = time.monotonic()
        if self.start is None:
            self.start = self.last = now
            if not self.terminal:
                say(f"{self.what} …" if _utf8() else f"{self.what} ...")
        if self.terminal:
            sys.stderr.write(f"\r\033[Klinnet: {self.what}: {progress}")
            sys.stderr.flush()
        elif now - self.last > self.INTERVAL:
            self.last = now
            say(f"{self.what}: {progress}")

    def done(self):
        if self.start is None:
            return
        if self.terminal:
            sys.stderr.write("\r\033[K")
        seconds = time.monotonic() - self.start
        if seconds >= 5:
            say(f"{self.what}: done in {seconds:.0f} s")
        sys.stderr.flush()


def _utf8():
    return (sys.stderr.encoding or "").lower().replace("-", "") == "utf8"


def assume_yes():
    """CI never asks."""
    return os.environ.get("CI", "").lower() in ("true", "1", "yes")
