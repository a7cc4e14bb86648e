// The deadline class: a thread's reservation, served as a constant-bandwidth server (L. Abeni and G. Buttazzo,
// "Integrating Multimedia Applications in Hard Real-Time Systems", RTSS 1998). scheduling.cpp counts what the CPUs have
// promised.
//
// Reservations with SCHED_FLAG_RECLAIM share what others were promised and don't use, by the parallel form of M-GRUB
// (L. Abeni, G. Lipari, A. Parri and Y. Sun, "Multicore CPU reclaiming: parallel or sequential?", SAC 2016): their run
// time is used up the more slowly, the less of the CPUs is in use by the deadline class.
#pragma once

#include <atomic>

#include <core/thread.hpp>
#include <core/timer.hpp>

namespace linnet::core {

/// Guarded by the lock of its thread's run queue, or by the scheduling lock while the thread is in none.
/// The timer ends a throttling, or what a sleeping thread still keeps from those that reclaim.
struct Reservation : Timer {
    Reservation(Thread& owner, Timer::Callback is_due) : Timer(is_due), thread(&owner) {}

    Thread* thread;
    u64 bandwidth = 0;      // runtime / period, in units of 1 / one_cpu
    u64 deadline_ns = 0;    // of the present period, monotonic
    i64 left_ns = 0;        // of the present period's run time; below 0 is owed to the next
    bool must_wait = false; // for the next period, whatever is left: it has yielded, or its deadline is over
    bool is_active = false; // its bandwidth is in use: counted in `active`

    static constexpr u64 one_cpu = u64{1} << 20;
    static u64 bandwidth_of(u64 runtime_ns, u64 period_ns);
    /// What may be reserved of one CPU when runtime_ns of each period are for the classes above the fair one, ~0 for
    /// all of it (sched_rt_runtime_us of -1).
    static u64 usable_bandwidth(u64 runtime_ns, u64 period_ns);
    /// The bandwidth of all reservations that are in use.
    static constinit std::atomic<u64> active;

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

    void set_active(bool is_in_use);
    /// Until when a thread that sleeps from now on has its bandwidth in use: had it been served at just that rate, what
    /// is left would be used up by its deadline.
    [[nodiscard]] u64 zero_lag_ns() const;
    /// How much of the run time a nanosecond on a CPU costs, in units of 1 / one_cpu, when `usable` of each of `cpus`
    /// CPUs may be reserved.
    [[nodiscard]] u64 pace(u64 cpus, u64 usable) const;
};

} // namespace linnet::core
