// x86_64: the counter is the TSC.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

/// The fence keeps the reading behind all earlier loads (Intel SDM vol. 2, RDTSC).
inline u64 read_counter() {
    u64 low, high; // rdtsc clears their upper halves
    asm volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high)::"memory");
    return high << 32 | low;
}

} // namespace linnet::arch
