// Inside of process/signal: the pending queues and the default actions. Everything `_locked` wants
// Process::signal_lock.
#pragma once

#include <process/process.hpp>
#include <process/signal.hpp>

namespace linnet::process::signal_detail {

constexpr SigSet set_of(auto... signals) { return {(SigSet::bit(signals) | ...)}; }

inline constexpr SigSet stop_signals = set_of(abi::SIGSTOP, abi::SIGTSTP, abi::SIGTTIN, abi::SIGTTOU);
inline constexpr SigSet ignored_by_default = set_of(abi::SIGCHLD, abi::SIGCONT, abi::SIGURG, abi::SIGWINCH);
/// Raised by the instruction that runs; delivered before anything else.
inline constexpr SigSet synchronous_signals =
    set_of(abi::SIGSEGV, abi::SIGBUS, abi::SIGILL, abi::SIGTRAP, abi::SIGFPE, abi::SIGSYS);

/// Terminate the process with a core dump.
inline constexpr SigSet core_signals = set_of(abi::SIGQUIT, abi::SIGILL, abi::SIGTRAP, abi::SIGABRT, abi::SIGBUS,
                                              abi::SIGFPE, abi::SIGSEGV, abi::SIGXCPU, abi::SIGXFSZ, abi::SIGSYS);

/// How `signal` acts when its action is SIG_DFL (signal(7)).
enum class DefaultAction : u8 { Terminate, Core, Ignore, Stop };
DefaultAction default_action(int signal);

/// Appends a record that its owner keeps.
void enqueue_prepared_locked(PendingSignals& pending, QueuedSignal& record);
/// Makes a signal pending for `only`, or for the process when null; says when it was dropped because the same standard
/// signal is pending already or, for a real-time signal, because the limit is reached.
enum class Enqueued : u8 { Added, AlreadyPending, LimitReached };
Enqueued enqueue_locked(Process& process, Thread* only, const abi::siginfo_t& info);
/// What dequeue_locked() found: nothing, a signal, or one whose record its timer keeps.
enum class Taken : u8 { Nothing, Signal, TimerSignal };
/// Takes the lowest signal of `pending & wanted`, those of faults first.
Taken dequeue_locked(PendingSignals& pending, SigSet wanted, abi::siginfo_t& out);
/// Takes one that is the thread's own, else one of the process. signal_lock is held here, and before timer_goes_on()
/// not.
Taken dequeue_for_locked(Thread& thread, SigSet wanted, abi::siginfo_t& out);
/// A timer that stood still because its signal was pending goes on once that is taken; `info` is told how often it has
/// expired meanwhile. No locks held.
void timer_goes_on(Process& process, Taken taken, abi::siginfo_t& info);
/// Drops all pending signals of `which`.
void drop_locked(PendingSignals& pending, SigSet which);
void drop_everywhere_locked(Process& process, SigSet which);

/// Whether the thread would take `signal` now.
bool wants_locked(const Thread& thread, int signal);
/// Sets or clears work_signal and interrupt_pending by what is pending.
void recalculate_locked(Thread& thread);

/// Changes what `thread` blocks. recalculate_locked() is left to the caller.
void block_locked(Thread& thread, SigSet mask);
/// Process-directed signals that `thread` doesn't take any more go to other threads.
void offer_to_others_locked(Process& process, Thread& thread);

/// Stops and continues (stop.cpp).
void begin_group_stop_locked(Process& process, int signal);
void participate_in_stop(Thread& thread);
/// SIGCONT or SIGKILL was sent: stopped threads go on. True when the process had been stopped.
bool end_group_stop_locked(Process& process);

} // namespace linnet::process::signal_detail
