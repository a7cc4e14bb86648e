// Files of tracefs that are more than a text: trace, trace_pipe, trace_pipe_raw, trace_marker, free_buffer.
#pragma once

#include <vfs/pseudo/node.hpp>

#include "trace_text.hpp"

namespace linnet::trace {

enum class TraceFileKind : u8 { Trace, Pipe, RawPipe, Marker, RawMarker, FreeBuffer };

/// A node that opens as such a file.
class TraceFileNode final : public vfs::pseudo::Node {
public:
    TraceFileNode(vfs::pseudo::FileSystem& file_system, TraceFileKind kind, CpuRange cpus, u32 permissions)
        : Node(file_system.superblock(), file_system.next_inode_number(), abi::S_IFREG | permissions), kind_(kind),
          cpus_(cpus) {}
    Result<RefPtr<vfs::File>> open(const vfs::Path& path, u32 flags) override;
    Result<void> truncate(u64) override { return {}; }

private:
    const TraceFileKind kind_;
    const CpuRange cpus_;
};

} // namespace linnet::trace
