// The parts of the memory devices that see one another.
#pragma once

#include <vfs/file.hpp>

namespace linnet::fs {

/// /dev/kmsg.
Result<RefPtr<vfs::File>> open_kernel_log(const vfs::Path& path, u32 flags);

} // namespace linnet::fs
