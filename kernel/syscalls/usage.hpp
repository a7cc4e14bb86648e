// Times and usage in the shapes of the ABI.
#pragma once

#include <abi/linux/resource.hpp>
#include <arch/page.hpp>
#include <core/time.hpp>
#include <process/process.hpp>

namespace linnet::syscalls {

constexpr abi::timespec to_timespec(u64 ns) {
    return {static_cast<i64>(ns / core::ns_per_second), static_cast<i64>(ns % core::ns_per_second)};
}
constexpr abi::timeval to_timeval(u64 ns) {
    return {static_cast<i64>(ns / core::ns_per_second), static_cast<i64>(ns % core::ns_per_second / 1000)};
}
/// Clock ticks of times(2).
inline i64 to_clock_ticks(u64 counter_ticks) {
    return static_cast<i64>(core::ticks_to_ns(counter_ticks) / (core::ns_per_second / abi::user_hz));
}

inline abi::rusage to_rusage(const process::ResourceUsage& usage) {
    abi::rusage out{};
    out.ru_utime = to_timeval(core::ticks_to_ns(usage.times.user));
    out.ru_stime = to_timeval(core::ticks_to_ns(usage.times.system));
    out.ru_maxrss = static_cast<i64>(usage.max_resident_pages * (arch::page_size / 1024));
    out.ru_minflt = static_cast<i64>(usage.minor_faults);
    out.ru_majflt = static_cast<i64>(usage.major_faults);
    out.ru_nvcsw = static_cast<i64>(usage.voluntary_switches);
    out.ru_nivcsw = static_cast<i64>(usage.involuntary_switches);
    return out;
}

} // namespace linnet::syscalls
