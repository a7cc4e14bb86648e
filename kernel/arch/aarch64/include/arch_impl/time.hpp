// The virtual counter: the same on all CPUs, readable from user code.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

inline u64 read_counter() {
    u64 value;
    // Without the barrier the read may be done early, ahead of a lock or a load.
    asm volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(value) : : "memory");
    return value;
}

} // namespace linnet::arch
