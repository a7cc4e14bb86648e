// Time-outs and signal masks of the calls that wait for files.
#pragma once

#include <abi/linux/time.hpp>
#include <core/time.hpp>
#include <process/signal.hpp>
#include <syscalls/signal.hpp>

namespace linnet::syscalls {

/// EINVAL for a negative or unnormalised time.
inline Result<core::Deadline> deadline_after(const abi::timespec& time) {
    if (time.tv_sec < 0 || time.tv_nsec < 0 || time.tv_nsec >= static_cast<i64>(core::ns_per_second))
        return error(Errno::EINVAL);
    u64 ns;
    if (__builtin_mul_overflow(static_cast<u64>(time.tv_sec), core::ns_per_second, &ns) ||
        __builtin_add_overflow(ns, static_cast<u64>(time.tv_nsec), &ns))
        return core::Deadline::never();
    return core::Deadline::after(ns);
}

/// Milliseconds as poll(2) takes them: negative means without end.
inline core::Deadline deadline_after_ms(int timeout_ms) {
    if (timeout_ms < 0) return core::Deadline::never();
    return core::Deadline::after(static_cast<u64>(timeout_ms) * 1'000'000);
}

/// What is left until `deadline`.
inline abi::timespec time_left(core::Deadline deadline) {
    const u64 now = core::monotonic_ns();
    const u64 left = deadline.ns > now ? deadline.ns - now : 0;
    return {static_cast<i64>(left / core::ns_per_second), static_cast<i64>(left % core::ns_per_second)};
}

/// The signal mask that ppoll(2) and its kin install while they wait; null: none.
inline Result<void> install_mask(process::Thread& thread, SigSetIn mask, u64 set_size) {
    if (mask.is_null()) return {};
    if (set_size != sizeof(SigSet)) return error(Errno::EINVAL);
    process::set_temporary_mask(thread, TRY(mask.copy_in()));
    return {};
}

/// Takes the temporary mask away again unless a signal ended the call: then the delivery does it.
template <typename T>
void remove_mask(process::Thread& thread, const Result<T>& result) {
    const bool interrupted =
        !result.has_value() && (result.error() == Errno::EINTR || result.error() >= Errno::RestartIfRequested);
    if (!interrupted) process::restore_temporary_mask(thread);
}

} // namespace linnet::syscalls
