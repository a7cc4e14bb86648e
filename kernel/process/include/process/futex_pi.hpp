// Futexes with priority inheritance (futex(2), "Priority-inheritance futexes"): locks whose word holds the owner's
// thread id, and whose owner is as urgent as the most urgent thread that waits for it.
#pragma once

#include <process/futex.hpp>

namespace linnet::process {

/// Locks the word; where somebody holds it, sleeps until it is handed over. EDEADLK: this thread holds it, or its owner
/// waits for this thread. ESRCH: no thread has the owner's id. EINVAL: the word has changed behind the kernel's back.
/// ETIMEDOUT; RestartAlways after a signal.
Result<void> lock_pi(VirtAddr address, FutexScope scope, core::Deadline deadline);
/// The same without sleeping: EAGAIN.
Result<void> try_lock_pi(VirtAddr address, FutexScope scope);
/// Hands the word over to the most urgent waiter, or frees it. EPERM: it is not this thread's.
Result<void> unlock_pi(VirtAddr address, FutexScope scope);

/// The thread's own urgency has changed: so may that of whom it waits for.
void propagate_urgency(Thread& thread);
/// What the current thread holds goes to the waiters, who are told that it died (or executed another program).
void release_pi_locks(Thread& thread);
/// After exec: the thread may own locks again.
void begin_pi_locks(Thread& thread);

} // namespace linnet::process
