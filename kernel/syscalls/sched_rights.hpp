// Whose scheduling a thread may change, and how far (sched(7), getpriority(2)).
#pragma once

#include <process/process.hpp>

namespace linnet::syscalls {

/// The living thread of this id, 0 for the caller; EINVAL when negative, ESRCH.
Result<RefPtr<process::Thread>> scheduled_thread(process::Thread& thread, process::Pid pid);
/// EPERM unless the target is the caller's, or the caller has CAP_SYS_NICE.
Result<void> check_same_user(process::Thread& thread, process::Thread& target);
/// Becoming less nice needs room in RLIMIT_NICE or the capability.
bool may_have_nice(process::Thread& thread, process::Thread& target, int nice);

} // namespace linnet::syscalls
