// Counters of events, by CPU.
#include "events.hpp"

namespace linnet::mm {

constinit EventCounters event_counters[core::CpuMask::max_cpus];

u64 events(Event event) {
    u64 sum = 0;
    for (const EventCounters& cpu : event_counters)
        sum += cpu.of[static_cast<usize>(event)].load(std::memory_order_relaxed);
    return sum;
}

} // namespace linnet::mm
