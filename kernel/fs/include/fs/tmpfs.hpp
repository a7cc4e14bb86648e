// tmpfs: files that live in memory; also the first root ("rootfs") and the home of memfd files.
#pragma once

#include <vfs/file.hpp>

namespace linnet::fs {

/// Registers "tmpfs", "rootfs" and "ramfs" (both without limits to see).
Result<void> register_tmpfs();

/// An unnamed file in memory: memfd_create(2), SysV shared memory. `name` for display: "/memfd:NAME".
Result<RefPtr<vfs::File>> create_memory_file(std::string_view name, u32 flags, u64 size = 0);

} // namespace linnet::fs
