// struct sched_attr of sched_setattr(2), which the C libraries of the tests don't declare.
#pragma once

#include <cstdint>

namespace check {

struct SchedulingAttributes {
    uint32_t size = 48; // as in the call's first version; the clamps lie behind it
    uint32_t policy = 0;
    uint64_t flags = 0;
    int32_t nice = 0;
    uint32_t priority = 0;
    uint64_t runtime = 0, deadline = 0, period = 0;
    uint32_t clamps[2] = {};
};

} // namespace check
