// Sleeping locks: one atomic word when nobody contends. What else there is to do has functions of its own, so that the
// common case saves no registers for it.
//
// Lock order: RwMutex::queue_lock_, then (by waking) Thread::scheduling_lock.
#include <core/mutex.hpp>
#include <core/sched.hpp>

namespace linnet::core {

bool RwMutex::try_lock_shared() {
    u32 state = state_.load(std::memory_order_relaxed);
    while (!(state & (writer | waited_for)))
        if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acquire)) return true;
    return false;
}

bool RwMutex::try_lock() {
    u32 state = state_.load(std::memory_order_relaxed);
    while (!(state & (writer | to_be_handed | readers)))
        if (state_.compare_exchange_weak(state, state | writer, std::memory_order_acquire)) return true;
    return false;
}

void RwMutex::lock_shared() {
    MIGHT_SLEEP();
    if (!try_lock_shared()) [[unlikely]]
        wait(true);
}

void RwMutex::lock() {
    MIGHT_SLEEP();
    if (!take_free()) [[unlikely]]
        wait_to_write();
}

void RwMutex::unlock_shared() {
    const u32 before = state_.fetch_sub(1, std::memory_order_release);
    if ((before & (readers | waited_for)) == (waited_for | 1)) [[unlikely]]
        leave_to_waiters(0);
}

void RwMutex::unlock() {
    if (!leave_free()) [[unlikely]]
        leave_to_waiters(writer);
}

[[gnu::noinline]] void RwMutex::wait(bool is_shared) {
    Waiter waiter{{}, current_thread(), is_shared, monotonic_ns()};
    {
        SpinGuard guard(queue_lock_);
        queue_.push_back(waiter);
        state_.fetch_or(waited_for, std::memory_order_relaxed);
    }
    for (;;) {
        prepare_to_sleep(Sleep::Deep);
        if (try_take(waiter)) break;
        schedule();
    }
    cancel_sleep();
}

[[gnu::noinline]] void RwMutex::wait_to_write() {
    if (!try_lock()) wait(false);
}

/// Whether a waiter that is awake has got the lock. If it hasn't and may not steal for want of patience, it is next.
bool RwMutex::try_take(Waiter& waiter) {
    SpinGuard guard(queue_lock_);
    waiter.is_woken = false;
    if (waiter.has_lock) return true;
    if (queue_.first() != &waiter) return false;
    if (try_give_to_first()) return true;
    // Who holds it now looks at this when it unlocks.
    if (monotonic_ns() - waiter.since_ns >= patience_ns) state_.fetch_or(to_be_handed, std::memory_order_relaxed);
    return false;
}

/// Gives the lock to the first of the queue and, if that is a reader, to the readers right behind it. False when
/// others hold it. Locks: queue_lock_; the queue isn't empty.
bool RwMutex::try_give_to_first() {
    Waiter* rest = queue_.first();
    const u32 excluded = rest->is_shared ? writer : writer | readers;
    u32 share = 0;
    if (!rest->is_shared) {
        share = writer;
        rest = queue_.next(*rest);
    } else {
        for (; rest && rest->is_shared; rest = queue_.next(*rest)) ++share;
    }
    u32 state = state_.load(std::memory_order_relaxed);
    do {
        if (state & excluded) return false;
    } while (!state_.compare_exchange_weak(state, ((state & readers) + share) | (rest ? waited_for : 0),
                                           std::memory_order_acquire));
    while (queue_.first() != rest) {
        Waiter& owner = *queue_.pop_front();
        owner.has_lock = true;
        if (&owner.thread != &current_thread()) wake_thread(owner.thread);
    }
    return true;
}

/// Takes the bits of who leaves out of the state and sees to it that the first of the queue comes.
[[gnu::noinline]] void RwMutex::leave_to_waiters(u32 held) {
    SpinGuard guard(queue_lock_);
    const u32 state = state_.fetch_and(~held, std::memory_order_release);
    Waiter* first = queue_.first();
    if (!first) return;
    if (first->is_shared || (state & to_be_handed)) {
        // In vain when somebody else was quicker, who then comes by here.
        (void)try_give_to_first();
    } else if (!first->is_woken) {
        first->is_woken = true;
        wake_thread(first->thread);
    }
}

bool Mutex::try_lock() {
    if (!mutex_.try_lock()) return false;
    owner_.store(&current_thread(), std::memory_order_relaxed);
    return true;
}

void Mutex::lock() {
    MIGHT_SLEEP();
    if (!mutex_.take_free()) [[unlikely]]
        wait();
    owner_.store(&current_thread(), std::memory_order_relaxed);
}

[[gnu::noinline]] void Mutex::wait() {
    VERIFY(!is_held_by_current());
    mutex_.wait_to_write();
}

void Mutex::unlock() {
    DEBUG_ASSERT(is_held_by_current());
    owner_.store(nullptr, std::memory_order_relaxed);
    if (!mutex_.leave_free()) [[unlikely]]
        mutex_.leave_to_waiters(RwMutex::writer);
}

} // namespace linnet::core
