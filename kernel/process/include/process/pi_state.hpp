// What a thread has to do with priority inheritance (futex_pi.cpp, whose one lock guards it).
#pragma once

#include <lib/intrusive_list.hpp>

namespace linnet::process {

class Thread;
template <typename Task>
struct PiWaiterOf; // pi_graph.hpp

/// A contended lock, as its owner knows it.
struct HeldPiLock {
    ListNode held_node;
};

template <typename Task>
struct PiStateOf {
    IntrusiveList<HeldPiLock, &HeldPiLock::held_node> held;
    PiWaiterOf<Task>* waiting = nullptr; // for a lock that another thread holds
    bool is_released = false;            // on its way out: it can't be made the owner of anything any more
};
using PiState = PiStateOf<Thread>;

} // namespace linnet::process
