// timer_create(2): timers of a process that send signals.
#pragma once

#include <abi/linux/time.hpp>
#include <process/process.hpp>
#include <process/timerfd.hpp>

namespace linnet::process {

/// The new timer's id; `event` null: SIGALRM with the id as its value. EINVAL for a bad event or clock,
/// EOPNOTSUPP for clocks without timers, EAGAIN when there are too many or RLIMIT_SIGPENDING is reached.
Result<int> create_timer(Thread& maker, int clock, const abi::sigevent* event);
enum class TimerMode : u8 { Relative, Absolute };
/// Returns the old setting. EINVAL: no such timer.
Result<TimerSetting> set_timer(Process& process, int id, TimerMode mode, const TimerSetting& setting);
Result<TimerSetting> get_timer(Process& process, int id);
/// Expirations beyond the one that the last signal told of.
Result<int> timer_overrun(Process& process, int id);
Result<void> delete_timer(Process& process, int id);

/// A timer's signal was taken: what has expired since it was sent joins its overrun, and a timer that stood still goes
/// on. No locks held.
void posix_timer_goes_on(Process& process, abi::siginfo_t& info);

/// What /proc/PID/timers shows of one.
struct TimerDescription {
    int id;
    int clock;
    int notify;
    int signal;
    u64 value;
    Pid tid; // SIGEV_THREAD_ID
};
/// The timer of the least id above `after`; false when there is none.
bool next_timer(Process& process, int after, TimerDescription& out);

} // namespace linnet::process
