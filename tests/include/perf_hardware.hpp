// Events that the processor counts, and work to count.
#pragma once

#include <time.h>

#include "perf_ring.hpp"

namespace perf {

/// QEMU's x86 and LoongArch processors have no counters; RISC-V's neither interrupt nor tell modes apart.
#if defined(__aarch64__)
constexpr bool has_counters = true, has_interrupts = true;
#elif defined(__riscv)
constexpr bool has_counters = true, has_interrupts = false;
#else
constexpr bool has_counters = false, has_interrupts = false;
#endif

/// More than the processor has counters of cycles, and far more.
constexpr int too_many = has_interrupts ? 9 : 3, many = 12;

inline perf_event_attr hardware(uint64_t config, uint32_t type = PERF_TYPE_HARDWARE) {
    perf_event_attr attributes = {};
    attributes.type = type;
    attributes.size = sizeof attributes;
    attributes.config = config;
    attributes.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
    return attributes;
}

struct Reading {
    uint64_t value, enabled, running;
};

inline Reading reading(int fd) {
    Reading now = {};
    CHECK_EQ(read(fd, &now, sizeof now), ssize_t(sizeof now));
    CHECK_LE(now.running, now.enabled);
    return now;
}

inline int cycles(pid_t pid = 0, int cpu = -1) {
    perf_event_attr attributes = hardware(PERF_COUNT_HW_CPU_CYCLES);
    return opened(open_event(&attributes, pid, cpu));
}

/// Uses so much of the CPU's time.
inline void work(long milliseconds = 5) {
    timespec start, now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    do {
        for (volatile int i = 0; i < 10000; i = i + 1) {
        }
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < milliseconds);
}

/// Fewer than any processor does in the milliseconds of work().
constexpr uint64_t least_cycles = 100'000;

} // namespace perf
