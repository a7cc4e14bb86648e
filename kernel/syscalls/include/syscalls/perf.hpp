// Performance events: perf_event_open(2).
#pragma once

#include <abi/linux/perf_event.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

Result<long> sys_perf_event_open(process::Thread&, VirtAddr attributes, process::Pid pid, int cpu, int group,
                                 u64 flags);

inline constexpr Entry perf_calls[] = {
    entry<sys_perf_event_open>("perf_event_open", nr::perf_event_open, Support::Partial,
                               "counts events of software, of a thread or of a CPU; no samples and no buffer "
                               "(EOPNOTSUPP, ENODEV), nothing of one thread on one CPU (EOPNOTSUPP), no alignment and "
                               "emulation faults, no hardware counters, no tracepoints, no breakpoints (ENOENT)"),
};

} // namespace linnet::syscalls
