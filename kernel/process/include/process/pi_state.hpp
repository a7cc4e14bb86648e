// What a thread has to do with priority inheritance (futex_pi.cpp, whose one lock guards it).
#pragma once

#include <lib/intrusive_list.hpp>

namespace linnet::process {

struct PiWaiter;

/// A contended lock, as its owner knows it.
struct HeldPiLock {
    ListNode held_node;
};

struct PiState {
    IntrusiveList<HeldPiLock, &HeldPiLock::held_node> held;
    PiWaiter* waiting = nullptr; // for a lock that another thread holds
    bool is_released = false;    // on its way out: it can't be made the owner of anything any more
};

} // namespace linnet::process
