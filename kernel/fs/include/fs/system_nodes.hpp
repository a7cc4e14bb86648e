// What /proc and /sys show of memory, devices and the kernel itself. Processes are shown by the room that has
// them.
#pragma once

#include <lib/result.hpp>

namespace linnet::fs {

/// Adds to vfs::pseudo::proc(). After pseudo::initialise().
Result<void> register_proc_files();
/// Adds to vfs::pseudo::sys().
Result<void> register_sys_files();

} // namespace linnet::fs
