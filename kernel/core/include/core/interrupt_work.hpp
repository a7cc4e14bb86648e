// InterruptWork: a function that this CPU runs as an interrupt as soon as it takes interrupts. What comes up in any
// context, under any lock, puts off so what it may not do there: raising takes no lock.
#pragma once

#include <atomic>
#include <core/thread.hpp>

namespace linnet::core {

struct InterruptWork {
    constexpr explicit InterruptWork(void (*run)(InterruptWork&)) : function(run) {}
    InterruptWork(const InterruptWork&) = delete;
    InterruptWork& operator=(const InterruptWork&) = delete;

    void (*const function)(InterruptWork&);
    // ---- interrupt_work.cpp ----
    InterruptWork* next = nullptr;
    std::atomic<bool> is_pending{false};
    std::atomic<bool> is_running{false};
};

/// The function runs once on this CPU, unless it is pending already. Any context but NMIs.
void raise_interrupt_work(InterruptWork& work);
/// Waits until it neither runs nor will, if nobody raises it any more. Interrupts on.
void finish_interrupt_work(InterruptWork& work);
/// Runs what has been raised here. In the interrupt.
void run_interrupt_work(Cpu& self);

} // namespace linnet::core
