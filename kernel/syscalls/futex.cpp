// Futex calls: operations, clocks and restart classes of futex(2).
#include <abi/linux/futex.hpp>
#include <process/access.hpp>
#include <process/futex.hpp>
#include <process/futex_pi.hpp>
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
    const bool is_realtime = clock == abi::CLOCK_REALTIME;
    return {.ns = ns, .clock = is_realtime ? core::DeadlineClock::Realtime : core::DeadlineClock::Monotonic};
}

namespace {

u32 command_of(u32 operation) { return operation & ~(abi::FUTEX_PRIVATE_FLAG | abi::FUTEX_CLOCK_REALTIME); }
FutexScope scope_of(u32 operation) {
    return (operation & abi::FUTEX_PRIVATE_FLAG) ? FutexScope::Private : FutexScope::Shared;
}

/// FUTEX_WAIT's time-out is relative, the others' a point of time: FUTEX_LOCK_PI's on CLOCK_REALTIME, that of the rest
/// on one of two clocks.
[[gnu::noinline]] Result<core::Deadline> read_deadline(u32 command, u32 operation, VirtAddr pointer) {
    u64 ns = TRY(timeout_ns(pointer));
    if (command == abi::FUTEX_WAIT) return core::Deadline::after(ns);
    const bool is_realtime = (operation & abi::FUTEX_CLOCK_REALTIME) || command == abi::FUTEX_LOCK_PI;
    return deadline_at(ns, is_realtime ? abi::CLOCK_REALTIME : abi::CLOCK_MONOTONIC);
}
Result<core::Deadline> deadline_of(u32 command, u32 operation, VirtAddr pointer) {
    return pointer.value == 0 ? core::Deadline::never() : read_deadline(command, operation, pointer);
}

Result<long> wait(const FutexWait& what, core::Deadline deadline);

Result<long> resume_wait(Thread& thread) {
    const u64* saved = thread.restart.data;
    return wait({.address = {saved[0]},
                 .scope = static_cast<FutexScope>(saved[1]),
                 .expected = static_cast<u32>(saved[2]),
                 .bitset = static_cast<u32>(saved[3])},
                {.ns = saved[4], .clock = static_cast<core::DeadlineClock>(saved[5])});
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
    thread.restart = {.resume = resume_wait,
                      .data = {what.address.value, static_cast<u64>(what.scope), what.expected, what.bitset,
                               deadline.ns, static_cast<u64>(deadline.clock)}};
    return error(Errno::RestartBlock);
}

/// The flag belongs to the waits only (FUTEX_WAIT takes it since Linux 4.5, where a relative time has no clock).
bool takes_clock(u32 command) {
    return command == abi::FUTEX_WAIT_BITSET || command == abi::FUTEX_WAIT || command == abi::FUTEX_LOCK_PI2 ||
           command == abi::FUTEX_WAIT_REQUEUE_PI;
}

/// Who asks to wake none, or less, wakes one, as on Linux.
u32 at_least_one(u32 count) { return static_cast<u32>(std::max(static_cast<i32>(count), 1)); }

/// All but waiting and waking. Kept apart, so that those two stay short.
[[gnu::noinline]] Result<long> requeue_or_inherit(VirtAddr word, u32 operation, u32 value, VirtAddr timeout,
                                                  VirtAddr second_word, u32 third_value) {
    const u32 command = command_of(operation);
    const FutexScope scope = scope_of(operation);
    const auto second_value = static_cast<u32>(timeout.value); // val2 travels in the time-out's place
    switch (command) {
    case abi::FUTEX_REQUEUE:
    case abi::FUTEX_CMP_REQUEUE:
        if (static_cast<i32>(value) < 0 || static_cast<i32>(second_value) < 0) return error(Errno::EINVAL);
        return process::futex_requeue(word, second_word, scope, value, second_value,
                                      command == abi::FUTEX_CMP_REQUEUE ? &third_value : nullptr);
    case abi::FUTEX_WAKE_OP:
        return process::futex_wake_op(word, second_word, scope, at_least_one(value), at_least_one(second_value),
                                      third_value);
    case abi::FUTEX_LOCK_PI:
    case abi::FUTEX_LOCK_PI2:
        TRY(process::lock_pi(word, scope, TRY(deadline_of(command, operation, timeout))));
        return 0;
    case abi::FUTEX_TRYLOCK_PI:
        TRY(process::try_lock_pi(word, scope));
        return 0;
    case abi::FUTEX_WAIT_REQUEUE_PI:
        TRY(process::futex_wait_requeue_pi({.address = word, .scope = scope, .expected = value}, second_word,
                                           TRY(deadline_of(command, operation, timeout))));
        return 0;
    case abi::FUTEX_CMP_REQUEUE_PI:
        // Only one waiter can get the lock, so only one may be asked to be woken.
        if (value != 1 || static_cast<i32>(second_value) < 0) return error(Errno::EINVAL);
        return process::futex_requeue_pi(word, second_word, scope, second_value, third_value);
    case abi::FUTEX_UNLOCK_PI:
        TRY(process::unlock_pi(word, scope));
        return 0;
    default:
        return error(Errno::ENOSYS);
    }
}

} // namespace

Result<long> sys_futex(Thread&, VirtAddr word, u32 operation, u32 value, VirtAddr timeout, VirtAddr second_word,
                       u32 third_value) {
    const u32 command = command_of(operation);
    const FutexScope scope = scope_of(operation);
    if ((operation & abi::FUTEX_CLOCK_REALTIME) && !takes_clock(command)) return error(Errno::ENOSYS);
    switch (command) {
    case abi::FUTEX_WAKE:
        return process::futex_wake(word, scope, at_least_one(value), abi::FUTEX_BITSET_MATCH_ANY);
    case abi::FUTEX_WAKE_BITSET:
        return process::futex_wake(word, scope, at_least_one(value), third_value);
    case abi::FUTEX_WAIT:
        return wait({.address = word, .scope = scope, .expected = value},
                    TRY(deadline_of(command, operation, timeout)));
    case abi::FUTEX_WAIT_BITSET:
        return wait({.address = word, .scope = scope, .expected = value, .bitset = third_value},
                    TRY(deadline_of(command, operation, timeout)));
    default:
        return requeue_or_inherit(word, operation, value, timeout, second_word, third_value);
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

} // namespace linnet::syscalls
