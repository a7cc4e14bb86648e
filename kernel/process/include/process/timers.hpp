// Interval timers of the current process (setitimer(2)).
#pragma once

#include <process/process.hpp>

namespace linnet::process {

/// An interval timer as the calls see it: nanoseconds, 0 for off.
struct IntervalTimerValue {
    u64 remaining_ns = 0;
    u64 interval_ns = 0;
};
IntervalTimerValue get_interval_timer(Process& process, int which);
/// Sets and returns the old value. ENOMEM.
Result<IntervalTimerValue> set_interval_timer(Process& process, int which, const IntervalTimerValue& value);
/// SIGALRM was taken: ITIMER_REAL, if it stood still, goes on. No locks held.
void real_timer_goes_on(Process& process);
/// RLIMIT_CPU has changed.
Result<void> apply_cpu_limit(Process& process);

} // namespace linnet::process
