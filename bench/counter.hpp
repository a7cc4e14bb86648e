// The processor's own counter, read without the kernel's help. Under QEMU's -icount it counts instructions; units()
// turns a difference into nanoseconds, which -icount with shift=0 makes the same number.
#pragma once

#include <cstdint>

namespace counter {

#if defined(__x86_64__)
inline uint64_t now() { return __builtin_ia32_rdtsc(); }
// With -icount the time stamp counter steps once an instruction.
inline double units(uint64_t ticks) { return double(ticks); }
#elif defined(__aarch64__)
inline uint64_t now() {
    uint64_t value;
    asm volatile("isb; mrs %0, cntvct_el0" : "=r"(value)::"memory");
    return value;
}
inline double units(uint64_t ticks) {
    uint64_t frequency;
    asm("mrs %0, cntfrq_el0" : "=r"(frequency));
    return double(ticks) * 1e9 / double(frequency);
}
#elif defined(__riscv)
inline uint64_t now() {
    uint64_t value;
    asm volatile("rdtime %0" : "=r"(value)::"memory");
    return value;
}
// QEMU's virt machine counts at 10 MHz.
inline double units(uint64_t ticks) { return double(ticks) * 100; }
#elif defined(__loongarch64)
inline uint64_t now() {
    uint64_t value;
    asm volatile("rdtime.d %0, $zero" : "=r"(value)::"memory");
    return value;
}
// QEMU's virt machine counts at 100 MHz.
inline double units(uint64_t ticks) { return double(ticks) * 10; }
#endif

} // namespace counter
