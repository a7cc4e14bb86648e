// Who waits for CLOCK_REALTIME or CLOCK_TAI to show a time is told when they are set: by clock_settime(2),
// adjtimex(2) or a leap second.
//
// Lock order: the list's lock, then whatever a listener's function takes. So none of that is held where a listener
// is added or removed.
#pragma once

#include <core/spinlock.hpp>
#include <lib/intrusive_list.hpp>

namespace linnet::core {

struct WallClockListener {
    constexpr explicit WallClockListener(void (*function)(WallClockListener&)) : clock_was_set(function) {}
    ListNode node;
    /// Any context, interrupts off; must not sleep.
    void (*clock_was_set)(WallClockListener&);
};

void add_wall_clock_listener(WallClockListener& listener);
/// Waits for its function where that runs on another CPU.
void remove_wall_clock_listener(WallClockListener& listener);
void tell_wall_clock_listeners();

} // namespace linnet::core
