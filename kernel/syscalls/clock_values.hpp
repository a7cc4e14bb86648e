// Nanoseconds out of the ABI's time structures.
#pragma once

#include <abi/linux/time.hpp>
#include <core/time.hpp>
#include <lib/result.hpp>

namespace linnet::syscalls {

/// As many seconds as a clock of signed 64-bit nanoseconds can count.
inline constexpr i64 most_clock_seconds = 9'223'372'036;

/// EINVAL for a negative or unnormalised time; one beyond the clock's range is the end of time.
constexpr Result<u64> to_ns(const abi::timespec& time) {
    if (time.tv_sec < 0 || time.tv_nsec < 0 || time.tv_nsec >= static_cast<i64>(core::ns_per_second))
        return error(Errno::EINVAL);
    if (time.tv_sec >= most_clock_seconds) return ~u64{0} >> 1;
    return static_cast<u64>(time.tv_sec) * core::ns_per_second + static_cast<u64>(time.tv_nsec);
}
constexpr Result<u64> to_ns(const abi::timeval& time) {
    if (time.tv_sec < 0 || time.tv_usec < 0 || time.tv_usec >= 1'000'000) return error(Errno::EINVAL);
    if (time.tv_sec >= most_clock_seconds) return ~u64{0} >> 1;
    return static_cast<u64>(time.tv_sec) * core::ns_per_second + static_cast<u64>(time.tv_usec) * 1000;
}

} // namespace linnet::syscalls
