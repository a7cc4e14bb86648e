"""The host's side of the protocol with the guest agent; user/agent/protocol.hpp tells what each frame means."""

import struct

VERSION = 2

RUN, INPUT, SIGNAL, WINDOW_SIZE, FILE, POWER_OFF, CLOSE_OUTPUT, MOUNT_SHARE = range(1, 9)
HELLO, STARTED, OUTPUT, ERROR, CREDIT, EXIT, INPUT_CLOSED, FILE_DONE, SHARE_DONE = range(65, 74)

EXITED, SIGNALLED, EXEC_FAILED, CWD_FAILED, FAILED = range(5)

ON_TERMINAL = 1
APPEND = 1
REMOVE = 2
READ_ONLY = 1
MAX_PAYLOAD = 16 << 20
DATA_CHUNK = 32 << 10


def frame(kind, payload=b""):
    return struct.pack("<IB", len(payload), kind) + payload


def number(value):
    return struct.pack("<I", value)


def string(value):
    return number(len(value)) + value


def strings(values):
    return number(len(values)) + b"".join(string(value) for value in values)


def run_request(argv, environment, cwd, on_terminal=False, size=(24, 80), timeout=0):
    """`argv` is bytes, `environment` bytes of NAME=value, `size` rows and columns, `timeout` seconds (0: none)."""
    head = struct.pack("<IIHH", ON_TERMINAL if on_terminal else 0, int(timeout * 1000), *size)
    return frame(RUN, head + string(cwd) + strings(argv) + strings(environment))


def file_requests(path, data, mode=0o644):
    """Frames that write a file in the guest, in pieces."""
    step = 256 << 10
    for offset in range(0, max(len(data), 1), step):
        flags = APPEND if offset else 0
        yield frame(FILE, struct.pack("<II", mode, flags) + string(path) + string(data[offset:offset + step]))


def remove_request(path):
    return frame(FILE, struct.pack("<II", 0, REMOVE) + string(path) + string(b""))


def share_request(tag, path, read_only):
    return frame(MOUNT_SHARE, number(READ_ONLY if read_only else 0) + string(tag) + string(path))


class Decoder:
    """Turns the bytes that came into (kind, payload) frames."""

    def __init__(self):
        self.buffer = bytearray()

    def feed(self, data):
        self.buffer += data
        position = 0
        while len(self.buffer) - position >= 5:
            length, kind = struct.unpack_from("<IB", self.buffer, position)
            if length > MAX_PAYLOAD:
                raise ValueError(f"a frame of {length} bytes")
            if len(self.buffer) - position < 5 + length:
                break
            yield kind, bytes(self.buffer[position + 5:position + 5 + length])
            position += 5 + length
        if position:
            del self.buffer[:position]


def exit_status(payload):
    """(kind, value, timed out) of an EXIT frame."""
    kind, value, timed_out = struct.unpack("<III", payload)
    return kind, value, bool(timed_out)
