// LoongArch: the stable counter, one clock for all CPUs.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

inline u64 read_counter() {
    u64 ticks;
    asm volatile("rdtime.d %0, $zero" : "=r"(ticks) : : "memory");
    return ticks;
}

} // namespace linnet::arch
