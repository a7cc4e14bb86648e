// What the vDSO's portable source needs of the machine: how its functions are called, the counter, a system call.
#pragma once

#include <lib/types.hpp>

#define VDSO_NAME(name) __vdso_##name
#define VDSO_HAS_TIME 1
#define VDSO_HAS_GETCPU 1

namespace linnet::abi {

inline constexpr long vdso_nr_clock_gettime = 228, vdso_nr_clock_getres = 229, vdso_nr_getcpu = 309,
                      vdso_nr_getrandom = 318;

inline u64 vdso_read_counter() {
    u32 low, high;
    asm volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (u64{high} << 32) | low;
}

inline long vdso_syscall3(long number, long first, long second, long third) {
    long result;
    asm volatile("syscall" : "=a"(result) : "a"(number), "D"(first), "S"(second), "d"(third) : "rcx", "r11", "memory");
    return result;
}

inline long vdso_syscall2(long number, long first, long second) { return vdso_syscall3(number, first, second, 0); }

} // namespace linnet::abi
