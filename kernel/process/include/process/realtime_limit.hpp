// RLIMIT_RTTIME (getrlimit(2)): how long a real-time thread may run without sleeping.
#pragma once

#include <process/process.hpp>

namespace linnet::process {

/// The limit of the process, or the policy of one of its threads, has changed: they look at it before they run on.
void update_realtime_limit(Process& process);
/// Whether a new thread of the process has to look at its limit.
bool is_realtime_limited(const Process& process);
/// The current thread at its loop's edge: SIGXCPU at the soft limit and each second after it, SIGKILL at the hard one;
/// the scheduler is told when to come back.
void enforce_realtime_limit(Thread& thread);

} // namespace linnet::process
