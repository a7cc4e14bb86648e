// Sending: side effects of SIGCONT, SIGKILL and the stop signals, dropping what is ignored, choosing the thread.
//
// Locks: tree_lock may be held on entry; Process::signal_lock is taken; threads are woken under it.
#include <process/ptrace.hpp>
#include <process/session.hpp>
#include <process/tracepoints.hpp>
#include <vfs/credentials.hpp>

#include "../core_dump.hpp"
#include "queue.hpp"

namespace linnet::process {

using namespace signal_detail;

namespace {

/// Whether the signal would be thrown away at once. A blocked signal is kept: its action may change before it is
/// unblocked.
bool is_ignored_locked(Process& process, const Thread* thread, int signal) {
    const u64 handler = process.actions->handler_of(signal);
    if (handler > abi::SIG_IGN) return false;
    bool blocked = thread ? thread->signals.blocked.has(signal) : false;
    if (!thread) {
        blocked = true;
        for (Thread& each : process.threads)
            if (!each.exited.load(std::memory_order_relaxed) && !each.signals.blocked.has(signal)) blocked = false;
    }
    if (blocked) return false;
    // A tracer is told of it all the same.
    const Thread* receiver = thread ? thread : process.leader_.get();
    if (receiver && receiver->trace.tracer && signal != abi::SIGKILL) return false;
    if (handler == abi::SIG_IGN) return signal != abi::SIGKILL && signal != abi::SIGSTOP;
    // Nothing kills or stops PID 1 by default (kill(2), NOTES).
    return default_action(signal) == DefaultAction::Ignore || process.pid() == 1;
}

void notify_thread(Thread& thread) {
    thread.pending_work.fetch_or(core::work_signal, std::memory_order_seq_cst);
    // One that sends to itself and is awake needs nobody to wake it.
    if (&thread == current_or_null() && thread.state.load(std::memory_order_relaxed) == core::ThreadState::Running)
        thread.interrupt_pending.store(true, std::memory_order_relaxed);
    else
        thread.interrupt();
}

/// Wakes a thread that takes the signal; prefers the leader, as Linux does.
void choose_and_wake_locked(Process& process, Thread* only, int signal) {
    if (only) {
        if (wants_locked(*only, signal)) notify_thread(*only);
        return;
    }
    Thread* chosen = nullptr;
    for (Thread& thread : process.threads) {
        if (!wants_locked(thread, signal)) continue;
        if (!chosen || thread.is_leader()) chosen = &thread;
    }
    if (chosen) notify_thread(*chosen);
}

/// A deadly signal ends every thread now, also those in sleeps that only death ends, instead of waiting until one
/// thread happens to dequeue it. One that dumps core waits for the thread whose registers the core file begins with.
bool kills_at_once_locked(Process& process, Thread* only, int signal) {
    if (process.group_exiting) return false;
    if (signal == abi::SIGKILL) return process.pid() != 1;
    if (process.actions->handler_of(signal) != abi::SIG_DFL) return false;
    if (default_action(signal) != DefaultAction::Terminate || process.pid() == 1) return false;
    // One that is stopped takes it only once it goes on.
    auto takes = [&](Thread& thread) {
        return !thread.exited.load(std::memory_order_relaxed) && !thread.signals.blocked.has(signal) &&
               !thread.signals.waited_for.has(signal) && thread.state.load() != core::ThreadState::Stopped;
    };
    // And whose tracer is asked first, once that has let it.
    const Thread* receiver = only ? only : process.leader_.get();
    if (receiver && receiver->trace.tracer) return false;
    if (only) return takes(*only);
    for (Thread& thread : process.threads)
        if (takes(thread) && !thread.trace.tracer) return true;
    return false;
}

/// What a signal does to others when it is sent, whether or not anybody takes it. Returns true when the process was
/// stopped and goes on.
bool apply_side_effects_locked(Process& process, int signal) {
    if (signal == abi::SIGCONT) {
        drop_everywhere_locked(process, stop_signals);
        return end_group_stop_locked(process);
    }
    if (signal == abi::SIGKILL) return end_group_stop_locked(process), false;
    if (signal < abi::SIGRTMIN && stop_signals.has(signal)) drop_everywhere_locked(process, set_of(abi::SIGCONT));
    return false;
}

Enqueued send_locked(Process& process, Thread* only, const abi::siginfo_t& info, QueuedSignal* prepared = nullptr) {
    int signal = info.si_signo;
    const auto tell = [&](tracepoints::SignalResult result) {
        if (!tracepoints::signal_generate.is_on()) [[likely]]
            return;
        Thread* about = only ? only : process.leader_.get();
        if (about) tracepoints::signal_generate(*about, info, only == nullptr, result);
    };
    if (process.core_dumper.load(std::memory_order_relaxed)) [[unlikely]] {
        // It is as good as dead; but a dump can be ended.
        if (signal == abi::SIGKILL) end_core_dump_locked(process);
        return Enqueued::Added;
    }
    if (apply_side_effects_locked(process, signal))
        process.continue_reportable = process.signals.continue_unreported = true;
    if (is_ignored_locked(process, only, signal)) {
        tell(tracepoints::SignalResult::Ignored);
        return Enqueued::Added;
    }
    if (kills_at_once_locked(process, only, signal)) {
        tell(tracepoints::SignalResult::Delivered);
        begin_group_exit_locked(process, signal);
        return Enqueued::Added;
    }
    Enqueued result = Enqueued::Added;
    if (prepared)
        enqueue_prepared_locked(only ? only->signals.pending : process.signals.pending, *prepared);
    else
        result = enqueue_locked(process, only, info);
    tell(result == Enqueued::Added            ? tracepoints::SignalResult::Delivered
         : result == Enqueued::AlreadyPending ? tracepoints::SignalResult::AlreadyPending
                                              : tracepoints::SignalResult::OverflowFail);
    if (result == Enqueued::Added || signal >= abi::SIGRTMIN) {
        choose_and_wake_locked(process, only, signal);
        process.signals.arrivals.notify(abi::POLLIN | abi::POLLRDNORM);
    }
    return result;
}

Result<void> send(Process& process, Thread* only, const abi::siginfo_t& info) {
    Enqueued result;
    {
        core::InterruptSpinGuard guard(process.signal_lock);
        if (process.exit_state.load(std::memory_order_relaxed) != ExitState::Alive) return {};
        result = send_locked(process, only, info);
    }
    return result == Enqueued::LimitReached ? error(Errno::EAGAIN) : Result<void>{};
}

abi::siginfo_t kernel_info(int signal) {
    abi::siginfo_t info{};
    info.si_signo = signal;
    info.si_code = abi::SI_KERNEL;
    return info;
}

} // namespace

// A signal whose queue record finds no memory is lost only where its sender can be told: try_send_signal.
void send_signal(Process& process, const abi::siginfo_t& info) { (void)send(process, nullptr, info); }
void send_signal(Thread& thread, const abi::siginfo_t& info) { (void)send(thread.process(), &thread, info); }
Result<void> try_send_signal(Process& process, const abi::siginfo_t& info) { return send(process, nullptr, info); }
Result<void> try_send_signal(Thread& thread, const abi::siginfo_t& info) {
    return send(thread.process(), &thread, info);
}

bool send_prepared_signal(Process& process, Thread* thread, QueuedSignal& record) {
    core::InterruptSpinGuard guard(process.signal_lock);
    if (process.exit_state.load(std::memory_order_relaxed) != ExitState::Alive) return false;
    if (thread && thread->is_dead()) return false;
    (void)send_locked(process, thread, record.info, &record);
    return record.node.is_linked();
}

bool is_pending_or_ignored(Process& process, int signal) {
    core::InterruptSpinGuard guard(process.signal_lock);
    return process.signals.pending.set.has(signal) || is_ignored_locked(process, nullptr, signal);
}

void send_signal(ProcessGroup& group, const abi::siginfo_t& info) {
    group.for_each_member([&](Process& member) { send_signal(member, info); });
}

void send_kernel_signal(Thread& thread, int signal) { send_signal(thread, kernel_info(signal)); }
void send_kernel_signal(Process& process, int signal) { send_signal(process, kernel_info(signal)); }
void send_kernel_signal(ProcessGroup& group, int signal) { send_signal(group, kernel_info(signal)); }

void force_signal(Thread& thread, int signal, int code, VirtAddr address) {
    abi::siginfo_t info{};
    info.si_signo = signal;
    info.si_code = code;
    info.fault.address = address.value;
    Process& process = thread.process();
    core::InterruptSpinGuard guard(process.signal_lock);
    SignalAction action = process.actions->get(signal);
    // A fault can't be put off or ignored: the program dies of it (SEMANTICS U5). PID 1 too.
    if (thread.signals.blocked.has(signal) || action.handler == abi::SIG_IGN) {
        process.actions->set(signal, SignalAction{});
        thread.signals.blocked.remove(signal);
    }
    const bool is_fatal = process.actions->get(signal).handler == abi::SIG_DFL && !thread.trace.tracer;
    if (is_fatal && (process.pid() == 1 || default_action(signal) != DefaultAction::Core)) {
        begin_group_exit_locked(process, signal);
        return;
    }
    // The newest fault's details are the true ones, should one be pending already.
    drop_locked(thread.signals.pending, set_of(signal));
    (void)enqueue_locked(process, &thread, info);
    notify_thread(thread);
}

Result<void> check_signal_number(int signal) {
    if (signal < 0 || signal > abi::signal_count) return error(Errno::EINVAL);
    return {};
}

abi::siginfo_t user_signal_info(int signal, int code) {
    Thread& self = current();
    abi::siginfo_t info{};
    info.si_signo = signal;
    info.si_code = code;
    info.kill.pid = self.process().pid();
    info.kill.uid = self.own_credentials().uid;
    return info;
}

Result<void> check_kill_permission(Process& target, int signal) {
    Thread& self = current();
    if (&target == &self.process()) return {};
    const vfs::Credentials& own = self.own_credentials();
    RefPtr<const vfs::Credentials> theirs = target.credentials();
    if (own.euid == theirs->suid || own.euid == theirs->uid || own.uid == theirs->suid || own.uid == theirs->uid)
        return {};
    if (own.has(vfs::Capability::Kill)) return {};
    if (signal == abi::SIGCONT && target.session().get() == self.process().session().get()) return {};
    return error(Errno::EPERM);
}

} // namespace linnet::process
