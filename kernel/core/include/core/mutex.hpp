// Sleeping locks: RwMutex (many readers or one writer, writers preferred) and Mutex (one owner). Not for interrupt
// handlers. MutexGuard, ReadGuard and WriteGuard hold them for a scope.
//
// A lock that is released while others sleep for it is free for whoever comes first, and the first sleeper is woken to
// come too. On machines where waking takes much longer than what is done under the lock, that lets one CPU do many
// rounds before the next has its turn, instead of everybody waiting for a wake-up in every round. Who has slept for
// longer than `patience_ns` is handed the lock.
#pragma once

#include <core/wait_queue.hpp>

namespace linnet::core {

class RwMutex {
public:
    constexpr explicit RwMutex(LockClass& lock_class = anonymous_lock_class) : queue_lock_(lock_class) {}
    RwMutex(const RwMutex&) = delete;
    void lock_shared();
    void unlock_shared();
    void lock();
    void unlock();
    [[nodiscard]] bool try_lock_shared();
    [[nodiscard]] bool try_lock();

    static constexpr u64 patience_ns = 4'000'000;

private:
    /// Somebody who sleeps for the lock; on its own stack. Guarded by `queue_lock_`.
    struct Waiter {
        ListNode node;
        Thread& thread;
        bool is_shared;
        u64 since_ns;
        bool is_woken = false; // and has not tried to take the lock since
        bool has_lock = false;
    };

    // Bits of `state_`; what is left of it counts readers.
    static constexpr u32 writer = 1u << 31;
    static constexpr u32 waited_for = 1u << 30;   // the queue has somebody
    static constexpr u32 to_be_handed = 1u << 29; // the next owner is the first of the queue
    static constexpr u32 readers = to_be_handed - 1;

    friend class Mutex;

    /// Takes a lock that nobody has or wants; gives up one that nobody wants. False otherwise, for the functions below.
    bool take_free() {
        u32 state = 0;
        return state_.compare_exchange_strong(state, writer, std::memory_order_acquire);
    }
    bool leave_free() {
        u32 state = writer;
        return state_.compare_exchange_strong(state, 0, std::memory_order_release);
    }
    void wait(bool is_shared);
    void wait_to_write();
    bool try_take(Waiter& waiter);
    bool try_give_to_first();
    void leave_to_waiters(u32 held);

    std::atomic<u32> state_{0};
    SpinLock queue_lock_; // also held where the two bits above change
    IntrusiveList<Waiter, &Waiter::node> queue_;
};

/// Knows its owner.
class Mutex {
public:
    constexpr explicit Mutex(LockClass& lock_class = anonymous_lock_class) : mutex_(lock_class) {}
    void lock();
    [[nodiscard]] bool try_lock();
    void unlock();
    [[nodiscard]] bool is_held_by_current() const {
        return owner_.load(std::memory_order_relaxed) == &current_thread();
    }

private:
    void wait();

    std::atomic<Thread*> owner_{nullptr};
    RwMutex mutex_;
};

class [[nodiscard]] MutexGuard {
public:
    explicit MutexGuard(Mutex& mutex) : mutex_(&mutex) { mutex.lock(); }
    ~MutexGuard() { unlock(); }
    MutexGuard(const MutexGuard&) = delete;
    void unlock() {
        if (mutex_) mutex_->unlock();
        mutex_ = nullptr;
    }

private:
    Mutex* mutex_;
};

class [[nodiscard]] ReadGuard {
public:
    explicit ReadGuard(RwMutex& mutex) : mutex_(&mutex) { mutex.lock_shared(); }
    ~ReadGuard() { unlock(); }
    ReadGuard(const ReadGuard&) = delete;
    void unlock() {
        if (mutex_) mutex_->unlock_shared();
        mutex_ = nullptr;
    }

private:
    RwMutex* mutex_;
};

template <typename Lock = RwMutex>
class [[nodiscard]] WriteGuard {
public:
    explicit WriteGuard(Lock& mutex) : mutex_(&mutex) { mutex.lock(); }
    ~WriteGuard() { unlock(); }
    WriteGuard(const WriteGuard&) = delete;
    void unlock() {
        if (mutex_) mutex_->unlock();
        mutex_ = nullptr;
    }

private:
    Lock* mutex_;
};

} // namespace linnet::core
