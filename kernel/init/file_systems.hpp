// The file systems' part of the boot: the tree exists before drivers announce devices, its contents come after.
#pragma once

#include "command_line.hpp"
#include <lib/result.hpp>

namespace linnet::init {

/// Root file system, /proc, /sys and /dev as trees (not mounted: that is PID 1's business), terminals.
Result<void> start_file_systems(const CommandLine& command_line);
/// What Linux's built-in initramfs holds, then the boot loader's.
Result<void> fill_root();
/// Descriptors 0, 1 and 2 of the thread that starts PID 1.
void open_console();

} // namespace linnet::init
