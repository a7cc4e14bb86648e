// devtmpfs: the tmpfs whose nodes the kernel makes as devices come; and the memory devices (mem(4), random(4), kmsg).
#pragma once

#include <lib/result.hpp>

namespace linnet::fs {

/// Registers the file system and begins to make nodes. After vfs::initialise().
Result<void> register_devtmpfs();
/// /dev/null, zero, full, random, urandom, kmsg.
Result<void> register_memory_devices();

} // namespace linnet::fs
