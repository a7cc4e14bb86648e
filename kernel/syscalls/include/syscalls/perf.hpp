// Performance events: perf_event_open(2).
#pragma once

#include <abi/linux/perf_event.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

Result<long> sys_perf_event_open(process::Thread&, VirtAddr attributes, process::Pid pid, int cpu, int group,
                                 u64 flags);

inline constexpr Entry perf_calls[] = {
    entry<sys_perf_event_open>("perf_event_open", nr::perf_event_open, Support::Partial,
                               "events of software, of tracepoints and, on AArch64 and RISC-V, of the processor's "
                               "counters, of threads and CPUs, counted and sampled; no alignment and emulation "
                               "faults, no breakpoints (ENOENT), no kernel's registers and physical addresses in "
                               "samples, no SIGTRAP (EOPNOTSUPP), no AUX area, no throttling of software's events"),
};

} // namespace linnet::syscalls
