// RISC-V: the time CSR, one clock for all harts.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

inline u64 read_counter() {
    u64 ticks;
    asm volatile("rdtime %0" : "=r"(ticks) : : "memory");
    return ticks;
}

} // namespace linnet::arch
