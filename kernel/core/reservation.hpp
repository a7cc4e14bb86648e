// The deadline class: a thread's reservation, served as a constant-bandwidth server (L. Abeni and G. Buttazzo,
// "Integrating Multimedia Applications in Hard Real-Time Systems", RTSS 1998). scheduling.cpp counts what the CPUs have
// promised.
#pragma once

#include <core/thread.hpp>
#include <core/timer.hpp>

namespace linnet::core {

/// Guarded by the lock of its thread's run queue, or by the scheduling lock while the thread is in none.
/// The timer ends a throttling.
struct Reservation : Timer {
    Reservation(Thread& owner, Timer::Callback end_throttling) : Timer(end_throttling), thread(&owner) {}

    Thread* thread;
    u64 bandwidth = 0;      // runtime / period, in units of 1 / one_cpu
    u64 deadline_ns = 0;    // of the present period, monotonic
    i64 left_ns = 0;        // of the present period's run time; below 0 is owed to the next
    bool must_wait = false; // for the next period, whatever is left: it has yielded, or its deadline is over

    static constexpr u64 one_cpu = u64{1} << 20;
    static u64 bandwidth_of(u64 runtime_ns, u64 period_ns);

    /// The thread is ready again after a sleep: it goes on with what it has left only if that gives it no more than
    /// its share until its deadline; else a new period begins, or it must wait for the next.
    void wake(u64 now_ns);
    /// A new period begins, no earlier than now.
    void begin(u64 now_ns);
    /// Begins periods until there is run time left.
    void replenish(u64 now_ns);
    /// When the next period begins.
    [[nodiscard]] u64 next_period_ns() const;
    [[nodiscard]] bool is_used_up() const { return left_ns <= 0 || must_wait; }
};

} // namespace linnet::core
