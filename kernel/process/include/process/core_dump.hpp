// Core dumps (core(5)): what the rest of the kernel sees of them.
#pragma once

#include <lib/result.hpp>

namespace linnet::process {

/// /proc/sys/kernel/core_pattern, core_uses_pid and core_pipe_limit, and /proc/sys/fs/suid_dumpable. At boot.
Result<void> register_core_dump_knobs();

} // namespace linnet::process
