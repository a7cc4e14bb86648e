// Signals as the rest of the kernel sees them (signal(7), SEMANTICS S1–S17): sets, actions, what is pending, sending.
//
// Process::signal_lock guards what is pending for a process and for each of its threads, and the blocked masks as read by
// others; SignalActions has a lock of its own, below it.
#pragma once

#include <abi/linux/signal.hpp>
#include <core/spinlock.hpp>
#include <lib/address.hpp>
#include <lib/intrusive_list.hpp>
#include <lib/ref_ptr.hpp>
#include <lib/result.hpp>

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
    /// Sets and returns the old one.
    SignalAction set(int signal, const SignalAction& action);

private:
    core::InterruptSpinLock lock_;
    SignalAction actions_[abi::signal_count];
};

struct QueuedSignal {
    ListNode node;
    abi::siginfo_t info;
    u32 uid = 0; // whose RLIMIT_SIGPENDING it counts against
};

/// What is pending, with siginfo where there was memory for it.
struct PendingSignals {
    SigSet set;
    IntrusiveList<QueuedSignal, &QueuedSignal::node> queue;
};

/// A thread's part.
struct SignalState {
    SigSet blocked;
    SigSet saved_mask; // to be restored once a handler has been set up (sigsuspend, pselect, ppoll)
    bool restore_saved_mask = false;
    PendingSignals pending;
    abi::stack_t alternate_stack{.ss_sp = 0, .ss_flags = abi::SS_DISABLE, .padding = 0, .ss_size = 0};
};

/// A process's part.
struct SharedSignals {
    PendingSignals pending;
};

/// Sends to a process (any thread may take it), one thread, or every member of a group. Any context; tree_lock may be
/// held. Permission is the caller's business.
void send_signal(Process& process, const abi::siginfo_t& info);
void send_signal(Thread& thread, const abi::siginfo_t& info);
void send_signal(ProcessGroup& group, const abi::siginfo_t& info);
/// The kernel's own signals: SI_KERNEL without sender.
void send_kernel_signal(Process& process, int signal);
void send_kernel_signal(ProcessGroup& group, int signal);
/// A synchronous fault of the current thread: when blocked or ignored, the default action is taken (U5).
void force_signal(Thread& thread, int signal, int code, VirtAddr address);

/// Before user code runs: takes stop and exit requests, delivers signals, and settles a call that ended in a restart code.
/// Does not return when the process dies.
void handle_pending_signals(Thread& thread);

/// Whether a signal that `thread` would take is pending.
bool has_pending_signal(Thread& thread);

// ---- for fork, exec and exit ----
/// The child's mask and (unless it shares the memory without vfork) alternate stack; nothing pending.
void inherit_signal_state(SignalState& child, const SignalState& parent);
/// Drops what is pending. No locks held; nobody else sends any more, or Process::signal_lock held.
void flush_pending(PendingSignals& pending);

} // namespace linnet::process
