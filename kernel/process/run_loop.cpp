// The life of a user thread: enter user code, see why it came back, deal with that, do pending work, enter
// again.
//
// Everything that changes what user code does next (signals, exec, sigreturn, restart) is an edit of
// `registers` made from here. Threads die only in handle_pending_work(), with nothing else on the kernel
// stack.
#include <process/run_loop.hpp>

#include <core/sched.hpp>
#include <core/tracepoints.hpp>
#include <mm/address_space.hpp>
#include <mm/usercopy.hpp>
#include <process/cpu_clock.hpp>
#include <process/process.hpp>
#include <process/user_probes.hpp>

namespace linnet::process {
namespace {

void handle_page_fault(Thread& thread, VirtAddr address, arch::Access access) {
    thread.minor_faults.fetch_add(1, std::memory_order_relaxed);
    static_cast<core::Cpu*>(thread.cpu)->user_faults.fetch_add(1, std::memory_order_relaxed);
    core::tracepoints::page_fault(address, false);
    const mm::FaultResult result = thread.own_address_space().handle_fault(address, access);
    if (result == mm::FaultResult::Resolved) [[likely]]
        return;
    if (thread.probes) user_probes->on_fault(thread);
    switch (result) {
    case mm::FaultResult::Resolved:
        return;
    case mm::FaultResult::SegvMapErr:
        return force_signal(thread, abi::SIGSEGV, abi::SEGV_MAPERR, address);
    case mm::FaultResult::SegvAccErr:
        return force_signal(thread, abi::SIGSEGV, abi::SEGV_ACCERR, address);
    case mm::FaultResult::SegvPkuErr:
        return force_signal(thread, abi::SIGSEGV, abi::SEGV_PKUERR, address);
    case mm::FaultResult::BusAdrErr:
        return force_signal(thread, abi::SIGBUS, abi::BUS_ADRERR, address);
    case mm::FaultResult::OutOfMemory:
        begin_group_exit(thread.process(), abi::SIGKILL);
    }
}

void handle_user_fault(Thread& thread, arch::TrapReason reason) {
    if (had_user_probes.load(std::memory_order_relaxed)) {
        switch (user_probes->on_trap(thread, reason)) {
        case UserProbes::Verdict::Handled:
            return;
        case UserProbes::Verdict::SystemCall:
            thread.in_call = true;
            return syscalls::dispatch(thread);
        case UserProbes::Verdict::NotMine:
            break;
        }
    }
    force_signal(thread, reason.signal, reason.code, reason.address);
}

} // namespace

// Not inlined: the loop would keep this function's constants in registers, and load them anew after each stay in user
// code.
[[gnu::noinline]] void handle_pending_work(Thread& thread) {
    u32 work = thread.pending_work.load(std::memory_order_acquire);
    if (work & core::work_exit) {
        if (thread.probes) user_probes->on_exit(thread);
        Process& process = thread.process();
        exit_thread(process.group_exiting ? process.group_exit_status : thread.exit_status);
    }
    if (work & core::work_reschedule) core::reschedule();
    if (work & core::work_cpu_timers) check_cpu_timers(thread);
    if (work & (core::work_signal | core::work_stop))
        if (!thread.probes || !user_probes->puts_off(thread, work)) handle_pending_signals(thread);
    if (work & core::work_notify) handle_notifications(thread);
}

void Thread::run() {
    // A failing store is of no consequence, as on Linux (clone(2), CLONE_CHILD_SETTID).
    if (set_child_tid.value) (void)mm::UserPtr<mm::Out, Pid>(set_child_tid).copy_out(tid());
    for (;;) {
        arch::disable_interrupts();
        if (pending_work.load(std::memory_order_relaxed) != 0) [[unlikely]] {
            arch::enable_interrupts();
            handle_pending_work(*this);
            continue;
        }
        in_call = false;
        user_clock.enter();
        arch::TrapReason reason = arch::enter_user(registers);
        user_clock.leave();
        switch (reason.kind) {
        [[likely]] case arch::TrapReason::Kind::Syscall:
            in_call = true;
            syscalls::dispatch(*this);
            break;
        case arch::TrapReason::Kind::PageFault:
            handle_page_fault(*this, reason.address, reason.access);
            break;
        case arch::TrapReason::Kind::UserFault:
            handle_user_fault(*this, reason);
            break;
        case arch::TrapReason::Kind::Interrupt:
            break;
        }
    }
}

} // namespace linnet::process
