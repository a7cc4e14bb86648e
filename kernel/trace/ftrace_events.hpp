// What programs write into the trace (trace_marker and trace_marker_raw).
#pragma once

#include <vfs/io_buffer.hpp>

#include "event_field.hpp"

namespace linnet::trace {

enum class MarkerKind : u8 { Text, Raw };
/// In bytes; texts are cut, raw data that is longer is refused.
inline constexpr usize longest_marker = 3 * 1024;

struct PrintRecord {
    RecordHead head;
    u64 ip;
};
struct RawRecord {
    RecordHead head;
    u32 id;
};

/// One write to either. Returns how much was taken. EBADF: nothing is recorded; EINVAL: markers are switched off, or
/// raw data without an id; EFAULT.
Result<usize> take_marker(vfs::IoBuffer& from, MarkerKind kind);

} // namespace linnet::trace

/// The same, with a negative error number.
extern "C" long tracing_mark_write(linnet::vfs::IoBuffer& from, linnet::trace::MarkerKind kind);
