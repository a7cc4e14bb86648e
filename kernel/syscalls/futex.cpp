// Futex calls: operations, clocks and restart classes of futex(2).
#include <abi/linux/futex.hpp>
#include <abi/linux/prctl.hpp>
#include <core/sched.hpp>
#include <mm/address_space.hpp>
#include <process/access.hpp>
#include <process/futex.hpp>
#include <process/process.hpp>
#include <syscalls/futex.hpp>

#include "futex_timeout.hpp"

namespace linnet::syscalls {

using process::FutexScope;
using process::FutexWait;
using process::FutexWaitEnd;
using process::Thread;

Result<u64> timeout_ns(VirtAddr pointer) {
    abi::timespec time = TRY((mm::UserPtr<mm::In, abi::timespec>(pointer).copy_in()));
    if (time.tv_sec < 0 || time.tv_nsec < 0 || time.tv_nsec >= static_cast<i64>(core::ns_per_second))
        return error(Errno::EINVAL);
    u64 ns;
    if (__builtin_mul_overflow(static_cast<u64>(time.tv_sec), core::ns_per_second, &ns) ||
        __builtin_add_overflow(ns, static_cast<u64>(time.tv_nsec), &ns))
        return ~u64{0} - 1;
    return ns;
}

core::Deadline deadline_at(u64 ns, i32 clock) {
    if (clock != abi::CLOCK_REALTIME) return core::Deadline{ns};
    u64 offset = core::realtime_offset_ns();
    return core::Deadline{ns > offset ? ns - offset : 0};
}

namespace {

/// FUTEX_WAIT's time-out is relative, FUTEX_WAIT_BITSET's a point of time on one of two clocks.
Result<core::Deadline> deadline_of(u32 command, u32 operation, VirtAddr pointer) {
    if (pointer.value == 0) return core::Deadline::never();
    u64 ns = TRY(timeout_ns(pointer));
    if (command == abi::FUTEX_WAIT) return core::Deadline::after(ns);
    return deadline_at(ns, (operation & abi::FUTEX_CLOCK_REALTIME) ? abi::CLOCK_REALTIME : abi::CLOCK_MONOTONIC);
}

Result<long> wait(const FutexWait& what, core::Deadline deadline);

Result<long> resume_wait(Thread& thread) {
    const u64* saved = thread.restart.data;
    return wait({.address = {saved[0]},
                 .scope = static_cast<FutexScope>(saved[1]),
                 .expected = static_cast<u32>(saved[2]),
                 .bitset = static_cast<u32>(saved[3])},
                core::Deadline{saved[4]});
}

Result<long> wait(const FutexWait& what, core::Deadline deadline) {
    switch (TRY(process::futex_wait(what, deadline))) {
    case FutexWaitEnd::Woken:
        return 0;
    case FutexWaitEnd::TimedOut:
        return error(Errno::ETIMEDOUT);
    case FutexWaitEnd::Interrupted:
        break;
    }
    if (deadline.is_never()) return error(Errno::RestartIfRequested);
    // Begun anew it would wait the whole relative time again; the deadline goes on.
    Thread& thread = process::current();
    thread.restart = {
        .resume = resume_wait,
        .data = {what.address.value, static_cast<u64>(what.scope), what.expected, what.bitset, deadline.ns, 0}};
    return error(Errno::RestartBlock);
}

} // namespace

Result<long> sys_futex(Thread&, VirtAddr word, u32 operation, u32 value, VirtAddr timeout, VirtAddr second_word,
                       u32 third_value) {
    u32 command = operation & ~(abi::FUTEX_PRIVATE_FLAG | abi::FUTEX_CLOCK_REALTIME);
    FutexScope scope = (operation & abi::FUTEX_PRIVATE_FLAG) ? FutexScope::Private : FutexScope::Shared;
    // The flag belongs to the waits only (FUTEX_WAIT takes it since Linux 4.5, where a relative time has no
    // clock).
    if ((operation & abi::FUTEX_CLOCK_REALTIME) && command != abi::FUTEX_WAIT_BITSET && command != abi::FUTEX_WAIT)
        return error(Errno::ENOSYS);
    auto second_value = static_cast<u32>(timeout.value); // val2 travels in the time-out's place
    // Who asks to wake none, or less, wakes one, as on Linux.
    auto at_least_one = [](u32 count) { return static_cast<u32>(std::max(static_cast<i32>(count), 1)); };
    switch (command) {
    case abi::FUTEX_WAIT:
        return wait({.address = word, .scope = scope, .expected = value},
                    TRY(deadline_of(command, operation, timeout)));
    case abi::FUTEX_WAIT_BITSET:
        return wait({.address = word, .scope = scope, .expected = value, .bitset = third_value},
                    TRY(deadline_of(command, operation, timeout)));
    case abi::FUTEX_WAKE:
        return process::futex_wake(word, scope, at_least_one(value), abi::FUTEX_BITSET_MATCH_ANY);
    case abi::FUTEX_WAKE_BITSET:
        return process::futex_wake(word, scope, at_least_one(value), third_value);
    case abi::FUTEX_REQUEUE:
    case abi::FUTEX_CMP_REQUEUE:
        if (static_cast<i32>(value) < 0 || static_cast<i32>(second_value) < 0) return error(Errno::EINVAL);
        return process::futex_requeue(word, second_word, scope, value, second_value,
                                      command == abi::FUTEX_CMP_REQUEUE ? &third_value : nullptr);
    case abi::FUTEX_WAKE_OP:
        return process::futex_wake_op(word, second_word, scope, at_least_one(value), at_least_one(second_value),
                                      third_value);
    default:
        return error(Errno::ENOSYS);
    }
}

Result<long> sys_set_robust_list(Thread& thread, VirtAddr head, u64 length) {
    if (length != sizeof(abi::robust_list_head)) return error(Errno::EINVAL);
    thread.robust_list = head;
    return 0;
}

Result<long> sys_get_robust_list(Thread& thread, process::Pid pid, mm::UserPtr<mm::Out, u64> head,
                                 mm::UserPtr<mm::Out, u64> length) {
    NullableRefPtr<Thread> target(&thread);
    if (pid != 0) target = process::find_thread(pid);
    if (!target) return error(Errno::ESRCH);
    if (!process::may_access(thread, *target, process::AccessBy::RealIds)) return error(Errno::EPERM);
    TRY(length.copy_out(sizeof(abi::robust_list_head)));
    TRY(head.copy_out(target->robust_list.value));
    return 0;
}

// ---- restartable sequences ----

Result<long> sys_rseq(Thread& thread, VirtAddr area, u32 size, u32 flags, u32 signature) {
    process::RseqArea& current = thread.rseq;
    if (flags & abi::RSEQ_FLAG_UNREGISTER) {
        if (flags & ~u32{abi::RSEQ_FLAG_UNREGISTER}) return error(Errno::EINVAL);
        if (current.size == 0 || current.address != area || current.size != size) return error(Errno::EINVAL);
        if (current.signature != signature) return error(Errno::EPERM);
        TRY((mm::UserPtr<mm::Out, u32>(area + __builtin_offsetof(abi::rseq, cpu_id))
                 .copy_out(abi::RSEQ_CPU_ID_UNINITIALIZED)));
        current = {};
        return 0;
    }
    if (flags != 0) return error(Errno::EINVAL);
    if (current.size != 0) {
        if (current.address != area || current.size != size) return error(Errno::EINVAL);
        return error(current.signature != signature ? Errno::EPERM : Errno::EBUSY);
    }
    if (size < sizeof(abi::rseq) || area.value % sizeof(abi::rseq) != 0) return error(Errno::EINVAL);
    if (!arch::is_user_range(area, size)) return error(Errno::EFAULT);
    current = {.address = area, .size = size, .signature = signature};
    thread.pending_work.fetch_or(core::work_notify,
                                 std::memory_order_relaxed); // the number is stored at the way out
    return 0;
}

// ---- membarrier ----

namespace {

using abi::MEMBARRIER_CMD_GLOBAL, abi::MEMBARRIER_CMD_GLOBAL_EXPEDITED, abi::MEMBARRIER_CMD_PRIVATE_EXPEDITED,
    abi::MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, abi::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED,
    abi::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, abi::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE,
    abi::MEMBARRIER_CMD_GET_REGISTRATIONS;

constexpr int registrations = MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED |
                              MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE;
constexpr int supported_barriers = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |
                                   MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE |
                                   registrations | MEMBARRIER_CMD_GET_REGISTRATIONS;

/// A full barrier on each of the CPUs: the interrupt itself orders, the fence makes it plain.
void barrier_on(u64 cpus) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    core::run_on_cpus(cpus, [](void*) { std::atomic_thread_fence(std::memory_order_seq_cst); }, nullptr);
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

/// No CPU goes on with instructions fetched before: all of them, for a thread may come to any.
void synchronise_all_instruction_streams() {
    core::PreemptionGuard guard;
    barrier_on(core::online_cpus());
    core::run_on_cpus(core::online_cpus(), [](void*) { arch::synchronise_instruction_stream(); }, nullptr);
    arch::synchronise_instruction_stream();
}

} // namespace

Result<long> sys_membarrier(Thread& thread, int command, u32 flags, int) {
    if (flags != 0) return error(Errno::EINVAL);
    mm::AddressSpace& space = thread.own_address_space();
    const u32 registered = space.membarrier_registrations.load();
    switch (command) {
    case abi::MEMBARRIER_CMD_QUERY:
        return supported_barriers;
    case MEMBARRIER_CMD_GET_REGISTRATIONS:
        return registered;
    case MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE:
        space.membarrier_registrations.fetch_or(static_cast<u32>(command));
        return 0;
    case MEMBARRIER_CMD_GLOBAL:
    case MEMBARRIER_CMD_GLOBAL_EXPEDITED: // those who did not register may be reached too
        barrier_on(core::online_cpus());
        return 0;
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
        if (!(registered & MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)) return error(Errno::EPERM);
        barrier_on(space.active_cpus());
        return 0;
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE:
        if (!(registered & MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE)) return error(Errno::EPERM);
        synchronise_all_instruction_streams();
        return 0;
    default:
        return error(Errno::EINVAL);
    }
}

} // namespace linnet::syscalls
