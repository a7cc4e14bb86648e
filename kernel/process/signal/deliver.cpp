// Delivery at the edge of the loop: which signal, which action, the frame, and the fate of an interrupted call.
//
// No lock is held while a frame is written (SEMANTICS S15). The first signal decides once whether an interrupted call
// is restarted (U6).
#include <abi_arch/syscall_numbers.hpp>
#include <arch/signal_frame.hpp>
#include <mm/address_space.hpp>
#include <process/ptrace.hpp>
#include <process/run_loop.hpp>
#include <process/session.hpp>
#include <process/tracepoints.hpp>

#include "../core_dump.hpp"
#include "queue.hpp"

namespace linnet::process {

using namespace signal_detail;

namespace {

struct Dequeued {
    abi::siginfo_t info;
    SignalAction action;
    SigSet blocked_before; // by the thread, where there is a handler
    bool has_handler() const { return action.handler > abi::SIG_IGN; }
};

/// Blocks what a handler wants blocked while it runs.
void block_for_handler_locked(Thread& thread, Dequeued& signal) {
    SigSet mask{thread.signals.blocked.bits | signal.action.mask.bits};
    if (!(signal.action.flags & abi::SA_NODEFER)) mask.add(signal.info.si_signo);
    signal.blocked_before = thread.signals.blocked;
    block_locked(thread, mask);
}

/// The action of a signal that is about to be acted on. With a handler its mask holds from now on, so that the lock is
/// taken once.
void take_action_locked(Thread& thread, Dequeued& signal) {
    Process& process = thread.process();
    signal.action = process.actions->get(signal.info.si_signo);
    tracepoints::signal_deliver(signal.info, signal.action);
    if (!signal.has_handler()) return;
    block_for_handler_locked(thread, signal);
    if (!(signal.action.flags & abi::SA_RESETHAND)) return;
    SignalAction reset = signal.action;
    reset.handler = abi::SIG_DFL;
    process.actions->set(signal.info.si_signo, reset);
}

/// Takes the next signal to act on, with its action unless a tracer is to be asked first: the thread's own before the
/// process's, faults first, then the lowest number.
bool dequeue_next(Thread& thread, Dequeued& out, bool& must_ask) {
    Process& process = thread.process();
    Taken taken;
    {
        core::InterruptSpinGuard guard(process.signal_lock);
        taken = dequeue_for_locked(thread, SigSet{~thread.signals.blocked.bits}, out.info);
        must_ask = thread.trace.tracer != nullptr;
        if (taken != Taken::Nothing && !must_ask) take_action_locked(thread, out);
        recalculate_locked(thread);
    }
    timer_goes_on(process, taken, out.info);
    return taken != Taken::Nothing;
}

/// The tracer is asked what becomes of a signal that has been dequeued; false: nothing.
bool ask_tracer(Thread& thread, Dequeued& signal) {
    if (!stop_for_signal(thread, signal.info)) return false;
    core::InterruptSpinGuard guard(thread.process().signal_lock);
    take_action_locked(thread, signal);
    recalculate_locked(thread);
    return true;
}

bool is_restart_code(long result) {
    return result <= -static_cast<long>(Errno::RestartIfRequested) && result >= -static_cast<long>(Errno::RestartBlock);
}

/// Whether a call that ended in a restart code is executed again after a handler.
bool is_restarted_after(const SignalAction& action, long result) {
    return result == -static_cast<long>(Errno::RestartAlways) ||
           (result == -static_cast<long>(Errno::RestartIfRequested) && (action.flags & abi::SA_RESTART));
}

/// What becomes of a call that ended in a restart code. Where tracers are to find it set back already, that is done at
/// once; they take it away by moving the pc.
class InterruptedCall {
public:
    explicit InterruptedCall(arch::UserContext& context) : context_(context) {
        if constexpr (arch::UserContext::sets_back_early) {
            if (!ended_in_restart_code()) return;
            result_ = context.syscall_result();
            behind_ = context.pc();
            context.restart_syscall();
            context.mark_not_syscall();
            call_ = context.pc();
        }
    }

    /// No handler runs (any more).
    void go_on() {
        constexpr long by_block = -static_cast<long>(Errno::RestartBlock);
        if (is_set_back()) {
            if (result_ == by_block && context_.pc() == call_) context_.set_next_call(abi::nr::restart_syscall);
        } else if (ended_in_restart_code()) {
            if (context_.syscall_result() == by_block)
                context_.restart_as(abi::nr::restart_syscall);
            else
                context_.restart_syscall();
            context_.mark_not_syscall();
        }
    }

    /// A handler runs first.
    void settle_before(const SignalAction& action) {
        if (is_set_back()) {
            if (!is_restarted_after(action, result_) && context_.pc() == call_) interrupt(behind_);
            result_ = 0;
        } else if (context_.in_syscall()) {
            if (ended_in_restart_code()) {
                if (is_restarted_after(action, context_.syscall_result()))
                    context_.restart_syscall();
                else
                    interrupt(context_.pc());
            }
            context_.mark_not_syscall();
        }
    }

private:
    [[nodiscard]] bool is_set_back() const { return result_ != 0; }
    [[nodiscard]] bool ended_in_restart_code() const {
        return context_.in_syscall() && is_restart_code(context_.syscall_result());
    }
    void interrupt(VirtAddr behind) {
        context_.set_pc(behind);
        context_.set_syscall_result(-static_cast<long>(Errno::EINTR));
    }

    arch::UserContext& context_;
    long result_ = 0; // of a call that was set back
    VirtAddr call_, behind_;
};

bool is_on_alternate_stack(const abi::stack_t& stack, VirtAddr sp) {
    if (stack.ss_flags & abi::SS_AUTODISARM) return false;
    return sp.value > stack.ss_sp && sp.value - stack.ss_sp <= stack.ss_size;
}

/// Builds the frame; the mask has been switched. A stack that can't be written is a fault of the program (S12).
void run_handler(Thread& thread, const Dequeued& signal, InterruptedCall& call) {
    SignalState& state = thread.signals;
    arch::UserContext& context = thread.registers;
    call.settle_before(signal.action);
    if (!try_update_rseq(thread)) [[unlikely]] {
        // A fault of the program's, to which the handler's mask does not apply yet.
        const SigSet during = state.blocked;
        set_blocked_mask(thread, signal.blocked_before);
        force_signal(thread, abi::SIGSEGV, abi::SI_KERNEL, VirtAddr{0});
        set_blocked_mask(thread, during);
    }

    arch::SignalDelivery delivery;
    delivery.signal = signal.info.si_signo;
    delivery.info = &signal.info;
    delivery.handler = VirtAddr{signal.action.handler};
    delivery.action_flags = signal.action.flags;
    delivery.restorer = VirtAddr{signal.action.restorer};
    delivery.vdso_trampoline = thread.own_address_space().layout.signal_trampoline;
    delivery.blocked_mask = state.restore_saved_mask ? state.saved_mask.bits : signal.blocked_before.bits;
    state.restore_saved_mask = false;
    delivery.alternate_stack = state.alternate_stack;
    bool on_alternate =
        state.alternate_stack.ss_size != 0 && is_on_alternate_stack(state.alternate_stack, context.sp());
    if (on_alternate) delivery.alternate_stack.ss_flags |= abi::SS_ONSTACK;
    delivery.stack_top = context.sp();
    if ((signal.action.flags & abi::SA_ONSTACK) && state.alternate_stack.ss_size != 0 && !on_alternate) {
        delivery.stack_top = VirtAddr{state.alternate_stack.ss_sp + state.alternate_stack.ss_size};
        delivery.on_alternate_stack = true;
    }
    if (!arch::push_signal_frame(context, delivery)) {
        set_blocked_mask(thread, signal.blocked_before);
        if (signal.info.si_signo == abi::SIGSEGV) {
            core::InterruptSpinGuard guard(thread.process().signal_lock);
            thread.process().actions->set(abi::SIGSEGV, SignalAction{});
        }
        return force_signal(thread, abi::SIGSEGV, abi::SI_KERNEL, VirtAddr{0});
    }
    if (state.alternate_stack.ss_flags & abi::SS_AUTODISARM)
        state.alternate_stack = {.ss_sp = 0, .ss_flags = abi::SS_DISABLE, .padding = 0, .ss_size = 0};
}

/// The terminal's stop signals don't stop a process that nobody could continue (setpgid(2), orphaned groups).
bool stop_is_allowed(Process& process, int signal) {
    return signal == abi::SIGSTOP || !process.process_group()->is_orphaned();
}

void take_default_action(Thread& thread, const abi::siginfo_t& info) {
    Process& process = thread.process();
    const int signal = info.si_signo;
    switch (default_action(signal)) {
    case DefaultAction::Ignore:
        return;
    case DefaultAction::Stop: {
        if (!stop_is_allowed(process, signal)) return;
        core::InterruptSpinGuard guard(process.signal_lock);
        // A SIGCONT that came after the dequeue has won.
        if (!process.signals.pending.set.has(abi::SIGCONT)) begin_group_stop_locked(process, signal);
        return;
    }
    case DefaultAction::Core:
        if (process.pid() != 1) dump_core(thread, info);
        [[fallthrough]];
    case DefaultAction::Terminate:
        if (process.pid() != 1) begin_group_exit(process, signal);
        return;
    }
}

} // namespace

void set_blocked_mask(Thread& thread, SigSet mask) {
    core::InterruptSpinGuard guard(thread.process().signal_lock);
    block_locked(thread, mask);
    recalculate_locked(thread);
}

void set_temporary_mask(Thread& thread, SigSet mask) {
    thread.signals.saved_mask = thread.signals.blocked;
    thread.signals.restore_saved_mask = true;
    set_blocked_mask(thread, mask);
}

void restore_temporary_mask(Thread& thread) {
    if (!thread.signals.restore_saved_mask) return;
    thread.signals.restore_saved_mask = false;
    set_blocked_mask(thread, thread.signals.saved_mask);
}

void handle_pending_signals(Thread& thread) {
    InterruptedCall call(thread.registers);
    for (;;) {
        u32 work = thread.pending_work.load(std::memory_order_acquire);
        if (work & core::work_exit) return; // the loop's edge ends the thread
        if (work & core::work_stop) {
            participate_in_stop(thread);
            continue;
        }
        Dequeued signal;
        bool is_asked = false;
        if (!dequeue_next(thread, signal, is_asked)) break;
        if (is_asked && !ask_tracer(thread, signal)) continue;
        if (signal.action.handler == abi::SIG_IGN) continue;
        if (signal.action.handler == abi::SIG_DFL)
            take_default_action(thread, signal.info);
        else
            run_handler(thread, signal, call);
        // With the mask of the handler there is mostly nothing more to take.
        if (thread.pending_work.load(std::memory_order_acquire) == 0) break;
    }
    call.go_on();
    restore_temporary_mask(thread);
}

} // namespace linnet::process
