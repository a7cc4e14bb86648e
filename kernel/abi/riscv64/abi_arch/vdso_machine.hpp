// What the vDSO's portable source needs of the machine: how its functions are called, the counter, a system
// call.
#pragma once

#include <lib/types.hpp>

#define VDSO_NAME(name) __vdso_##name
#define VDSO_HAS_GETCPU 1

namespace linnet::abi {

inline constexpr long vdso_nr_clock_gettime = 113, vdso_nr_clock_getres = 114, vdso_nr_getcpu = 168,
                      vdso_nr_riscv_hwprobe = 258, vdso_nr_getrandom = 278;

inline u64 vdso_read_counter() {
    u64 value;
    asm volatile("rdtime %0" : "=r"(value) : : "memory");
    return value;
}

inline long vdso_syscall3(long number, long first, long second, long third) {
    register long a7 asm("a7") = number;
    register long a0 asm("a0") = first;
    register long a1 asm("a1") = second;
    register long a2 asm("a2") = third;
    asm volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2) : "memory");
    return a0;
}

inline long vdso_syscall5(long number, long first, long second, long third, long fourth, long fifth) {
    register long a7 asm("a7") = number;
    register long a0 asm("a0") = first;
    register long a1 asm("a1") = second;
    register long a2 asm("a2") = third;
    register long a3 asm("a3") = fourth;
    register long a4 asm("a4") = fifth;
    asm volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4) : "memory");
    return a0;
}

inline long vdso_syscall2(long number, long first, long second) { return vdso_syscall3(number, first, second, 0); }

} // namespace linnet::abi
