// Futexes (futex(2)): sleeping on a 32-bit word of user memory.
#pragma once

#include <abi/linux/futex.hpp>
#include <core/time.hpp>
#include <core/wait_queue.hpp>
#include <lib/address.hpp>
#include <lib/result.hpp>
#include <span>

namespace linnet::process {

class Thread;

/// Whether the word is known by its address in this address space or by the memory behind it.
enum class FutexScope : u8 { Private, Shared };

/// What is slept on: a word while it is `expected`, until a wake-up with a bit of `bitset`.
struct FutexWait {
    VirtAddr address;
    FutexScope scope;
    u32 expected;
    u32 bitset = abi::FUTEX_BITSET_MATCH_ANY;
};
/// `Interrupted` is for the caller to turn into its restart class.
enum class FutexWaitEnd : u8 { Woken, TimedOut, Interrupted };
/// Sleeps until woken. EAGAIN where the word is another; EFAULT; EINVAL (misaligned, no bits).
Result<FutexWaitEnd> futex_wait(const FutexWait& wait, core::Deadline deadline);
/// The same on several words at once; `which` is the place of one that was woken. ENOMEM.
Result<FutexWaitEnd> futex_wait_any(std::span<const FutexWait> waits, core::Deadline deadline, usize& which);
/// Wakes up to `count` waiters; how many it woke.
Result<long> futex_wake(VirtAddr address, FutexScope scope, u32 count, u32 bitset);
/// Wakes `wake_count` and moves up to `requeue_count` to another word; with `expected`, only while the word
/// is that (EAGAIN). Returns woken (+ requeued when comparing).
Result<long> futex_requeue(VirtAddr from, VirtAddr to, FutexScope scope, u32 wake_count, u32 requeue_count,
                           const u32* expected);
/// Sleeps on a word until FUTEX_CMP_REQUEUE_PI has moved this thread to the lock `target` (futex_pi.hpp) and that is
/// its own. EINVAL: both are one word. ETIMEDOUT; RestartAlways, and EAGAIN once it has been moved, after a signal.
Result<void> futex_wait_requeue_pi(const FutexWait& wait, VirtAddr target, core::Deadline deadline);
/// Moves the first waiter of `from`, and up to `requeue_count` more, to the lock `target`, which the first one gets if
/// it is free; how many. EAGAIN: `from` isn't `expected`. EINVAL: somebody waits there for other things.
Result<long> futex_requeue_pi(VirtAddr from, VirtAddr target, FutexScope scope, u32 requeue_count, u32 expected);
/// FUTEX_WAKE_OP with its packed operation.
Result<long> futex_wake_op(VirtAddr first, VirtAddr second, FutexScope scope, u32 first_count, u32 second_count,
                           u32 operation);

/// What exit and exec owe others: robust-list words marked FUTEX_OWNER_DIED, clear_child_tid zeroed and
/// woken. The address space is still there.
void release_futexes(Thread& thread);

} // namespace linnet::process
