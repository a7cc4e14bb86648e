// The tracepoints of processes, signals and system calls. Each says what holds where it is.
#pragma once

#include <abi/linux/signal.hpp>
#include <core/tracepoint.hpp>
#include <process/thread.hpp>

namespace linnet::process {

class Process;
struct SignalAction;

namespace tracepoints {

/// The current thread has made one, which does not run yet. May sleep, as all up to `exit`.
inline constinit core::Tracepoint<Thread& /*parent*/, Thread& /*child*/> fork;
/// The same, before that is told, with the flags of clone(2).
inline constinit core::Tracepoint<Thread& /*child*/, u64 /*clone_flags*/> new_task;
/// The current thread, or another of its process, is about to have that name.
inline constinit core::Tracepoint<Thread&, std::string_view> renaming;
/// The current thread, or another of its process, has another name.
inline constinit core::Tracepoint<Thread&> rename;
/// The current thread executes another program from now on.
inline constinit core::Tracepoint<Thread&, std::string_view /*path*/, Pid /*tid before*/> exec;
/// The current thread will run no more user code.
inline constinit core::Tracepoint<Thread&> exit;
/// The same, once all have been told of that.
inline constinit core::Tracepoint<Thread&> ended;
/// The current thread begins to wait for children: for all (0) or some (wait4(2)).
inline constinit core::Tracepoint<Pid> wait;

/// What became of a signal that was sent.
enum class SignalResult : u8 { Delivered, Ignored, AlreadyPending, OverflowFail, LoseInfo };
/// A signal has been sent, to a thread or (`is_group`) a process, of which `thread` is one. The signal lock held.
inline constinit core::Tracepoint<Thread&, const abi::siginfo_t&, bool /*is_group*/, SignalResult> signal_generate;
/// The current thread takes a signal; what it does then. The signal lock held.
inline constinit core::Tracepoint<const abi::siginfo_t&, const SignalAction&> signal_deliver;

/// Around a system call, as far as tracers have left its number alone. `watched_threads` counts who wants these two:
/// the way of system calls looks only there.
inline constinit core::Tracepoint<Thread&, long /*number*/> sys_enter;
inline constinit core::Tracepoint<Thread&, long /*number*/, long /*result*/> sys_exit;

} // namespace tracepoints
} // namespace linnet::process
