// The machine's CPUs, from BootInfo to running idle loops.
#pragma once

#include <lib/types.hpp>

namespace linnet::init {

/// Numbers the CPUs of BootInfo, at most `max_cpus` of them.
void discover_cpus(u64 max_cpus);
/// Starts all but the boot CPU and waits for each; one that doesn't answer is left out with a message.
void start_other_cpus();

} // namespace linnet::init
