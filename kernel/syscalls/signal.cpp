// Signal calls. The mechanism is process/signal; here are the argument rules of the man pages.
#include <abi_arch/sigaction.hpp>
#include <arch/signal_frame.hpp>
#include <core/sched.hpp>
#include <process/session.hpp>
#include <syscalls/signal.hpp>

namespace linnet::syscalls {
namespace {

using process::Process;
using process::ProcessGroup;
using process::SignalAction;
using process::Thread;

Result<void> check_set_size(u64 size) {
    if (size != sizeof(SigSet)) return error(Errno::EINVAL);
    return {};
}

Result<void> signal_process(Process& target, int signal, const abi::siginfo_t& info) {
    TRY(process::check_kill_permission(target, signal));
    if (signal == 0) return {};
    return process::try_send_signal(target, info);
}

/// kill(2) with a group: success when at least one member could be signalled.
Result<long> signal_group(ProcessGroup& group, int signal, const abi::siginfo_t& info) {
    Result<long> result = error(Errno::ESRCH);
    // Collected first: permission checks look at credentials, which must not happen under tree_lock.
    ArrayList<RefPtr<Process>> members;
    Result<void> room = {};
    usize expected = 0;
    group.for_each_member([&](Process&) { ++expected; });
    TRY(members.try_reserve(expected));
    group.for_each_member([&](Process& member) {
        if (members.size() < expected) room = members.try_push(RefPtr<Process>(member));
    });
    TRY(std::move(room));
    for (RefPtr<Process>& member : members) {
        Result<void> sent = signal_process(*member, signal, info);
        if (sent)
            result = 0;
        else if (!result && result.error() == Errno::ESRCH)
            result = error(sent.error());
    }
    return result;
}

/// kill(-1): everybody but PID 1 and oneself.
Result<long> signal_everybody(Thread& thread, int signal, const abi::siginfo_t& info) {
    Result<long> result = error(Errno::ESRCH);
    process::Pid from = 2;
    while (NullableRefPtr<Process> target = process::next_process(from)) {
        from = target->pid() + 1;
        if (target.get() == &thread.process()) continue;
        Result<void> sent = signal_process(*target, signal, info);
        if (sent)
            result = 0;
        else if (!result && result.error() == Errno::ESRCH)
            result = error(sent.error());
    }
    return result;
}

Result<long> signal_thread(int tgid, int tid, int signal, const abi::siginfo_t& info) {
    NullableRefPtr<Thread> target = process::find_thread(tid);
    if (!target || target->is_dead() || (tgid > 0 && target->process().pid() != tgid)) return error(Errno::ESRCH);
    TRY(process::check_kill_permission(target->process(), signal));
    if (signal != 0) TRY(process::try_send_signal(*target, info));
    return 0;
}

/// siginfo given by user space: it must not pose as the kernel's or as kill(2)'s when sent to others
/// (rt_sigqueueinfo(2)).
Result<abi::siginfo_t> read_queued_info(Thread& thread, int target, int signal,
                                        mm::UserPtr<mm::In, abi::user_siginfo_t> pointer) {
    const abi::siginfo_t info = TRY(process::read_signal_info(pointer, signal));
    bool impersonates = info.si_code >= 0 || info.si_code == abi::SI_TKILL;
    if (impersonates && target != thread.process().pid()) return error(Errno::EPERM);
    return info;
}

struct UserActionWithRestorer {
    u64 handler, flags, restorer;
    SigSet mask;
};
struct UserActionPlain {
    u64 handler, flags;
    SigSet mask;
};

Result<SignalAction> read_action(VirtAddr address) {
    if constexpr (abi::sigaction_has_restorer) {
        auto raw = TRY((mm::UserPtr<mm::In, UserActionWithRestorer>(address).copy_in()));
        return SignalAction{raw.handler, raw.flags, raw.restorer, raw.mask.blockable()};
    } else {
        auto raw = TRY((mm::UserPtr<mm::In, UserActionPlain>(address).copy_in()));
        return SignalAction{raw.handler, raw.flags, 0, raw.mask.blockable()};
    }
}

Result<void> write_action(VirtAddr address, const SignalAction& action) {
    if constexpr (abi::sigaction_has_restorer)
        return mm::UserPtr<mm::Out, UserActionWithRestorer>(address).copy_out(
            {action.handler, action.flags, action.restorer, action.mask});
    else
        return mm::UserPtr<mm::Out, UserActionPlain>(address).copy_out({action.handler, action.flags, action.mask});
}

constexpr u64 known_action_flags = abi::SA_NOCLDSTOP | abi::SA_NOCLDWAIT | abi::SA_SIGINFO | abi::SA_EXPOSE_TAGBITS |
                                   abi::SA_RESTORER | abi::SA_ONSTACK | abi::SA_RESTART | abi::SA_NODEFER |
                                   abi::SA_RESETHAND;

bool is_on_alternate_stack(const Thread& thread) {
    const abi::stack_t& stack = thread.signals.alternate_stack;
    u64 sp = thread.registers.sp().value;
    return !(stack.ss_flags & abi::SS_AUTODISARM) && stack.ss_size != 0 && sp > stack.ss_sp &&
           sp - stack.ss_sp <= stack.ss_size;
}

/// sigaltstack(2)'s checks; `current_size_minimum` is MINSIGSTKSZ as this CPU needs it.
Result<void> set_alternate_stack(Thread& thread, const abi::stack_t& fresh) {
    if (is_on_alternate_stack(thread)) return error(Errno::EPERM);
    int mode = fresh.ss_flags & ~abi::SS_AUTODISARM;
    if (mode != 0 && mode != abi::SS_ONSTACK && mode != abi::SS_DISABLE) return error(Errno::EINVAL);
    if (mode == abi::SS_DISABLE) {
        thread.signals.alternate_stack = {.ss_sp = 0, .ss_flags = fresh.ss_flags, .padding = 0, .ss_size = 0};
        return {};
    }
    constexpr u64 minimum_size = 2048; // MINSIGSTKSZ of the generic ABI; the frame itself is checked when it is written
    if (fresh.ss_size < minimum_size) return error(Errno::ENOMEM);
    thread.signals.alternate_stack = fresh;
    return {};
}

} // namespace

Result<long> sys_kill(Thread& thread, int pid, int signal) {
    TRY(process::check_signal_number(signal));
    abi::siginfo_t info = process::user_signal_info(signal, abi::SI_USER);
    if (pid > 0) {
        NullableRefPtr<Process> target = process::find_process(pid);
        if (!target) return error(Errno::ESRCH);
        TRY(signal_process(*target, signal, info));
        return 0;
    }
    if (pid == -1) return signal_everybody(thread, signal, info);
    if (pid == 0) return signal_group(*thread.process().process_group(), signal, info);
    if (pid == INT32_MIN) return error(Errno::ESRCH);
    NullableRefPtr<ProcessGroup> group = process::find_group(-pid);
    if (!group) return error(Errno::ESRCH);
    return signal_group(*group, signal, info);
}

Result<long> sys_tkill(Thread&, int tid, int signal) {
    if (tid <= 0) return error(Errno::EINVAL);
    TRY(process::check_signal_number(signal));
    return signal_thread(0, tid, signal, process::user_signal_info(signal, abi::SI_TKILL));
}

Result<long> sys_tgkill(Thread&, int tgid, int tid, int signal) {
    if (tgid <= 0 || tid <= 0) return error(Errno::EINVAL);
    TRY(process::check_signal_number(signal));
    return signal_thread(tgid, tid, signal, process::user_signal_info(signal, abi::SI_TKILL));
}

Result<long> sys_rt_sigqueueinfo(Thread& thread, int pid, int signal,
                                 mm::UserPtr<mm::In, abi::user_siginfo_t> pointer) {
    abi::siginfo_t info = TRY(read_queued_info(thread, pid, signal, pointer));
    TRY(process::check_signal_number(signal));
    NullableRefPtr<Process> target = process::find_process(pid);
    if (!target) return error(Errno::ESRCH);
    TRY(signal_process(*target, signal, info));
    return 0;
}

Result<long> sys_rt_tgsigqueueinfo(Thread& thread, int tgid, int tid, int signal,
                                   mm::UserPtr<mm::In, abi::user_siginfo_t> pointer) {
    if (tgid <= 0 || tid <= 0) return error(Errno::EINVAL);
    abi::siginfo_t info = TRY(read_queued_info(thread, tgid, signal, pointer));
    TRY(process::check_signal_number(signal));
    return signal_thread(tgid, tid, signal, info);
}

Result<long> sys_rt_sigaction(Thread& thread, int signal, VirtAddr fresh, VirtAddr old, u64 set_size) {
    TRY(check_set_size(set_size));
    if (signal < 1 || signal > abi::signal_count) return error(Errno::EINVAL);
    if (!fresh.value) {
        if (old.value) TRY(write_action(old, thread.process().actions->get(signal)));
        return 0;
    }
    SignalAction action = TRY(read_action(fresh));
    if (signal == abi::SIGKILL || signal == abi::SIGSTOP) return error(Errno::EINVAL);
    action.flags &= known_action_flags;
    process::change_action(thread, signal, action); // which becomes the old one
    if (old.value) TRY(write_action(old, action));
    return 0;
}

Result<long> sys_rt_sigprocmask(Thread& thread, int how, SigSetIn fresh, SigSetOut old, u64 set_size) {
    TRY(check_set_size(set_size));
    SigSet before = thread.signals.blocked;
    if (fresh) {
        SigSet set = TRY(fresh.copy_in());
        switch (how) {
        case abi::SIG_BLOCK:
            set.bits |= before.bits;
            break;
        case abi::SIG_UNBLOCK:
            set.bits = before.bits & ~set.bits;
            break;
        case abi::SIG_SETMASK:
            break;
        default:
            return error(Errno::EINVAL);
        }
        process::set_blocked_mask(thread, set);
    }
    if (old) TRY(old.copy_out(before));
    return 0;
}

Result<long> sys_rt_sigpending(Thread& thread, SigSetOut set, u64 set_size) {
    if (set_size > sizeof(SigSet)) return error(Errno::EINVAL);
    SigSet pending;
    {
        core::InterruptSpinGuard guard(thread.process().signal_lock);
        pending.bits =
            (thread.signals.pending.set.bits | thread.process().signals.pending.set.bits) & thread.signals.blocked.bits;
    }
    TRY(mm::copy_to_user(set.address(), &pending, set_size));
    return 0;
}

Result<long> sys_rt_sigsuspend(Thread& thread, SigSetIn mask, u64 set_size) {
    TRY(check_set_size(set_size));
    process::set_temporary_mask(thread, TRY(mask.copy_in()));
    return sys_pause(thread);
}

Result<long> sys_pause(Thread&) {
    core::WaitQueue nobody;
    // Only a signal ends this wait.
    (void)core::wait_until(nobody, core::Sleep::Interruptible, core::Deadline::never(), [] { return false; });
    return error(Errno::RestartNoHandler);
}

Result<long> sys_rt_sigtimedwait(Thread& thread, SigSetIn wanted, mm::UserPtr<mm::Out, abi::user_siginfo_t> info,
                                 mm::UserPtr<mm::In, abi::timespec> timeout, u64 set_size) {
    TRY(check_set_size(set_size));
    SigSet set = TRY(wanted.copy_in()).blockable();
    core::Deadline deadline = core::Deadline::never();
    if (timeout) {
        abi::timespec time = TRY(timeout.copy_in());
        if (time.tv_sec < 0 || time.tv_nsec < 0 || time.tv_nsec >= static_cast<i64>(core::ns_per_second))
            return error(Errno::EINVAL);
        u64 seconds = static_cast<u64>(time.tv_sec);
        constexpr u64 forever = u64{1} << 33;
        if (seconds < forever)
            deadline = core::Deadline::after(seconds * core::ns_per_second + static_cast<u64>(time.tv_nsec));
    }
    {
        core::InterruptSpinGuard guard(thread.process().signal_lock);
        thread.signals.waited_for = set;
    }
    core::WaitQueue nobody;
    abi::siginfo_t found{};
    core::WaitResult result = core::wait_until(nobody, core::Sleep::Interruptible, deadline,
                                               [&] { return process::take_pending_signal(thread, set, found); });
    {
        core::InterruptSpinGuard guard(thread.process().signal_lock);
        thread.signals.waited_for = {};
    }
    // Once more with the mask as it was: it also settles which work is left for the loop's edge.
    if (result != core::WaitResult::Ready && process::take_pending_signal(thread, set, found))
        result = core::WaitResult::Ready;
    if (result == core::WaitResult::TimedOut) return error(Errno::EAGAIN);
    if (result == core::WaitResult::Interrupted) return error(Errno::EINTR);
    (void)process::take_pending_signal(thread, SigSet{}, found);
    if (info) TRY(process::write_signal_info(info, found));
    return found.si_signo;
}

Result<long> sys_sigaltstack(Thread& thread, mm::UserPtr<mm::In, abi::stack_t> fresh,
                             mm::UserPtr<mm::Out, abi::stack_t> old) {
    abi::stack_t before = thread.signals.alternate_stack;
    if (is_on_alternate_stack(thread)) before.ss_flags |= abi::SS_ONSTACK;
    if (fresh) TRY(set_alternate_stack(thread, TRY(fresh.copy_in())));
    if (old) TRY(old.copy_out(before));
    return 0;
}

Result<long> sys_rt_sigreturn(Thread& thread) {
    thread.restart.resume = nullptr; // what the handler interrupted has been told so, and can't be taken up any more
    Result<arch::SignalReturn> frame = arch::pop_signal_frame(thread.registers);
    thread.registers.mark_not_syscall();
    if (!frame) {
        process::force_signal(thread, abi::SIGSEGV, abi::SI_KERNEL, VirtAddr{0});
        return 0;
    }
    process::set_blocked_mask(thread, SigSet{frame->blocked_mask});
    // As sigaltstack(2) would; an invalid one in the frame is ignored, as Linux does.
    (void)set_alternate_stack(thread, frame->alternate_stack);
    return thread.registers.syscall_result();
}

Result<long> sys_restart_syscall(Thread& thread) {
    if (!thread.restart.resume) return error(Errno::EINTR);
    return thread.restart.resume(thread);
}

} // namespace linnet::syscalls
