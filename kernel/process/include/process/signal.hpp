// Signals as the rest of the kernel sees them (signal(7), SEMANTICS S1–S17): sets, actions, what is pending, sending.
//
// Process::signal_lock guards what is pending for a process and for each of its threads, and the blocked masks as read
// by others; SignalActions has a lock of its own, below it.
#pragma once

#include <abi/linux/signal.hpp>
#include <atomic>
#include <core/spinlock.hpp>
#include <core/wait_queue.hpp>
#include <lib/address.hpp>
#include <lib/intrusive_list.hpp>
#include <lib/ref_ptr.hpp>
#include <lib/result.hpp>
#include <mm/usercopy.hpp>
#include <process/user_account.hpp>
#include <vfs/event_source.hpp>

namespace linnet::process {

class Thread;
class Process;
class ProcessGroup;

/// A set of signals; bit n-1 is signal n, as in the ABI.
struct SigSet {
    u64 bits = 0;
    static constexpr u64 bit(int signal) { return u64{1} << (signal - 1); }
    [[nodiscard]] constexpr bool has(int signal) const { return bits & bit(signal); }
    constexpr void add(int signal) { bits |= bit(signal); }
    constexpr void remove(int signal) { bits &= ~bit(signal); }
    /// The set without SIGKILL and SIGSTOP, which nothing can block.
    [[nodiscard]] constexpr SigSet blockable() const { return {bits & ~(bit(abi::SIGKILL) | bit(abi::SIGSTOP))}; }
    [[nodiscard]] constexpr bool is_empty() const { return bits == 0; }
    constexpr bool operator==(const SigSet&) const = default;
};

struct SignalAction {
    u64 handler = abi::SIG_DFL;
    u64 flags = 0;
    u64 restorer = 0;
    SigSet mask;
};

/// The 64 actions of a process; shared by CLONE_SIGHAND.
class SignalActions : public RefCounted<SignalActions> {
public:
    /// All default.
    static Result<RefPtr<SignalActions>> create();
    /// A copy for a child without CLONE_SIGHAND.
    Result<RefPtr<SignalActions>> copy();
    /// execve, CLONE_CLEAR_SIGHAND: handlers become default; what was ignored stays ignored.
    void reset_handlers();
    SignalAction get(int signal);
    /// The handler alone, without the lock: SIG_DFL, SIG_IGN or an address.
    u64 handler_of(int signal) {
        return has_slot(signal) ? std::atomic_ref(actions_[slot_of(signal)].handler).load(std::memory_order_relaxed)
                                : abi::SIG_DFL;
    }
    void set(int signal, SignalAction action) { exchange(signal, action); }
    /// Sets the action; `action` becomes the old one.
    void exchange(int signal, SignalAction& action);

private:
    /// Where a signal's action is; nothing catches SIGKILL and SIGSTOP, so they have none. Without the two an object
    /// fits into 2 KiB.
    static constexpr int slot_count = abi::signal_count - 2;
    static constexpr int slot_of(int signal) {
        return signal - 1 - (signal > abi::SIGKILL ? 1 : 0) - (signal > abi::SIGSTOP ? 1 : 0);
    }
    static constexpr bool has_slot(int signal) { return signal != abi::SIGKILL && signal != abi::SIGSTOP; }

    core::InterruptSpinLock lock_;
    SignalAction actions_[slot_count];
};

struct QueuedSignal {
    ListNode node;
    abi::siginfo_t info;
    NullableRefPtr<UserAccount> charged_to; // against RLIMIT_SIGPENDING; null: not of the heap
};

/// What is pending, with siginfo where there was memory for it.
struct PendingSignals {
    SigSet set;
    SigSet from_kernel; // of those without a record: sent by the kernel (SI_KERNEL), not by kill(2)
    IntrusiveList<QueuedSignal, &QueuedSignal::node> queue;
};

/// A thread's part.
struct SignalState {
    SignalState() = default;
    SignalState(const SignalState&) = delete;
    SignalState& operator=(const SignalState&) = delete;
    ~SignalState() { delete spare; }

    SigSet blocked;
    SigSet waited_for; // sigtimedwait: taken by the waiter although blocked
    SigSet saved_mask; // to be restored once a handler has been set up (sigsuspend, pselect, ppoll)
    bool restore_saved_mask = false;
    bool must_join_stop = false; // counted in threads_to_stop
    PendingSignals pending;
    QueuedSignal* spare = nullptr; // of the thread's own: the last that it took from a queue, for the next it sends
    abi::stack_t alternate_stack{.ss_sp = 0, .ss_flags = abi::SS_DISABLE, .padding = 0, .ss_size = 0};
};

/// A process's part.
struct SharedSignals {
    PendingSignals pending;
    bool stop_requested = false;      // a group stop began: threads stop as they reach their loop's edge
    bool continue_unreported = false; // the parent is to be told that a stop ended
    u32 threads_to_stop = 0;          // living threads that have not stopped yet
    vfs::EventSource arrivals;        // notified of every signal that becomes pending (signalfd)
};

/// Sends to a process (any thread may take it), one thread, or every member of a group. Any context; tree_lock may be
/// held. Permission is the caller's business.
void send_signal(Process& process, const abi::siginfo_t& info);
void send_signal(Thread& thread, const abi::siginfo_t& info);
void send_signal(ProcessGroup& group, const abi::siginfo_t& info);
/// The kernel's own signals: SI_KERNEL without sender.
void send_kernel_signal(Thread& thread, int signal);
void send_kernel_signal(Process& process, int signal);
void send_kernel_signal(ProcessGroup& group, int signal);
/// A synchronous fault of the current thread: when blocked or ignored, the default action is taken (U5).
void force_signal(Thread& thread, int signal, int code, VirtAddr address);
/// What a failed system call sends when the caller gave a signal number: EINVAL outside 0 … 64.
Result<void> check_signal_number(int signal);
/// siginfo from user space and to it. `signal` 0: it names its own, else the one it is sent as. EFAULT, and E2BIG when
/// there is something in it that has no meaning (as Linux).
Result<abi::siginfo_t> read_signal_info(mm::UserPtr<mm::In, abi::user_siginfo_t> from, int signal);
Result<void> write_signal_info(mm::UserPtr<mm::Out, abi::user_siginfo_t> to, const abi::siginfo_t& info);
/// siginfo of kill(2) and tkill(2): the current process as sender.
abi::siginfo_t user_signal_info(int signal, int code);
/// The same as send_signal, telling EAGAIN when a real-time signal can't be queued (sigqueue(3)).
Result<void> try_send_signal(Process& process, const abi::siginfo_t& info);
Result<void> try_send_signal(Thread& thread, const abi::siginfo_t& info);
/// Queues `record`, which its owner keeps (a POSIX timer: its signals must not be lost for want of memory) and which is
/// not queued now. `thread` null: to the process. Any context.
/// False: it is not pending now, because it is ignored or its target dies.
bool send_prepared_signal(Process& process, Thread* thread, QueuedSignal& record);
/// Whether one more `signal` for the whole process would change nothing: one is pending, or it is ignored.
bool is_pending_or_ignored(Process& process, int signal);
/// Takes such a record out of wherever it is pending. signal_lock held.
void withdraw_prepared_locked(PendingSignals& pending, QueuedSignal& record);
/// Whether the current thread may send `signal` to `target` (kill(2)): EPERM.
Result<void> check_kill_permission(Process& target, int signal);

/// Takes a pending signal of `wanted` away (sigtimedwait, signalfd), blocked or not: the thread's own before the
/// process's. False when there is none. No locks held.
bool take_pending_signal(Thread& thread, SigSet wanted, abi::siginfo_t& out);
/// Replaces the current thread's mask; SIGKILL and SIGSTOP stay unblocked.
void set_blocked_mask(Thread& thread, SigSet mask);
/// Installs `mask` until the call ends; the old one returns after a handler has been set up, or at once without one
/// (sigsuspend, ppoll, pselect, epoll_pwait). Call restore_temporary_mask when the call ends without a signal.
void set_temporary_mask(Thread& thread, SigSet mask);
void restore_temporary_mask(Thread& thread);
/// Changes an action (sigaction(2)) and drops pending signals that are now ignored; `action` becomes the
/// old one.
void change_action(Thread& thread, int signal, SignalAction& action);
/// A thread leaves its process (exit): group stops don't wait for it, and process-directed signals it would have taken
/// go to others. signal_lock held.
void forget_thread_locked(Process& process, Thread& thread);

/// Before user code runs: takes stop and exit requests, delivers signals, and settles a call that ended in a restart
/// code. Does not return when the process dies.
void handle_pending_signals(Thread& thread);

/// Whether a signal that `thread` would take is pending.
bool has_pending_signal(Thread& thread);

// ---- for fork, exec and exit ----
/// The child's mask and (unless it shares the memory without vfork) alternate stack; nothing pending.
void inherit_signal_state(SignalState& child, const SignalState& parent);
/// Drops what is pending. No locks held; nobody else sends any more, or Process::signal_lock held.
void flush_pending(PendingSignals& pending);

} // namespace linnet::process
