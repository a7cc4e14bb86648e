// Timers on CPU-time clocks, kept by the process whose time they measure.
//
// Whether one has expired is seen by a thread of that process on its way to user code, where its times have just been
// charged. A kernel timer sends running threads there at the moment at which an expiry can be reached at the earliest,
// if all threads ran on all CPUs. Timers are sorted by clock and expiry, so a look costs as much as there are clocks
// with timers, however many timers each has. When none runs there is no such timer: the next thread that is switched in
// looks.
//
// Lock order: ProcessTimers::lock, cpu_timers_lock (one for all, since one process may measure another's time),
// Process::signal_lock.
#pragma once

#include <compare>
#include <core/timer.hpp>
#include <lib/intrusive_tree.hpp>
#include <process/cpu_clock.hpp>

namespace linnet::process {

class CpuTimers;

/// Where a timer stands among those of a process: by clock, and by when it is due on that.
struct CpuTimerPlace {
    const Thread* thread = nullptr; // whose time it is, null: the process's
    bool is_virtual = false;
    u64 due_ns = 0;
    auto operator<=>(const CpuTimerPlace&) const = default;
};

struct CpuTimer {
    /// Called with the lock held when the timer has expired, as many times as it says.
    using Function = void (*)(CpuTimer&, u64 expirations);
    explicit CpuTimer(Function function) : expire(function) {}
    Function expire;
    TreeNode node;
    CpuTimers* queue = nullptr; // of the measured process, while it is set
    CpuTimerPlace place;        // in that
    u64 expiry_ns = 0;          // of the clock; 0: off
    u64 interval_ns = 0;
    NullableRefPtr<Process> process; // what is measured
    NullableRefPtr<Thread> thread;
    CpuClock::Which which = CpuClock::Which::Scheduler;

    void measure(const CpuClock& clock);
    [[nodiscard]] u64 now_ns() const;
};

struct CpuTimerValue {
    u64 remaining_ns = 0; // 0: off
    u64 interval_ns = 0;
};

class CpuTimers {
public:
    explicit CpuTimers(Process& process) : process_(process), check_(*this) {}

    /// The limit on CPU time has changed.
    void limit_changed();
    /// A thread of the process is on its way to user code.
    void look();
    /// The process is gone.
    void stop();

    /// Sets (or with 0 stops) the timer, which must measure this process.
    void set(CpuTimer& timer, u64 expiry_ns, u64 interval_ns);

private:
    friend void cancel_cpu_timer(CpuTimer& timer);
    struct PlaceOf {
        using type = CpuTimerPlace;
        const CpuTimerPlace& operator()(const CpuTimer& timer) const { return timer.place; }
    };
    using Queue = IntrusiveMultiTree<CpuTimer, &CpuTimer::node, PlaceOf>;

    struct Check : core::Timer {
        explicit Check(CpuTimers& timers)
            : Timer([](core::Timer& fired) { static_cast<Check&>(fired).owner.send_threads_to_look(); }),
              owner(timers) {}
        CpuTimers& owner;
    };
    void send_threads_to_look();
    void look_locked();
    void insert_locked(CpuTimer& timer, u64 due_ns);
    void remove_locked(CpuTimer& timer);
    void expire_locked(CpuTimer& timer, u64 now_ns);
    /// Calls `visit` with the timer of each clock that is due first.
    template <typename Visit>
    void for_each_clock_locked(Visit visit);
    u64 now_of(const CpuTimer& timer, const core::CpuTimes& of_process) const;
    void expire_limit_locked(u64 now_ns);
    void arm_locked();

    Process& process_;
    Queue timers_;
    Check check_;
    bool stopped_ = false;
};

/// How a timer stands.
CpuTimerValue cpu_timer_value(CpuTimer& timer);
/// Stops it; its function does not run afterwards.
void cancel_cpu_timer(CpuTimer& timer);

} // namespace linnet::process
