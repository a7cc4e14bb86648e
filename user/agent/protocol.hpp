// The words of the protocol between the guest agent and `./linnet` on the host. tools/linnet_tool/protocol.py is the
// other side of it; change both together.
//
// A frame is a little-endian u32 length of the payload, a u8 type and the payload. Strings inside a payload are a u32
// length and that many bytes, whatever they are. One command runs at a time; after its Exit frame the next may come.
//
// Nothing here may block the port for long: the host sends standard input only within the credit that the agent has
// granted, so signals and window sizes are never stuck behind input that the command does not read.
#pragma once

#include <cstddef>
#include <cstdint>

namespace protocol {

constexpr uint32_t version = 2;
constexpr size_t header_size = 5;
constexpr size_t max_payload = 16u << 20; // a request's arguments and environment may be long
constexpr size_t data_chunk = 32u << 10;  // of standard output and error in one frame
constexpr size_t input_window = 256u << 10;

// From the host.
enum class Request : uint8_t {
    run = 1,          // u32 flags, u32 timeout in ms (0: none), u16 rows, u16 columns, string cwd,
                      // u32 count and strings of argv, the same of the environment
    input = 2,        // bytes for standard input; none: its end
    signal = 3,       // u32 number, to the command's process group
    window_size = 4,  // u16 rows, u16 columns
    file = 5,         // u32 mode, u32 flags (1: append, 2: remove it), string path, string contents
    power_off = 6,    // ends the guest
    close_output = 7, // u32 1 or 2: nobody reads that stream any more
    mount_share = 8,  // u32 flags (1: read-only), string tag, string path: a folder of the host
};

constexpr uint32_t run_on_terminal = 1;
constexpr uint32_t file_append = 1;
constexpr uint32_t file_remove = 2;
constexpr uint32_t share_read_only = 1;

// From the agent.
enum class Reply : uint8_t {
    hello = 65,        // u32 version, once
    started = 66,      // the command's program is loaded
    output = 67,       // standard output, or all of a terminal's
    error = 68,        // standard error
    credit = 69,       // u32 bytes of standard input that may be sent in addition
    exit = 70,         // u32 ExitKind, u32 value, u32 1 when the timeout ended it; everything else has been sent
    input_closed = 71, // the command reads no more of its standard input
    file_done = 72,    // u32 errno or 0
    share_done = 73,   // u32 errno or 0
};

enum class ExitKind : uint32_t {
    exited = 0,      // value: status
    signalled = 1,   // value: signal
    exec_failed = 2, // value: errno
    cwd_failed = 3,  // value: errno
    failed = 4,      // value: errno; the agent could not prepare the command
};

} // namespace protocol
