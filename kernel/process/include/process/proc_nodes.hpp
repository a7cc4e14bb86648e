// What /proc shows of processes and of the system as this room knows it.
#pragma once

#include <lib/result.hpp>
#include <lib/types.hpp>

namespace linnet::process {

/// Adds the nodes to vfs::pseudo::proc(), and starts to sample the load.
Result<void> register_proc_nodes();

/// Runnable threads averaged over 1, 5 and 15 minutes, scaled by 65536 (sysinfo(2), /proc/loadavg).
struct LoadAverages {
    u64 values[3];
};
LoadAverages load_averages();

} // namespace linnet::process
