// Inside of process/ptrace.
#pragma once

#include <abi/linux/ptrace.hpp>
#include <process/ptrace.hpp>
#include <process/wait.hpp>

namespace linnet::process::ptrace_detail {

/// PTRACE_TRACEME: the parent traces the caller.
Result<void> trace_me(Thread& caller);
/// PTRACE_ATTACH and PTRACE_SEIZE.
Result<void> attach(Thread& caller, Thread& target, bool is_seized, u32 options);
Result<void> detach(Thread& caller, Thread& tracee, int signal);
/// What is left for the caller to give up without locks: the reference that the relation was, and a process that nobody
/// waits for, to be released.
struct Untraced {
    NullableRefPtr<Thread> tracee;
    NullableRefPtr<Process> reaped;
};
/// The relation ends, and the parent of a dead tracee hears of that. tree_lock held.
Untraced untrace_and_tell_parent_locked(Thread& tracee);
/// What a stopped tracee goes on with: another signal than the one it stopped for is the tracer's. signal_lock held.
void change_signal_locked(Thread& tracer, Thread& tracee, int signal);

} // namespace linnet::process::ptrace_detail
