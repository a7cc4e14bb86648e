// Threads that stay on one processor.
#pragma once

#include <sched.h>

#include "check.hpp"

namespace check {

/// The calling thread runs there from now on.
inline void stay_on(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    CHECK_OK(sched_setaffinity(0, sizeof set, &set));
}

/// Calls `body(cpu)` on each of the first `most` processors that the thread may run on.
template <typename F>
void on_each_cpu(F body, int most = CPU_SETSIZE) {
    cpu_set_t all;
    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    for (int cpu = 0; cpu < most; ++cpu) {
        if (!CPU_ISSET(cpu, &all)) continue;
        stay_on(cpu);
        body(cpu);
    }
    CHECK_OK(sched_setaffinity(0, sizeof all, &all));
}

} // namespace check
