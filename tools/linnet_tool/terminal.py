"""This terminal: raw mode while a guest's terminal is joined to it, and back whatever happens."""

import atexit
import fcntl
import os
import struct
import termios
import tty

_saved = None


def make_raw():
    global _saved
    try:
        settings = termios.tcgetattr(0)
    except termios.error:
        return
    if _saved is None:
        _saved = settings
        atexit.register(restore)
    tty.setraw(0, termios.TCSADRAIN)


def restore():
    """Puts the terminal back as it was; harmless when nothing was changed."""
    if _saved is not None:
        try:
            termios.tcsetattr(0, termios.TCSADRAIN, _saved)
        except termios.error:
            pass


def size():
    """Rows and columns."""
    for fd in (1, 0, 2):
        try:
            rows, columns = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8))[:2]
        except OSError:
            continue
        if rows and columns:
            return rows, columns
    return 24, 80


def in_foreground():
    """Whether reading from the terminal is ours to do."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return True
