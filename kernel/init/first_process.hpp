// The root file system and PID 1.
#pragma once

#include "command_line.hpp"

namespace linnet::init {

/// Unpacks the initramfs and starts the first program of it; panics, as Linux does, when there is none. May sleep.
void start_first_process(const CommandLine& command_line);

} // namespace linnet::init
