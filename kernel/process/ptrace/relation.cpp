// Who traces whom (ptrace(2), "Attaching and detaching", "Birth, death"): the relation of one thread to another, how it
// begins, how children come into it and how it ends.
//
// It changes under tree_lock and the tracee's signal_lock. The list of tracees hangs on the tracer's process, for any
// of its threads may wait for them. Signal locks of two processes are never held together.
#include <abi/linux/sched.hpp>
#include <vfs/credentials.hpp>

#include "../internal.hpp"
#include "../signal/queue.hpp"
#include "relation.hpp"
#include <core/sched.hpp>
#include <process/access.hpp>

namespace linnet::process {

constinit std::atomic<u32> watched_threads{0};

namespace ptrace_detail {
namespace {

/// tree_lock and the tracee's signal_lock held, or nobody else knows the tracee yet.
void trace_locked(Thread& tracer, Thread& tracee, u32 options, bool is_seized) {
    tracee.trace.tracer = &tracer;
    tracee.trace.options = options;
    tracee.trace.is_seized = is_seized;
    tracee.ref();
    tracer.process().tracees.push_back(tracee);
    watched_threads.fetch_add(1, std::memory_order_relaxed);
}

/// The thread of the parent that made the current process, or has inherited it.
Thread* thread_of_parent_locked(Process& process) {
    Process* parent = process.parent;
    if (!parent) return nullptr;
    core::InterruptSpinGuard guard(parent->signal_lock);
    for (Thread& thread : parent->threads)
        if (thread.tid() == process.parent_tid && !thread.gave_children_away) return &thread;
    return nullptr;
}

/// Whether `target` is in a group stop already; then it passes into a ptrace-stop.
enum class Attached : u8 { Running, WasStopped, Retry };

Result<Attached> attach_once(Thread& caller, Thread& target, bool is_seized, u32 options, u32 executions) {
    core::InterruptSpinGuard tree(tree_lock);
    Process& process = target.process();
    core::InterruptSpinGuard guard(process.signal_lock);
    if (target.is_dead() || target.trace.tracer) return error(Errno::EPERM);
    if (process.executing != 0 || process.executions.load(std::memory_order_relaxed) != executions)
        return Attached::Retry;
    trace_locked(caller, target, options, is_seized);
    if (target.state.load() != core::ThreadState::Stopped) return Attached::Running;
    target.trace.must_trap = true;
    core::wake_thread(target, core::state_bit(core::ThreadState::Stopped));
    return Attached::WasStopped;
}

} // namespace

Result<void> trace_me(Thread& caller) {
    core::InterruptSpinGuard tree(tree_lock);
    Process& process = caller.process();
    if (caller.trace.tracer) return error(Errno::EPERM);
    Thread* parent = thread_of_parent_locked(process);
    if (!parent) return error(Errno::EPERM);
    RefPtr<const vfs::Credentials> theirs = parent->credentials();
    if (!theirs->effective.has(vfs::Capability::SysPtrace) &&
        (caller.own_credentials().permitted.bits & ~theirs->permitted.bits) != 0)
        return error(Errno::EPERM);
    core::InterruptSpinGuard guard(process.signal_lock);
    trace_locked(*parent, caller, 0, false);
    return {};
}

Result<void> attach(Thread& caller, Thread& target, bool is_seized, u32 options) {
    Process& process = target.process();
    if (&process == &caller.process()) return error(Errno::EPERM);
    Attached attached = Attached::Retry;
    while (attached == Attached::Retry) {
        // Whether a program gets more rights than its tracer is decided while it is executed.
        core::WaitResult waited =
            core::wait_until(process.executed, core::Sleep::Interruptible, core::Deadline::never(), [&] {
                core::InterruptSpinGuard guard(process.signal_lock);
                return process.executing == 0;
            });
        if (waited == core::WaitResult::Interrupted) return error(Errno::RestartAlways);
        const u32 executions = process.executions.load();
        if (!may_access(caller, target, AccessBy::RealIds)) return error(Errno::EPERM);
        attached = TRY(attach_once(caller, target, is_seized, options, executions));
    }
    if (!is_seized) send_kernel_signal(target, abi::SIGSTOP);
    // Nobody is to see it between the two kinds of stop.
    if (attached == Attached::WasStopped)
        (void)core::wait_until(caller.process().child_events, core::Sleep::Killable, core::Deadline::never(), [&] {
            core::InterruptSpinGuard guard(process.signal_lock);
            return target.trace.is_stopped || !target.trace.must_trap;
        });
    return {};
}

Result<void> detach(Thread& caller, Thread& tracee, int signal) {
    NullableRefPtr<Thread> reference;
    core::InterruptSpinGuard tree(tree_lock);
    core::InterruptSpinGuard guard(tracee.process().signal_lock);
    if (tracee.trace.tracer != &caller || !tracee.trace.is_stopped) return error(Errno::ESRCH);
    change_signal_locked(caller, tracee, signal);
    tracee.registers.set_single_step(false);
    reference = untrace_locked(tracee);
    guard.unlock();
    tree.unlock();
    return {};
}

} // namespace ptrace_detail

NullableRefPtr<Thread> untrace_locked(Thread& tracee) {
    TraceState& trace = tracee.trace;
    if (!trace.tracer) return {};
    trace.tracer->process().tracees.remove(tracee);
    trace.tracer = nullptr;
    trace.options = 0;
    trace.is_seized = trace.must_trap = false;
    trace.until = TraceUntil::NextStop; // what the next tracer has not asked for it does not get
    end_trace_stop_locked(tracee);
    watched_threads.fetch_sub(1, std::memory_order_relaxed);
    if (std::exchange(trace.is_awaited, false)) {
        tracee.process().awaited_threads.fetch_sub(1);
        tracee.process().thread_exit.wake_all();
    }
    return NullableRefPtr<Thread>::adopt(&tracee);
}

void inherit_tracer_locked(Thread& maker, Thread& child) {
    Thread* tracer = maker.trace.tracer;
    if (!tracer) return;
    ptrace_detail::trace_locked(*tracer, child, maker.trace.options, maker.trace.is_seized);
    if (maker.trace.is_seized) {
        child.trace.must_trap = true;
        child.pending_work.fetch_or(core::work_stop, std::memory_order_relaxed);
    } else {
        child.signals.pending.set.add(abi::SIGSTOP);
        child.pending_work.fetch_or(core::work_signal, std::memory_order_relaxed);
    }
}

int event_of_clone(const Thread& maker, u64 flags, int exit_signal) {
    if (!maker.trace.tracer || (flags & abi::CLONE_UNTRACED)) return 0;
    int event = exit_signal == abi::SIGCHLD ? abi::PTRACE_EVENT_FORK : abi::PTRACE_EVENT_CLONE;
    if (flags & abi::CLONE_VFORK) event = abi::PTRACE_EVENT_VFORK;
    return wants_event(maker, event) ? event : 0;
}

bool is_traced_by_other_locked(Process& process) {
    const Thread* leader = process.leader_.get();
    return leader && leader->trace.tracer && &leader->trace.tracer->process() != process.parent;
}

bool has_lesser_tracer(Thread& self) {
    core::InterruptSpinGuard tree(tree_lock);
    Thread* tracer = self.trace.tracer;
    return tracer && !tracer->credentials()->effective.has(vfs::Capability::SysPtrace);
}

Pid tracer_of(Thread& thread) {
    core::InterruptSpinGuard tree(tree_lock);
    return thread.trace.tracer ? thread.trace.tracer->tid() : 0;
}

// ---- deaths ----

void tell_tracer_of_exit(Thread& self) {
    Process& process = self.process();
    if (!self.trace.tracer || self.is_leader()) return; // nobody attaches any more; a leader's end is its process's
    NullableRefPtr<Thread> reference;
    const abi::siginfo_t info = [&] {
        const WaitStatus status = decode_wait_status(self.exit_status);
        return child_info(process, self.tid(), status.code, status.value);
    }();
    core::InterruptSpinGuard tree(tree_lock);
    if (!self.trace.tracer) return;
    Process& tracer = self.trace.tracer->process();
    const SignalAction action = child_action(tracer);
    if (action.handler != abi::SIG_IGN) send_signal(tracer, info);
    if (action.handler == abi::SIG_IGN || (action.flags & abi::SA_NOCLDWAIT)) {
        core::InterruptSpinGuard guard(process.signal_lock);
        reference = untrace_locked(self);
    }
    tracer.child_events.wake_all();
    tree.unlock();
}

void release_tracees(Thread& tracer) {
    for (;;) {
        ptrace_detail::Untraced ended;
        {
            core::InterruptSpinGuard tree(tree_lock);
            Thread* tracee = nullptr;
            for (Thread& each : tracer.process().tracees)
                if (each.trace.tracer == &tracer) tracee = &each;
            if (!tracee) return;
            if (tracee->trace.options & abi::PTRACE_O_EXITKILL) send_kernel_signal(*tracee, abi::SIGKILL);
            ended = ptrace_detail::untrace_and_tell_parent_locked(*tracee);
        }
        if (ended.reaped) release_process(RefPtr<Process>(std::move(ended.reaped)));
    }
}

} // namespace linnet::process
