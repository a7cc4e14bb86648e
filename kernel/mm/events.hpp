// Counting what happens often. Each CPU counts its own, so that it costs no traffic between them; /proc/vmstat shows
// the sums.
#pragma once

#include <atomic>
#include <core/thread.hpp>

namespace linnet::mm {

enum class Event : u8 {
    Fault,
    MajorFault,
    CopyOnWrite,
    AddressSpaceSwitch, // of a CPU to another one, or to the same after it missed a flush
    // Linux's names for these are nr_tlb_*.
    LocalFlushOfAll,
    LocalFlushOfPage,
    RemoteFlush,
    RemoteFlushReceived,
};
constexpr usize event_kinds = static_cast<usize>(Event::RemoteFlushReceived) + 1;

struct alignas(64) EventCounters {
    std::atomic<u64> of[event_kinds]{};
};
extern constinit EventCounters event_counters[core::CpuMask::max_cpus];

/// Who moves to another CPU in the middle counts there: atomically, so that nothing is lost.
inline void count_event(Event event, u64 times = 1) {
    auto& counter = event_counters[core::this_cpu().number].of[static_cast<usize>(event)];
    counter.fetch_add(times, std::memory_order_relaxed);
}
/// On all CPUs since the start.
[[nodiscard]] u64 events(Event event);

} // namespace linnet::mm
