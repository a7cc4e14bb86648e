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
    """Shows how far a step of many parts is: in place on a terminal, else a line now and then."""

    INTERVAL = 20.0

    def __init__(self, what):
        self.what = what
        self.terminal = sys.stderr.isatty()
        self.last = time.monotonic()
        self.shown = False

    def show(self, progress):
        if self.terminal:
            sys.stderr.write(f"\r\033[Klinnet: {self.what}: {progress}")
            sys.stderr.flush()
            self.shown = True
        elif time.monotonic() - self.last > self.INTERVAL:
            self.last = time.monotonic()
            say(f"{self.what}: {progress}")

    def done(self):
        if self.shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def _utf8():
    return (sys.stderr.encoding or "").lower().replace("-", "") == "utf8"


def assume_yes():
    """CI never asks."""
    return os.environ.get("CI", "").lower() in ("true", "1", "yes")
