// WaitQueue: threads that sleep until a predicate holds.
//
// Waiters use only wait_until(); whoever changes the state that the predicate reads then calls wake_*(). The predicate
// is called without any lock of the queue held, after the waiter is enqueued and marked sleeping, so no wake-up is
// lost; it may take its own locks but must not sleep.
#pragma once

#include <core/thread.hpp>
#include <core/time.hpp>

namespace linnet::core {

/// How a sleep may end besides the predicate.
enum class Sleep : u8 {
    Interruptible, // any signal
    Killable,      // a fatal signal
    Deep,          // nothing
};

enum class WaitResult : u8 { Ready, Interrupted, TimedOut };

class WaitQueue {
public:
    constexpr explicit WaitQueue(LockClass& lock_class = anonymous_lock_class) : lock_(lock_class) {}
    WaitQueue(const WaitQueue&) = delete;

    /// A queued thread; lives on the waiter's stack.
    struct Waiter {
        ListNode node;
        Thread* thread = nullptr;
        bool exclusive = true; // wake_one() stops at an exclusive waiter
        /// Observers (poll, epoll) are called instead of woken when set; any context, must not sleep.
        void (*callback)(Waiter&, u32 events) = nullptr;
        u32 events = ~0u; // readiness bits the observer wants
    };

    /// Wakes at most `count` exclusive waiters and every non-exclusive one before them. Any context.
    void wake(u32 count, u32 events = ~0u);
    void wake_one(u32 events = ~0u) { wake(1, events); }
    void wake_all(u32 events = ~0u) { wake(~0u, events); }
    [[nodiscard]] bool is_empty() const { return count_.load(std::memory_order_relaxed) == 0; }

    void add(Waiter& waiter);
    void remove(Waiter& waiter);

private:
    InterruptSpinLock lock_;
    std::atomic<u32> count_{0};
    IntrusiveList<Waiter, &Waiter::node> waiters_;
};

/// Marks the current thread as about to sleep; the next sleep_until() returns at once if a wake-up comes in between.
void prepare_to_sleep(Sleep kind);
/// Undoes it.
void cancel_sleep();
/// Gives up the CPU until woken, interrupted or the deadline passed.
WaitResult sleep_until(Sleep kind, Deadline deadline);

/// Sleeps until `predicate()` is true. Ready means that it was true when last called.
template <typename Predicate>
[[nodiscard]] WaitResult wait_until(WaitQueue& queue, Sleep kind, Deadline deadline, Predicate predicate) {
    MIGHT_SLEEP();
    if (predicate()) return WaitResult::Ready;
    WaitQueue::Waiter waiter;
    waiter.thread = &current_thread();
    queue.add(waiter);
    WaitResult result = WaitResult::Ready;
    bool ready = false;
    for (;;) {
        prepare_to_sleep(kind);
        ready = predicate();
        if (ready || result != WaitResult::Ready) break;
        result = sleep_until(kind, deadline);
    }
    cancel_sleep();
    queue.remove(waiter);
    return ready ? WaitResult::Ready : result;
}

} // namespace linnet::core
