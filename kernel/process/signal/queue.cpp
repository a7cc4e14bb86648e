// Pending signals: standard ones once, real-time ones in order, with siginfo where there was memory for it.
#include <core/thread.hpp>
#include <new>
#include <process/posix_timers.hpp>
#include <process/timers.hpp>
#include <process/user_account.hpp>

#include "queue.hpp"

namespace linnet::process {
namespace signal_detail {
namespace {

/// Whose RLIMIT_SIGPENDING a signal to `process` counts against: the real user of `only`, or of any living thread.
NullableRefPtr<UserAccount> account_locked(Process& process, Thread* only) {
    if (only) return only->account;
    Thread* any = process.threads.first();
    return any ? any->account : nullptr;
}

/// A standard signal of kill(2) or the kernel takes its details along whatever the limit says (as Linux since 2.6.32).
bool is_above_limit(const abi::siginfo_t& info) { return info.si_signo < abi::SIGRTMIN && info.si_code >= 0; }

/// Of the kernel and with nothing else to tell: needs no record, only a bit.
bool says_kernel_only(const abi::siginfo_t& info) {
    return info.si_signo < abi::SIGRTMIN && info.si_code == abi::SI_KERNEL && info.fault.address == 0;
}

/// Memory for a queued siginfo; none in interrupts, where the signal arrives without its details.
QueuedSignal* make_record(Process& process, Thread* only, const abi::siginfo_t& info) {
    if (says_kernel_only(info) || core::this_cpu().interrupt_depth > 0) return nullptr;
    NullableRefPtr<UserAccount> account = account_locked(process, only);
    if (!account) return nullptr;
    if (account->queued_signals.load(std::memory_order_relaxed) >= process.limits.soft(abi::RLIMIT_SIGPENDING) &&
        !is_above_limit(info))
        return nullptr;
    Thread* self = current_or_null();
    QueuedSignal* record = self ? std::exchange(self->signals.spare, nullptr) : nullptr;
    if (!record) record = new (std::nothrow) QueuedSignal;
    if (record) {
        account->queued_signals.fetch_add(1, std::memory_order_relaxed);
        record->charged_to = std::move(account);
    }
    return record;
}

void free_record(QueuedSignal* record) {
    if (!record->charged_to) return; // its owner keeps it
    record->charged_to->queued_signals.fetch_sub(1, std::memory_order_relaxed);
    Thread* self = current_or_null();
    if (self && !self->signals.spare && core::this_cpu().interrupt_depth == 0) {
        record->charged_to = nullptr;
        self->signals.spare = record;
    } else {
        delete record;
    }
}

/// The lowest signal, but those of faults before all others.
int first_of(u64 candidates) {
    if (candidates & synchronous_signals.bits) candidates &= synchronous_signals.bits;
    return std::countr_zero(candidates) + 1;
}

} // namespace

DefaultAction default_action(int signal) {
    if (signal < abi::SIGRTMIN && stop_signals.has(signal)) return DefaultAction::Stop;
    if (signal < abi::SIGRTMIN && ignored_by_default.has(signal)) return DefaultAction::Ignore;
    if (signal < abi::SIGRTMIN && core_signals.has(signal)) return DefaultAction::Core;
    return DefaultAction::Terminate;
}

void enqueue_prepared_locked(PendingSignals& pending, QueuedSignal& record) {
    pending.queue.push_back(record);
    pending.set.add(record.info.si_signo);
}

Enqueued enqueue_locked(Process& process, Thread* only, const abi::siginfo_t& info) {
    PendingSignals& pending = only ? only->signals.pending : process.signals.pending;
    int signal = info.si_signo;
    bool is_realtime = signal >= abi::SIGRTMIN;
    if (!is_realtime && pending.set.has(signal)) return Enqueued::AlreadyPending;
    QueuedSignal* record = make_record(process, only, info);
    // sigqueue(3) must learn that its data would be lost; kill(2) of a real-time signal arrives without details.
    if (!record && is_realtime && info.si_code != abi::SI_USER && info.si_code != abi::SI_KERNEL)
        return Enqueued::LimitReached;
    if (record) {
        record->info = info;
        pending.queue.push_back(*record);
    } else if (info.si_code == abi::SI_KERNEL) {
        pending.from_kernel.add(signal);
    }
    pending.set.add(signal);
    return Enqueued::Added;
}

Taken dequeue_locked(PendingSignals& pending, SigSet wanted, abi::siginfo_t& out) {
    u64 candidates = pending.set.bits & wanted.bits;
    if (!candidates) return Taken::Nothing;
    int signal = first_of(candidates);
    QueuedSignal* found = nullptr;
    bool more = false;
    for (QueuedSignal& record : pending.queue) {
        if (record.info.si_signo != signal) continue;
        if (found) {
            more = true;
            break;
        }
        found = &record;
    }
    if (!more) pending.set.remove(signal);
    Taken taken = Taken::Signal;
    if (found) {
        if (!found->charged_to) taken = Taken::TimerSignal;
        pending.queue.remove(*found);
        out = found->info;
        free_record(found);
    } else {
        out = {};
        out.si_signo = signal;
        out.si_code = pending.from_kernel.has(signal) ? abi::SI_KERNEL : abi::SI_USER;
    }
    if (!more) pending.from_kernel.remove(signal);
    return taken;
}

Taken dequeue_for_locked(Thread& thread, SigSet wanted, abi::siginfo_t& out) {
    const Taken own = dequeue_locked(thread.signals.pending, wanted, out);
    return own != Taken::Nothing ? own : dequeue_locked(thread.process().signals.pending, wanted, out);
}

void timer_goes_on(Process& process, Taken taken, abi::siginfo_t& info) {
    if (taken == Taken::TimerSignal)
        posix_timer_goes_on(process, info);
    else if (taken == Taken::Signal && info.si_signo == abi::SIGALRM)
        real_timer_goes_on(process);
}

void drop_locked(PendingSignals& pending, SigSet which) {
    pending.set.bits &= ~which.bits;
    pending.from_kernel.bits &= ~which.bits;
    for (QueuedSignal* record = pending.queue.first(); record;) {
        QueuedSignal* following = pending.queue.next(*record);
        if (which.has(record->info.si_signo)) {
            pending.queue.remove(*record);
            free_record(record);
        }
        record = following;
    }
}

void drop_everywhere_locked(Process& process, SigSet which) {
    drop_locked(process.signals.pending, which);
    for (Thread& thread : process.threads) drop_locked(thread.signals.pending, which);
}

bool wants_locked(const Thread& thread, int signal) {
    if (thread.exited.load(std::memory_order_relaxed)) return false;
    return !thread.signals.blocked.has(signal) || thread.signals.waited_for.has(signal);
}

void recalculate_locked(Thread& thread) {
    u64 pending = thread.signals.pending.set.bits | thread.process().signals.pending.set.bits;
    u64 taken = ~thread.signals.blocked.bits | thread.signals.waited_for.bits;
    bool other_work = thread.pending_work.load(std::memory_order_relaxed) & (core::work_stop | core::work_exit);
    if (pending & taken) {
        thread.pending_work.fetch_or(core::work_signal, std::memory_order_relaxed);
        thread.interrupt_pending.store(true, std::memory_order_relaxed);
    } else {
        thread.pending_work.fetch_and(~u32{core::work_signal}, std::memory_order_relaxed);
        thread.interrupt_pending.store(other_work, std::memory_order_relaxed);
    }
}

void block_locked(Thread& thread, SigSet mask) {
    Process& process = thread.process();
    const SigSet newly_blocked{mask.bits & ~thread.signals.blocked.bits};
    thread.signals.blocked = mask.blockable();
    // A process-directed signal chosen for this thread may now have to go to another.
    if (process.signals.pending.set.bits & newly_blocked.bits) offer_to_others_locked(process, thread);
}

void offer_to_others_locked(Process& process, Thread& thread) {
    u64 pending = process.signals.pending.set.bits;
    if (!pending) return;
    for (Thread& other : process.threads) {
        if (&other == &thread || other.exited.load(std::memory_order_relaxed)) continue;
        if (!(pending & ~other.signals.blocked.bits)) continue;
        other.pending_work.fetch_or(core::work_signal, std::memory_order_seq_cst);
        other.interrupt();
    }
}

} // namespace signal_detail

void flush_pending(PendingSignals& pending) { signal_detail::drop_locked(pending, SigSet{~u64{0}}); }

bool has_pending_signal(Thread& thread) {
    core::InterruptSpinGuard guard(thread.process().signal_lock);
    u64 pending = thread.signals.pending.set.bits | thread.process().signals.pending.set.bits;
    return pending & ~thread.signals.blocked.bits;
}

bool take_pending_signal(Thread& thread, SigSet wanted, abi::siginfo_t& out) {
    signal_detail::Taken taken;
    {
        core::InterruptSpinGuard guard(thread.process().signal_lock);
        taken = signal_detail::dequeue_for_locked(thread, wanted, out);
        signal_detail::recalculate_locked(thread);
    }
    signal_detail::timer_goes_on(thread.process(), taken, out);
    return taken != signal_detail::Taken::Nothing;
}

void withdraw_prepared_locked(PendingSignals& pending, QueuedSignal& record) {
    if (!record.node.is_linked()) return;
    pending.queue.remove(record);
    for (QueuedSignal& other : pending.queue)
        if (other.info.si_signo == record.info.si_signo) return;
    pending.set.remove(record.info.si_signo);
}

void inherit_signal_state(SignalState& child, const SignalState& parent) {
    child.blocked = parent.blocked;
    child.alternate_stack = parent.alternate_stack;
}

} // namespace linnet::process
