// Locks with priority inheritance as the two files of futexes share them: futex_pi.cpp owns them, futex.cpp moves
// threads that wait for another word to them (FUTEX_CMP_REQUEUE_PI).
#pragma once

#include <core/time.hpp>
#include <lib/own_ptr.hpp>
#include <mm/address_space.hpp>
#include <process/thread.hpp>

#include "pi_graph.hpp"

namespace linnet::process {

using ThreadPiGraph = PiGraph<Thread>;

/// A thread that waits, on its own stack.
struct PiWaiter : PiWaiterOf<Thread> {
    using PiWaiterOf::PiWaiterOf;
    std::atomic<bool> owns{false}; // the lock has been handed over
    bool must_store = false;       // … by a thread that died: the word doesn't tell yet
};

struct PiLock : PiLockOf<Thread> {
    ListNode table_node;
    mm::MemoryIdentity key;
    bool is_told = true; // the word names the owner
};

inline PiLock& lock_of(const PiWaiter& waiter) { return static_cast<PiLock&>(*waiter.lock); }

struct PiRequest {
    VirtAddr address;
    mm::MemoryIdentity key;
    Thread& thread;             // that wants the lock; where waiters are requeued it isn't the current one
    PiWaiter* waiter;           // its, on its stack; null: does not wait
    bool word_is_plain = false; // threads wait for it by FUTEX_WAIT
};

enum class PiOutcome : u8 {
    Locked,
    Queued,  // the waiter waits
    Held,    // by another; for those who don't wait
    Changed, // to be begun anew: the word was not in memory, or has changed
};

/// One attempt at a lock, and what must be ready for it before spinlocks are taken.
class PiAttempt {
public:
    enum class For : u8 { Waiter, Trial };
    explicit PiAttempt(For what);
    /// Brings the word in and finds the owner that it names. EFAULT, ENOMEM. No spinlock is held.
    Result<void> look_at(VirtAddr address);
    /// EDEADLK, ESRCH, EINVAL as lock_pi(). Takes the lock of all priority inheritance.
    Result<PiOutcome> make(const PiRequest& request);

private:
    OwnPtr<PiLock> fresh_; // becomes the lock if there is none yet
    Result<void> status_;
    u32 word_ = 0;
    NullableRefPtr<Thread> owner_;
};

// What one file of futexes asks the other. None but the first with a lock held.

/// A PiLock for the word has come, or goes. Takes no lock.
void count_pi_lock(const mm::MemoryIdentity& key, bool exists);
/// Whether threads wait for the word by FUTEX_WAIT or one of its kind.
bool has_plain_waiters(const mm::MemoryIdentity& key);
/// Whether threads wait for it as a lock.
bool has_pi_waiters(const mm::MemoryIdentity& key);

/// Sleeps until the lock that the waiter has been queued for is its own. ETIMEDOUT; RestartAlways after a signal.
Result<void> wait_for_pi_lock(PiWaiter& waiter, VirtAddr address, core::Deadline deadline);

} // namespace linnet::process
