// Group stop and continue: all threads of a process stop together, and the parent learns of it once.
//
// Locks: tree_lock before Process::signal_lock; neither while stopped.
#include <core/sched.hpp>

#include "queue.hpp"

namespace linnet::process::signal_detail {

void begin_group_stop_locked(Process& process, int signal) {
    if (process.group_exiting || process.signals.stop_requested) return;
    process.signals.stop_requested = true;
    process.stop_signal = signal;
    process.signals.threads_to_stop = 0;
    for (Thread& thread : process.threads) {
        if (thread.exited.load(std::memory_order_relaxed)) continue;
        ++process.signals.threads_to_stop;
        thread.pending_work.fetch_or(core::work_stop, std::memory_order_seq_cst);
        if (&thread != arch::current_thread()) thread.interrupt();
    }
}

bool end_group_stop_locked(Process& process) {
    bool was_stopped = process.signals.stop_requested;
    process.signals.stop_requested = false;
    process.stop_reportable = false;
    process.stop_signal = 0;
    process.signals.threads_to_stop = 0;
    for (Thread& thread : process.threads) {
        thread.pending_work.fetch_and(~u32{core::work_stop}, std::memory_order_relaxed);
        core::wake_thread(thread, core::state_bit(core::ThreadState::Stopped));
    }
    return was_stopped;
}

namespace {

void sleep_until_continued(Thread& thread) {
    Process& process = thread.process();
    for (;;) {
        core::schedule();
        core::InterruptSpinGuard guard(process.signal_lock);
        if (!process.signals.stop_requested || process.group_exiting) {
            thread.state.store(core::ThreadState::Running, std::memory_order_relaxed);
            return recalculate_locked(thread);
        }
        thread.state.store(core::ThreadState::Stopped, std::memory_order_seq_cst);
    }
}

} // namespace

void participate_in_stop(Thread& thread) {
    Process& process = thread.process();
    bool last = false;
    int signal = 0;
    {
        core::InterruptSpinGuard guard(process.signal_lock);
        thread.pending_work.fetch_and(~u32{core::work_stop}, std::memory_order_relaxed);
        if (!process.signals.stop_requested) return recalculate_locked(thread);
        signal = process.stop_signal;
        last = --process.signals.threads_to_stop == 0;
        if (last) process.stop_reportable = true;
        thread.state.store(core::ThreadState::Stopped, std::memory_order_seq_cst);
    }
    if (last) {
        core::InterruptSpinGuard guard(tree_lock);
        notify_parent_locked(process, abi::CLD_STOPPED, signal);
    }
    sleep_until_continued(thread);
    bool report;
    {
        core::InterruptSpinGuard guard(process.signal_lock);
        report = std::exchange(process.signals.continue_unreported, false) && !process.group_exiting;
    }
    if (report) {
        core::InterruptSpinGuard guard(tree_lock);
        notify_parent_locked(process, abi::CLD_CONTINUED, abi::SIGCONT);
    }
}

} // namespace linnet::process::signal_detail

namespace linnet::process {

void forget_thread_locked(Process& process, Thread& thread) {
    using namespace signal_detail;
    SharedSignals& shared = process.signals;
    if (shared.stop_requested && (thread.pending_work.load(std::memory_order_relaxed) & core::work_stop) &&
        shared.threads_to_stop > 0) {
        if (--shared.threads_to_stop == 0) process.stop_reportable = true;
    }
    offer_to_others_locked(process, thread);
}

} // namespace linnet::process
