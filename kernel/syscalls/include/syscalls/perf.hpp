// Performance events: perf_event_open(2).
#pragma once

#include <abi/linux/perf_event.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

Result<long> sys_perf_event_open(process::Thread&, VirtAddr attributes, process::Pid pid, int cpu, int group,
                                 u64 flags);

inline constexpr Entry perf_calls[] = {
    entry<sys_perf_event_open>("perf_event_open", nr::perf_event_open, Support::Partial,
                               "events of software and tracepoints, of threads and CPUs, counted and sampled; no "
                               "alignment and emulation faults, no hardware counters, no breakpoints (ENOENT), no "
                               "registers, stacks and physical addresses in samples, no SIGTRAP "
                               "(EOPNOTSUPP), no AUX area, no throttling"),
};

} // namespace linnet::syscalls
