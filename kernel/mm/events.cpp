// Counters of events, by CPU.
#include "events.hpp"
#include <atomic>
#include <core/thread.hpp>

namespace linnet::mm {

namespace {

struct alignas(64) Counters {
    std::atomic<u64> of[event_kinds]{};
};
constinit Counters counters[core::CpuMask::max_cpus];

} // namespace

/// Who moves to another CPU in the middle counts there: atomically, so that nothing is lost.
void count_event(Event event, u64 times) {
    counters[core::this_cpu().number].of[static_cast<usize>(event)].fetch_add(times, std::memory_order_relaxed);
}

u64 events(Event event) {
    u64 sum = 0;
    for (const Counters& cpu : counters) sum += cpu.of[static_cast<usize>(event)].load(std::memory_order_relaxed);
    return sum;
}

} // namespace linnet::mm
