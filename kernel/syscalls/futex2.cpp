// futex_waitv(2) and the calls that have taken its flags over: futex_wait, futex_wake and futex_requeue. Their
// time-outs are moments; when a signal restarts them they are made again as they were.
#include <lib/own_ptr.hpp>
#include <process/futex.hpp>
#include <syscalls/futex.hpp>

#include "futex_timeout.hpp"

namespace linnet::syscalls {

using process::FutexScope;
using process::FutexWait;
using process::FutexWaitEnd;
using process::Thread;

namespace {

/// Whether a value or mask fits the word.
bool fits(u64 value) { return value <= ~u32{0}; }

/// EINVAL for flags that are not known, and for words that are not of four bytes.
Result<FutexScope> scope_of(u32 flags) {
    if ((flags & ~abi::FUTEX2_PRIVATE) != abi::FUTEX2_SIZE_U32) return error(Errno::EINVAL);
    return (flags & abi::FUTEX2_PRIVATE) ? FutexScope::Private : FutexScope::Shared;
}

Result<FutexWait> parse(const abi::futex_waitv& waiter) {
    if (waiter.__reserved != 0 || !fits(waiter.val)) return error(Errno::EINVAL);
    return FutexWait{
        .address = {waiter.uaddr}, .scope = TRY(scope_of(waiter.flags)), .expected = static_cast<u32>(waiter.val)};
}

Result<core::Deadline> deadline_of(VirtAddr timeout, i32 clock) {
    if (timeout.value == 0) return core::Deadline::never();
    if (clock != abi::CLOCK_REALTIME && clock != abi::CLOCK_MONOTONIC) return error(Errno::EINVAL);
    return deadline_at(TRY(timeout_ns(timeout)), clock);
}

Result<long> result_of(FutexWaitEnd end, usize which) {
    switch (end) {
    case FutexWaitEnd::Woken:
        return static_cast<long>(which);
    case FutexWaitEnd::TimedOut:
        return error(Errno::ETIMEDOUT);
    case FutexWaitEnd::Interrupted:
        return error(Errno::RestartIfRequested);
    }
    __builtin_unreachable();
}

} // namespace

Result<long> sys_futex_waitv(Thread&, mm::UserPtr<mm::In, abi::futex_waitv> waiters, u32 count, u32 flags,
                             VirtAddr timeout, i32 clock) {
    if (flags != 0 || count == 0 || count > abi::FUTEX_WAITV_MAX || waiters.is_null()) return error(Errno::EINVAL);
    const core::Deadline deadline = TRY(deadline_of(timeout, clock));
    OwnPtr<FutexWait[]> waits(new (std::nothrow) FutexWait[count]);
    if (!waits) return error(Errno::ENOMEM);
    for (u32 i = 0; i < count; ++i) waits[i] = TRY(parse(TRY(waiters.element(i).copy_in())));
    usize which = 0;
    const FutexWaitEnd end = TRY(process::futex_wait_any({waits.get(), count}, deadline, which));
    return result_of(end, which);
}

Result<long> sys_futex_wait(Thread&, VirtAddr word, u64 value, u64 mask, u32 flags, VirtAddr timeout, i32 clock) {
    const FutexScope scope = TRY(scope_of(flags));
    if (!fits(value) || !fits(mask)) return error(Errno::EINVAL);
    const core::Deadline deadline = TRY(deadline_of(timeout, clock));
    const FutexWait wait = {
        .address = word, .scope = scope, .expected = static_cast<u32>(value), .bitset = static_cast<u32>(mask)};
    return result_of(TRY(process::futex_wait(wait, deadline)), 0);
}

Result<long> sys_futex_wake(Thread&, VirtAddr word, u64 mask, i32 count, u32 flags) {
    const FutexScope scope = TRY(scope_of(flags));
    if (!fits(mask)) return error(Errno::EINVAL);
    // Less than none is one, as with futex(2), but none is none.
    const u32 wakes = count < 0 ? 1 : static_cast<u32>(count);
    return process::futex_wake(word, scope, wakes, static_cast<u32>(mask));
}

Result<long> sys_futex_requeue(Thread&, mm::UserPtr<mm::In, abi::futex_waitv> both, u32 flags, i32 wake_count,
                               i32 requeue_count) {
    if (flags != 0 || both.is_null()) return error(Errno::EINVAL);
    const FutexWait from = TRY(parse(TRY(both.copy_in())));
    const FutexWait to = TRY(parse(TRY(both.element(1).copy_in())));
    if (from.scope != to.scope || wake_count < 0 || requeue_count < 0) return error(Errno::EINVAL);
    return process::futex_requeue(from.address, to.address, from.scope, static_cast<u32>(wake_count),
                                  static_cast<u32>(requeue_count), &from.expected);
}

} // namespace linnet::syscalls
