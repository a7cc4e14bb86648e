// Timers of a process: the three interval timers of setitimer(2), alarm(2), the timers of timer_create(2),
// and the limit on CPU time. Made on first use.
//
// A timer whose signal is pending or ignored when it expires again stands still, but for a look now and then, until the
// signal is taken; what it would have done meanwhile is computed. So timers that nobody listens to keep no CPU busy,
// however many and however short.
//
// Lock: ProcessTimers::lock, taken in timer callbacks; outside of that of CPU timers (cpu_timers.hpp) and of
// Process::signal_lock, which sending takes.
#pragma once

#include <core/timer.hpp>
#include <core/wall_clock.hpp>
#include <process/timers.hpp>

#include "cpu_timers.hpp"

namespace linnet::process {

class ProcessTimers;

/// How often a timer looks whether anybody listens again.
inline constexpr u64 standstill_ns = 100'000'000, ignored_ns = 10'000'000;

/// A timer of timer_create(2); guarded by ProcessTimers::lock.
struct PosixTimer : core::Timer, core::WallClockListener {
    PosixTimer(ProcessTimers& timers, int timer_clock);
    ~PosixTimer();

    /// Of a timer on a CPU-time clock, in place of the kernel timer.
    struct OnCpuClock : CpuTimer {
        explicit OnCpuClock(PosixTimer& posix_timer);
        PosixTimer& timer;
    };

    ProcessTimers& owner;
    int id = -1; // from link_posix_timer() on
    const int clock;
    int notify = 0; // SIGEV_*
    int signal = 0;
    u64 value = 0;                    // sigev_value
    bool value_is_id = false;         // nobody said what it is to be
    NullableRefPtr<PidRecord> target; // SIGEV_THREAD_ID
    u64 interval_ns = 0;
    u64 expiry_ns = 0;       // monotonic; 0: off
    u64 clock_offset_ns = 0; // of a settable clock when expiry_ns was computed
    bool is_absolute = false;
    bool stands_still = false; // armed for a look only
    int overrun = 0;           // of the signal sent last
    QueuedSignal record;       // that signal, while it is pending; guarded by signal_lock
    TreeNode tree_node;
    OnCpuClock cpu{*this};
    NullableRefPtr<UserAccount> charged_to; // against RLIMIT_SIGPENDING, as long as the timer exists
};

class ProcessTimers {
public:
    explicit ProcessTimers(Process& process);
    /// A process that was never finished (a fork given up half-way) may have timers running.
    ~ProcessTimers() { stop(); }

    IntervalTimerValue get(int which);
    /// Sets and returns the old value.
    IntervalTimerValue set(int which, const IntervalTimerValue& value);
    /// Gives the timer a number, by which it can be found from now on. EAGAIN: too many.
    Result<int> link_posix_timer(PosixTimer& timer);
    /// Null when there is none of that id. lock held.
    PosixTimer* find_posix_timer_locked(int id);
    /// The one of the next greater id.
    PosixTimer* find_posix_timer_after_locked(int id);
    Result<void> delete_posix_timer(int id);
    void delete_posix_timers();
    void on_posix_timer(PosixTimer& timer);
    void posix_timer_goes_on(abi::siginfo_t& info);
    void real_timer_goes_on();
    void on_wall_clock_set(PosixTimer& timer);
    Process& process() { return process_; }

    core::InterruptSpinLock lock;
    CpuTimers cpu;

    /// Stops everything and waits for callbacks that run. No locks held.
    void stop();

private:
    struct RealTimer : core::Timer {
        explicit RealTimer(ProcessTimers& timers);
        ProcessTimers& owner;
        u64 interval_ns = 0;
        u64 expiry_ns = 0; // it may be armed for later
        bool is_set = false;
        bool stands_still = false;
    };
    /// ITIMER_VIRTUAL and ITIMER_PROF.
    struct CpuIntervalTimer : CpuTimer {
        explicit CpuIntervalTimer(int number)
            : CpuTimer([](CpuTimer& timer, u64) {
                  send_kernel_signal(*timer.process, static_cast<CpuIntervalTimer&>(timer).signal);
              }),
              signal(number) {}
        int signal;
    };

    static constexpr int most_posix_timers = 4096;
    [[nodiscard]] int choose_id_locked();
    void unlink_posix_timer_locked(PosixTimer& timer);
    void destroy(PosixTimer& timer);

    void on_real_timer();
    IntervalTimerValue real_value_locked() const;
    IntervalTimerValue set_cpu_timer(CpuIntervalTimer& timer, CpuClock::Which which, const IntervalTimerValue& value);

    Process& process_;
    struct IdOf {
        using type = int;
        const int& operator()(const PosixTimer& timer) const { return timer.id; }
    };
    IntrusiveTree<PosixTimer, &PosixTimer::tree_node, IdOf> posix_timers_;
    int next_timer_id_ = 0;
    u64 ids_[most_posix_timers / 64] = {}; // those in use
    RealTimer real_;
    CpuIntervalTimer virtual_{abi::SIGVTALRM};
    CpuIntervalTimer profiling_{abi::SIGPROF};
    bool stopped_ = false;
};

/// The timers of `process`, made now if there are none. ENOMEM.
Result<ProcessTimers*> timers_of(Process& process);
/// Death: all timers stop.
void drop_all_timers(Process& process);
/// execve: timer_create(2)'s timers go, the interval timers stay.
void drop_posix_timers(Process& process);

} // namespace linnet::process
