// The root file system and PID 1.
#pragma once

#include "command_line.hpp"

namespace linnet::init {

/// Starts the first program, of the initramfs or of the root on a disk, which it mounts; panics, as Linux does, when
/// there is none. May sleep.
void start_first_process(const CommandLine& command_line);

} // namespace linnet::init
