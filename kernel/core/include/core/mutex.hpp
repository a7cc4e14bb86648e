// Sleeping locks: Mutex (one owner) and RwMutex (many readers or one writer, writers preferred). Not for interrupt
// handlers. Guarded<T, Lock> holds the data that a lock protects.
#pragma once

#include <core/wait_queue.hpp>

namespace linnet::core {

class Mutex {
public:
    constexpr explicit Mutex(LockClass& lock_class = anonymous_lock_class) : waiters_(lock_class) {}
    void lock();
    [[nodiscard]] bool try_lock();
    void unlock();
    [[nodiscard]] bool is_held_by_current() const;

private:
    void wait_for_lock();

    std::atomic<Thread*> owner_{nullptr};
    std::atomic<u32> waiting_{0};
    WaitQueue waiters_;
};

class RwMutex {
public:
    constexpr explicit RwMutex(LockClass& lock_class = anonymous_lock_class) : waiters_(lock_class) {}
    void lock_shared();
    void unlock_shared();
    void lock();
    void unlock();
    [[nodiscard]] bool try_lock_shared();
    [[nodiscard]] bool try_lock();

private:
    void wait_for_lock();
    void wait_for_shared_lock();
    void wake_waiters();

    static constexpr u32 writer = 1u << 31;
    std::atomic<u32> state_{0}; // readers, or `writer`
    std::atomic<u32> waiting_writers_{0};
    std::atomic<u32> waiting_{0};
    WaitQueue waiters_;
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
