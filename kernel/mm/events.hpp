// Counting what happens often. Each CPU counts its own, so that it costs no traffic between them; /proc/vmstat shows
// the sums.
#pragma once

#include <lib/types.hpp>

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

void count_event(Event event, u64 times = 1);
/// On all CPUs since the start.
[[nodiscard]] u64 events(Event event);

} // namespace linnet::mm
