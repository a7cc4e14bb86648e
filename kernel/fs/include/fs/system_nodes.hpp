// What /proc and /sys show of memory, devices and the kernel itself. Processes are shown by the room that has
// them.
#pragma once

#include <lib/result.hpp>

namespace linnet::vfs::pseudo {
class Directory;
}

namespace linnet::fs {

/// Adds to vfs::pseudo::proc(). After pseudo::initialise().
Result<void> register_proc_files();
/// Adds to vfs::pseudo::sys().
Result<void> register_sys_files();

/// nr_hugepages and nr_overcommit_hugepages, which /proc/sys/vm and /sys show alike.
Result<void> add_huge_pool_sizes(vfs::pseudo::Directory& directory);

} // namespace linnet::fs
