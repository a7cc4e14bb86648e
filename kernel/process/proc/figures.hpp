// Figures that several files of /proc/PID print.
#pragma once

#include "task.hpp"
#include <mm/address_space.hpp>

namespace linnet::process::proc {

/// Counter ticks in hundredths of a second (USER_HZ).
inline u64 clock_ticks(u64 counter_ticks) { return core::ticks_to_ns(counter_ticks) / (core::ns_per_second / 100); }

/// R, S, D, T, t, Z as ps(1) shows them.
char state_letter(const Task& task);

struct SignalSets {
    u64 pending = 0, shared_pending = 0, blocked = 0, ignored = 0, caught = 0;
};
SignalSets signal_sets(const Task& task);

/// The kernel's priority as stat shows it: 20 + nice, or below 0 for real-time threads.
i64 priority_of(const Thread& thread);

/// Of the executable mappings, what is the program's own; the rest is its libraries'.
u64 program_text_pages(const mm::AddressSpace& space, const mm::AddressSpaceStatistics& memory);

} // namespace linnet::process::proc
