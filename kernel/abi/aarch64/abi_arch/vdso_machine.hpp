// What the vDSO's portable source needs of the machine: how its functions are called, the counter, a system call.
#pragma once

#include <lib/types.hpp>

#define VDSO_NAME(name) __kernel_##name

namespace linnet::abi {

inline constexpr long vdso_nr_clock_gettime = 113, vdso_nr_clock_getres = 114, vdso_nr_getcpu = 168,
                      vdso_nr_getrandom = 278;

inline u64 vdso_read_counter() {
    u64 value;
    asm volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(value) : : "memory");
    return value;
}

inline long vdso_syscall3(long number, long first, long second, long third) {
    register long x8 asm("x8") = number;
    register long x0 asm("x0") = first;
    register long x1 asm("x1") = second;
    register long x2 asm("x2") = third;
    asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
}

inline long vdso_syscall2(long number, long first, long second) { return vdso_syscall3(number, first, second, 0); }

} // namespace linnet::abi
