// The parts of this room's /proc.
#pragma once

#include <vfs/pseudo/node.hpp>

namespace linnet::fs {

Result<void> add_memory_files(vfs::pseudo::Directory& root);
/// /proc/sys/kernel/sched_*.
Result<void> add_scheduling_files(vfs::pseudo::Directory& root);
/// interrupts, softirqs.
Result<void> add_interrupt_files(vfs::pseudo::Directory& root);
Result<void> add_device_files(vfs::pseudo::Directory& root);
Result<void> add_allocator_files(vfs::pseudo::Directory& root);
Result<void> add_frame_files(vfs::pseudo::Directory& root);
Result<void> add_symbol_files(vfs::pseudo::Directory& root);
Result<void> add_sysrq(vfs::pseudo::Directory& root);

} // namespace linnet::fs
