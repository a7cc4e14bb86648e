// ptrace(2): the requests. All but the first few want a tracee of the caller's that is in a ptrace-stop; ESRCH says
// that there is none. A stopped tracee can still be killed at any time: what hangs on its kernel stack is touched under
// signal_lock only.
#include <abi/linux/errno.hpp>
#include <mm/address_space.hpp>
#include <mm/usercopy.hpp>

#include "../internal.hpp"
#include "../signal/queue.hpp"
#include "call_info.hpp"
#include "registers.hpp"
#include "relation.hpp"
#include <arch/tracing.hpp>

namespace linnet::process {

using namespace ptrace_detail;

namespace {

using namespace abi;

constexpr u32 known_options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
                              PTRACE_O_TRACEEXEC | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXIT |
                              PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL;

enum class Needed : u8 { Stopped, Any };

Result<void> check_tracee_locked(Thread& caller, Thread& tracee, Needed needed) {
    const TraceState& trace = tracee.trace;
    if (trace.tracer != &caller) return error(Errno::ESRCH);
    if (needed == Needed::Stopped && (!trace.is_stopped || trace.is_listening)) return error(Errno::ESRCH);
    return {};
}

Result<void> check_tracee(Thread& caller, Thread& tracee, Needed needed) {
    core::InterruptSpinGuard guard(tracee.process().signal_lock);
    return check_tracee_locked(caller, tracee, needed);
}

// ---- beginnings and ends ----

Result<long> seize_or_attach(Thread& caller, Thread& target, long request, u64 address, u64 options) {
    const bool is_seized = request == PTRACE_SEIZE;
    if (is_seized && (address != 0 || (options & ~u64{known_options}))) return error(Errno::EIO);
    TRY(attach(caller, target, is_seized, is_seized ? static_cast<u32>(options) : 0));
    return 0;
}

/// How long the tracee goes on by this request; false: it is no such request.
bool is_resumption(long request, TraceUntil& until) {
    if (request == PTRACE_CONT) return until = TraceUntil::NextStop, true;
    if (request == PTRACE_SYSCALL) return until = TraceUntil::Call, true;
    if (request == PTRACE_SINGLESTEP) return until = TraceUntil::Step, true;
    if (request != 0 && request == arch::emulate_request) return until = TraceUntil::EmulatedCall, true;
    if (request != 0 && request == arch::emulate_step_request) return until = TraceUntil::EmulatedCallOrStep, true;
    return false;
}

Result<long> resume(Thread& caller, Thread& tracee, TraceUntil until, u64 signal) {
    if (signal > signal_count) return error(Errno::EIO);
    const bool steps = until == TraceUntil::Step || until == TraceUntil::EmulatedCallOrStep;
    if (steps && !arch::can_single_step) return error(Errno::EIO);
    core::InterruptSpinGuard guard(tracee.process().signal_lock);
    TRY(check_tracee_locked(caller, tracee, Needed::Stopped));
    change_signal_locked(caller, tracee, static_cast<int>(signal));
    tracee.trace.until = until;
    tracee.registers.set_single_step(steps);
    end_trace_stop_locked(tracee);
    return 0;
}

Result<long> interrupt(Thread& caller, Thread& tracee) {
    core::InterruptSpinGuard guard(tracee.process().signal_lock);
    TRY(check_tracee_locked(caller, tracee, Needed::Any));
    if (!tracee.trace.is_seized) return error(Errno::EIO);
    if (tracee.is_dead()) return error(Errno::ESRCH);
    tracee.trace.must_trap = true;
    tracee.pending_work.fetch_or(core::work_stop, std::memory_order_seq_cst);
    if (tracee.trace.is_listening)
        end_trace_stop_locked(tracee);
    else
        tracee.interrupt();
    return 0;
}

Result<long> listen(Thread& caller, Thread& tracee) {
    core::InterruptSpinGuard guard(tracee.process().signal_lock);
    TRY(check_tracee_locked(caller, tracee, Needed::Stopped));
    TraceState& trace = tracee.trace;
    if (!trace.is_seized || trace.stop != TraceStop::Group) return error(Errno::EIO);
    // What happened since the stop is told at once.
    if (trace.must_trap)
        end_trace_stop_locked(tracee);
    else
        trace.is_listening = true;
    return 0;
}

// ---- memory ----

Result<long> peek(Thread& tracee, u64 address, u64 result) {
    NullableRefPtr<mm::AddressSpace> space = tracee.address_space();
    u64 word;
    if (!space) return error(Errno::EIO);
    Result<usize> count =
        space->read_memory(VirtAddr{address}, {reinterpret_cast<u8*>(&word), sizeof word}, mm::ForeignAccess::Forced);
    if (!count || *count != sizeof word) return error(Errno::EIO);
    TRY((mm::UserPtr<mm::Out, u64>(VirtAddr{result}).copy_out(word)));
    return 0;
}

Result<long> poke(Thread& tracee, u64 address, u64 word) {
    NullableRefPtr<mm::AddressSpace> space = tracee.address_space();
    if (!space) return error(Errno::EIO);
    Result<usize> count = space->write_memory(VirtAddr{address}, {reinterpret_cast<const u8*>(&word), sizeof word},
                                              mm::ForeignAccess::Forced);
    if (!count || *count != sizeof word) return error(Errno::EIO);
    return 0;
}

// ---- the stop and its signal ----

Result<long> set_options(Thread& caller, Thread& tracee, u64 options) {
    if (options & ~u64{known_options}) return error(Errno::EINVAL);
    core::InterruptSpinGuard tree(tree_lock);
    core::InterruptSpinGuard guard(tracee.process().signal_lock);
    TRY(check_tracee_locked(caller, tracee, Needed::Stopped));
    tracee.trace.options = static_cast<u32>(options);
    return 0;
}

Result<long> get_message(Thread& tracee, u64 result) {
    TRY((mm::UserPtr<mm::Out, u64>(VirtAddr{result}).copy_out(tracee.trace.message)));
    return 0;
}

Result<long> get_signal_info(Thread& caller, Thread& tracee, u64 result) {
    siginfo_t info;
    {
        core::InterruptSpinGuard guard(tracee.process().signal_lock);
        TRY(check_tracee_locked(caller, tracee, Needed::Stopped));
        if (!tracee.trace.info) return error(Errno::EINVAL);
        info = *tracee.trace.info;
    }
    TRY(write_signal_info(mm::UserPtr<mm::Out, user_siginfo_t>(VirtAddr{result}), info));
    return 0;
}

Result<long> set_signal_info(Thread& caller, Thread& tracee, u64 source) {
    const siginfo_t info = TRY(read_signal_info(mm::UserPtr<mm::In, user_siginfo_t>(VirtAddr{source}), 0));
    core::InterruptSpinGuard guard(tracee.process().signal_lock);
    TRY(check_tracee_locked(caller, tracee, Needed::Stopped));
    if (!tracee.trace.info) return error(Errno::EINVAL);
    *tracee.trace.info = info;
    return 0;
}

Result<long> get_signal_mask(Thread& tracee, u64 size, u64 result) {
    if (size != sizeof(u64)) return error(Errno::EINVAL);
    const SignalState& signals = tracee.signals;
    const u64 mask = signals.restore_saved_mask ? signals.saved_mask.bits : signals.blocked.bits;
    TRY((mm::UserPtr<mm::Out, u64>(VirtAddr{result}).copy_out(mask)));
    return 0;
}

Result<long> set_signal_mask(Thread& caller, Thread& tracee, u64 size, u64 source) {
    if (size != sizeof(u64)) return error(Errno::EINVAL);
    const u64 mask = TRY((mm::UserPtr<mm::In, u64>(VirtAddr{source}).copy_in()));
    core::InterruptSpinGuard guard(tracee.process().signal_lock);
    TRY(check_tracee_locked(caller, tracee, Needed::Stopped));
    tracee.signals.blocked = SigSet{mask}.blockable();
    tracee.signals.restore_saved_mask = false;
    signal_detail::recalculate_locked(tracee);
    return 0;
}

/// The n-th pending signal that has a record; false when there are not so many.
bool find_pending(Thread& tracee, bool is_shared, u64 n, siginfo_t& out) {
    core::InterruptSpinGuard guard(tracee.process().signal_lock);
    PendingSignals& pending = is_shared ? tracee.process().signals.pending : tracee.signals.pending;
    for (QueuedSignal& record : pending.queue)
        if (n-- == 0) return out = record.info, true;
    return false;
}

Result<long> peek_signals(Thread& tracee, u64 source, u64 result) {
    const auto wanted = TRY((mm::UserPtr<mm::In, ptrace_peeksiginfo_args>(VirtAddr{source}).copy_in()));
    if ((wanted.flags & ~PTRACE_PEEKSIGINFO_SHARED) || wanted.nr < 0) return error(Errno::EINVAL);
    mm::UserPtr<mm::Out, user_siginfo_t> to(VirtAddr{result});
    long done = 0;
    for (siginfo_t info; done < wanted.nr; ++done) {
        const u64 place = wanted.off + static_cast<u64>(done);
        if (place < wanted.off || !find_pending(tracee, wanted.flags & PTRACE_PEEKSIGINFO_SHARED, place, info)) break;
        if (Result<void> copied = write_signal_info(to.element(static_cast<usize>(done)), info); !copied) {
            if (done == 0) return error(copied.error());
            break;
        }
    }
    return done;
}

Result<long> get_rseq_configuration(Thread& tracee, u64 room, u64 result) {
    const RseqArea& area = tracee.rseq;
    const ptrace_rseq_configuration configuration = {.rseq_abi_pointer = area.address.value,
                                                     .rseq_abi_size = area.size,
                                                     .signature = area.signature,
                                                     .flags = 0,
                                                     .padding = 0};
    TRY(mm::copy_to_user(VirtAddr{result}, &configuration, std::min<u64>(room, sizeof configuration)));
    return sizeof configuration;
}

/// What is asked of a tracee that is stopped, and stays so.
Result<long> ask(Thread& caller, Thread& tracee, long request, u64 address, u64 data) {
    switch (request) {
    case PTRACE_PEEKTEXT:
    case PTRACE_PEEKDATA:
        return peek(tracee, address, data);
    case PTRACE_POKETEXT:
    case PTRACE_POKEDATA:
        return poke(tracee, address, data);
    case PTRACE_SETOPTIONS:
        return set_options(caller, tracee, data);
    case PTRACE_GETEVENTMSG:
        return get_message(tracee, data);
    case PTRACE_GETSIGINFO:
        return get_signal_info(caller, tracee, data);
    case PTRACE_SETSIGINFO:
        return set_signal_info(caller, tracee, data);
    case PTRACE_GETSIGMASK:
        return get_signal_mask(tracee, address, data);
    case PTRACE_SETSIGMASK:
        return set_signal_mask(caller, tracee, address, data);
    case PTRACE_PEEKSIGINFO:
        return peek_signals(tracee, address, data);
    case PTRACE_GET_SYSCALL_INFO:
        return get_call_info(tracee, address, data);
    case PTRACE_SET_SYSCALL_INFO:
        return set_call_info(tracee, address, data);
    case PTRACE_GET_RSEQ_CONFIGURATION:
        return get_rseq_configuration(tracee, address, data);
    default:
        return ask_for_registers(tracee, request, address, data);
    }
}

} // namespace

Result<long> ptrace(Thread& caller, long request, Pid tid, u64 address, u64 data) {
    if (request == PTRACE_TRACEME) {
        TRY(trace_me(caller));
        return 0;
    }
    NullableRefPtr<Thread> target = find_thread(tid);
    if (!target) return error(Errno::ESRCH);
    if (request == PTRACE_ATTACH || request == PTRACE_SEIZE)
        return seize_or_attach(caller, *target, request, address, data);
    if (request == PTRACE_INTERRUPT) return interrupt(caller, *target);
    if (request == PTRACE_KILL) {
        TRY(check_tracee(caller, *target, Needed::Any));
        send_kernel_signal(*target, SIGKILL);
        return 0;
    }
    TRY(check_tracee(caller, *target, Needed::Stopped));
    if (request == PTRACE_LISTEN) return listen(caller, *target);
    if (request == PTRACE_DETACH) {
        if (data > signal_count) return error(Errno::EIO);
        TRY(detach(caller, *target, static_cast<int>(data)));
        return 0;
    }
    TraceUntil until;
    if (is_resumption(request, until)) return resume(caller, *target, until, data);
    return ask(caller, *target, request, address, data);
}

} // namespace linnet::process
