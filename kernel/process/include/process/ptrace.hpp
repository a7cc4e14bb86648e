// Tracing of one thread by another (ptrace(2)): the request, and what the rest of the kernel tells a tracer.
#pragma once

#include <atomic>
#include <process/process.hpp>

namespace linnet::process {

/// How many threads are traced or have their calls logged: while there is one, system calls go through a slower path.
extern constinit std::atomic<u32> watched_threads;

/// ptrace(2).
Result<long> ptrace(Thread& caller, long request, Pid tid, u64 address, u64 data);

// ---- stops of the current thread; no locks held, and nothing happens when nobody traces it ----

/// It is about to act on a signal, which the tracer may change or withhold; false: it did.
bool stop_for_signal(Thread& self, abi::siginfo_t& info);
/// Before and after a system call, when the tracer wants that. False: the call is not to be executed.
bool stop_at_call_entry(Thread& self);
void stop_at_call_exit(Thread& self);
/// Whether events of this kind are traced, and the stop for one: PTRACE_EVENT_*.
[[nodiscard]] bool wants_event(const Thread& self, int event);
void stop_for_event(Thread& self, int event, u64 message);
/// It executed a program and had the number `old_tid`.
void stop_after_exec(Thread& self, Pid old_tid);
/// It was asked to stop, or its process is stopped by `signal`.
void stop_in_group(Thread& self, int signal);

// ---- the relation ----

/// PTRACE_EVENT_* that clone(2) with these arguments is for the tracer of `maker`, 0 for none.
int event_of_clone(const Thread& maker, u64 flags, int exit_signal);
/// A child of a traced thread is traced by the same one, and stops first of all. tree_lock held.
void inherit_tracer_locked(Thread& maker, Thread& child);
/// The last thing that a dying thread's tracer hears of it. No locks held.
void tell_tracer_of_exit(Thread& self);
/// The dying thread's tracees go on without it. No locks held.
void release_tracees(Thread& tracer);
/// Ends the relation; the reference that it was, for the caller to drop without locks. tree_lock and signal_lock held.
NullableRefPtr<Thread> untrace_locked(Thread& tracee);
/// A tracee that is stopped goes on. signal_lock held.
void end_trace_stop_locked(Thread& tracee);
/// Somebody else's tracee: its death is the tracer's to hear of before the parent. tree_lock held.
bool is_traced_by_other_locked(Process& process);
/// Whether a program that this thread executes may be looked into by someone who has not all its rights.
bool has_lesser_tracer(Thread& self);
/// Number of the tracer, 0 without one.
Pid tracer_of(Thread& thread);

} // namespace linnet::process
