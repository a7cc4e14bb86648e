// Group stop and continue: all threads of a process stop together, and the parent learns of it once.
//
// Locks: tree_lock before Process::signal_lock; neither while stopped.
#include <core/sched.hpp>
#include <process/ptrace.hpp>

#include "queue.hpp"

namespace linnet::process::signal_detail {

namespace {

void join_stop_locked(Process& process, Thread& thread) {
    ++process.signals.threads_to_stop;
    thread.signals.must_join_stop = true;
    thread.pending_work.fetch_or(core::work_stop, std::memory_order_seq_cst);
    if (&thread != arch::current_thread()) thread.interrupt();
}

/// A tracer that follows group stops (PTRACE_SEIZE) hears that one began or ended; at once, if it listens.
void notify_seized_locked(Thread& thread) {
    if (!thread.trace.tracer || !thread.trace.is_seized || thread.is_dead()) return;
    thread.trace.must_trap = true;
    thread.pending_work.fetch_or(core::work_stop, std::memory_order_seq_cst);
    if (thread.trace.is_listening)
        end_trace_stop_locked(thread);
    else if (&thread != arch::current_thread())
        thread.interrupt();
}

} // namespace

void begin_group_stop_locked(Process& process, int signal) {
    if (process.group_exiting) return;
    if (process.signals.stop_requested) {
        // Who runs all the same was let go by a tracer, and stops anew.
        for (Thread& thread : process.threads)
            if (thread.trace.tracer && !thread.trace.is_stopped && !thread.signals.must_join_stop && !thread.is_dead())
                join_stop_locked(process, thread);
        return;
    }
    process.signals.stop_requested = true;
    process.stop_signal = signal;
    process.signals.threads_to_stop = 0;
    for (Thread& thread : process.threads)
        if (!thread.is_dead()) join_stop_locked(process, thread);
}

bool end_group_stop_locked(Process& process) {
    bool was_stopped = process.signals.stop_requested;
    process.signals.stop_requested = false;
    process.stop_reportable = false;
    process.stop_signal = 0;
    process.signals.threads_to_stop = 0;
    for (Thread& thread : process.threads) {
        thread.signals.must_join_stop = false;
        if (was_stopped) notify_seized_locked(thread);
        if (!thread.trace.must_trap) thread.pending_work.fetch_and(~u32{core::work_stop}, std::memory_order_relaxed);
        core::wake_thread(thread, core::state_bit(core::ThreadState::Stopped));
    }
    return was_stopped;
}

namespace {

/// Until the process goes on, or somebody begins to trace the thread.
void sleep_until_continued(Thread& thread) {
    Process& process = thread.process();
    for (;;) {
        core::schedule();
        core::InterruptSpinGuard guard(process.signal_lock);
        if (!process.signals.stop_requested || process.group_exiting || thread.trace.must_trap) {
            thread.state.store(core::ThreadState::Running, std::memory_order_relaxed);
            return recalculate_locked(thread);
        }
        thread.state.store(core::ThreadState::Stopped, std::memory_order_seq_cst);
    }
}

enum class StopAs : u8 { Nothing, Tracee, Member };

/// How the thread is to stop now, because of what made it look: a tracer has its tracees stop for it.
StopAs next_stop_locked(Thread& thread, bool joins) {
    Process& process = thread.process();
    if (process.group_exiting || (thread.pending_work.load(std::memory_order_relaxed) & core::work_exit))
        return StopAs::Nothing;
    const bool traps = std::exchange(thread.trace.must_trap, false) && thread.trace.tracer;
    if (thread.trace.tracer) return joins || traps ? StopAs::Tracee : StopAs::Nothing;
    if (!joins || !process.signals.stop_requested) return StopAs::Nothing;
    thread.state.store(core::ThreadState::Stopped, std::memory_order_seq_cst);
    return StopAs::Member;
}

/// A parent that traces the process itself hears of its stops as the tracer.
void tell_parent(Process& process, int code, int signal) {
    core::InterruptSpinGuard guard(tree_lock);
    const Thread* leader = process.leader_.get();
    if (leader && leader->trace.tracer && &leader->trace.tracer->process() == process.parent) return;
    notify_parent_locked(process, code, signal);
}

} // namespace

void participate_in_stop(Thread& thread) {
    Process& process = thread.process();
    bool last = false;
    int signal = 0;
    StopAs how;
    {
        core::InterruptSpinGuard guard(process.signal_lock);
        thread.pending_work.fetch_and(~u32{core::work_stop}, std::memory_order_relaxed);
        const bool joins = std::exchange(thread.signals.must_join_stop, false) && process.signals.stop_requested;
        if (joins) last = --process.signals.threads_to_stop == 0;
        if (last) process.stop_reportable = true;
        how = next_stop_locked(thread, joins);
        signal = process.stop_signal;
        if (how == StopAs::Nothing) recalculate_locked(thread);
    }
    if (last) tell_parent(process, abi::CLD_STOPPED, signal);
    while (how != StopAs::Nothing) {
        if (how == StopAs::Tracee)
            stop_in_group(thread, signal);
        else
            sleep_until_continued(thread);
        core::InterruptSpinGuard guard(process.signal_lock);
        // Whom its tracer lets go runs, though the others stay stopped; whom it leaves alone is one of them.
        how = next_stop_locked(thread, !thread.trace.tracer);
        signal = process.stop_signal;
    }
    bool report;
    {
        core::InterruptSpinGuard guard(process.signal_lock);
        recalculate_locked(thread);
        report = std::exchange(process.signals.continue_unreported, false) && !process.group_exiting;
    }
    if (report) tell_parent(process, abi::CLD_CONTINUED, abi::SIGCONT);
}

} // namespace linnet::process::signal_detail

namespace linnet::process {

void forget_thread_locked(Process& process, Thread& thread) {
    using namespace signal_detail;
    SharedSignals& shared = process.signals;
    if (shared.stop_requested && thread.signals.must_join_stop && shared.threads_to_stop > 0) {
        if (--shared.threads_to_stop == 0) process.stop_reportable = true;
    }
    offer_to_others_locked(process, thread);
}

} // namespace linnet::process
