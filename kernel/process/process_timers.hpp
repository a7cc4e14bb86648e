// Timers of a process: the three interval timers of setitimer(2), alarm(2), the timers of timer_create(2),
// and the limit on CPU time. Made on first use.
//
// Lock: ProcessTimers::lock, taken in timer callbacks; outside of Process::signal_lock, which sending and
// summing CPU time take inside it.
#pragma once

#include <core/timer.hpp>
#include <process/timers.hpp>

namespace linnet::process {

class ProcessTimers;

/// A timer of timer_create(2); guarded by ProcessTimers::lock.
struct PosixTimer : core::Timer {
    PosixTimer(ProcessTimers& timers, int timer_id, int timer_clock);

    ProcessTimers& owner;
    const int id;
    const int clock;
    int notify = 0; // SIGEV_*
    int signal = 0;
    u64 value = 0;                    // sigev_value
    NullableRefPtr<PidRecord> target; // SIGEV_THREAD_ID
    u64 interval_ns = 0;
    u64 expiry_ns = 0;   // monotonic; 0: off
    int overrun = 0;     // of the signal sent last
    QueuedSignal record; // that signal, while it is pending; guarded by signal_lock
    ListNode list_node;
};

class ProcessTimers {
public:
    explicit ProcessTimers(Process& process);
    /// A process that was never finished (a fork given up half-way) may have timers running.
    ~ProcessTimers() { stop(); }

    IntervalTimerValue get(int which);
    /// Sets and returns the old value.
    IntervalTimerValue set(int which, const IntervalTimerValue& value);
    /// The limit on CPU time has changed.
    void check_cpu_limit();
    /// A timer that nobody can name before link_posix_timer(). EAGAIN: too many.
    Result<PosixTimer*> add_posix_timer(int clock);
    void link_posix_timer(PosixTimer& timer);
    /// Null when there is none of that id. lock held.
    PosixTimer* find_posix_timer_locked(int id);
    Result<void> delete_posix_timer(int id);
    void delete_posix_timers();
    void on_posix_timer(PosixTimer& timer);
    Process& process() { return process_; }

    core::InterruptSpinLock lock;

    /// Stops everything and waits for callbacks that run. No locks held.
    void stop();

private:
    struct RealTimer : core::Timer {
        explicit RealTimer(ProcessTimers& timers);
        ProcessTimers& owner;
        u64 interval_ns = 0;
        bool is_set = false;
    };
    struct CpuTimer {
        u64 expiry_ns = 0; // of the process's CPU time; 0: off
        u64 interval_ns = 0;
    };
    struct CpuCheck : core::Timer {
        explicit CpuCheck(ProcessTimers& timers);
        ProcessTimers& owner;
    };

    void on_real_timer();
    void on_cpu_check();
    /// Arms the check for when the nearest CPU-time expiry can be reached at the earliest. lock held.
    void arm_cpu_check_locked();
    u64 user_ns_locked() const;
    u64 total_ns_locked() const;
    IntervalTimerValue value_locked(int which) const;
    void expire_cpu_timer_locked(CpuTimer& timer, u64 now_ns, int signal);
    void expire_cpu_limit_locked(u64 now_ns);

    Process& process_;
    IntrusiveList<PosixTimer, &PosixTimer::list_node> posix_timers_;
    int next_timer_id_ = 0;
    RealTimer real_;
    CpuTimer virtual_;
    CpuTimer profiling_;
    CpuCheck cpu_check_;
    u64 next_limit_signal_ns_ = 0;
    bool stopped_ = false;
};

/// The timers of `process`, made now if there are none. ENOMEM.
Result<ProcessTimers*> timers_of(Process& process);
/// Death: all timers stop.
void drop_all_timers(Process& process);
/// execve: timer_create(2)'s timers go, the interval timers stay.
void drop_posix_timers(Process& process);

} // namespace linnet::process
