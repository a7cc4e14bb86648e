// Spinlocks. Whether interrupts are masked is in the type: SpinLock is for data that no interrupt handler touches,
// InterruptSpinLock for data that one does. Both turn preemption off. Debug builds check the order of acquisition by
// lock class (core/lock_order.hpp).
#pragma once

#include <arch/cpu.hpp>
#include <atomic>
#include <lib/types.hpp>

namespace linnet::core {

/// Names a kind of lock for the order checker and the panic's list of held locks. One constinit object a kind.
struct LockClass {
    const char* name;
    std::atomic<u32> id{0}; // given by the checker at first use
    constexpr explicit LockClass(const char* class_name) : name(class_name) {}
};
extern LockClass anonymous_lock_class; // not checked against itself

/// Test and set, not fair. A fair lock hands over to one certain waiter; where CPUs are virtual and that one isn't
/// running, all others spin until it does, and a contended lock crawls.
class RawSpinLock {
public:
    constexpr explicit RawSpinLock(LockClass& lock_class = anonymous_lock_class)
#ifdef LINNET_DEBUG
        : class_(&lock_class)
#endif
    {
        (void)lock_class;
    }
    RawSpinLock(const RawSpinLock&) = delete;
    RawSpinLock& operator=(const RawSpinLock&) = delete;

    void acquire() {
        note_acquire();
        while (held_.exchange(1, std::memory_order_acquire) != 0)
            while (held_.load(std::memory_order_relaxed) != 0) arch::relax();
        note_acquired();
    }
    bool try_acquire() {
        if (held_.load(std::memory_order_relaxed) != 0 || held_.exchange(1, std::memory_order_acquire) != 0)
            return false;
        note_acquired();
        return true;
    }
    void release() {
        note_release();
        held_.store(0, std::memory_order_release);
    }
    [[nodiscard]] bool is_held() const { return held_.load(std::memory_order_relaxed) != 0; }

private:
#ifdef LINNET_DEBUG
    void note_acquire();
    void note_acquired();
    void note_release();
#else
    void note_acquire() {}
    void note_acquired() {}
    void note_release() {}
#endif
    std::atomic<u32> held_{0};
#ifdef LINNET_DEBUG
    LockClass* class_;
#endif
};

class SpinLock;
class InterruptSpinLock;

/// Holds a lock for a scope; the only way to take one outside core.
class SpinGuard {
public:
    explicit SpinGuard(SpinLock& lock);
    ~SpinGuard() { unlock(); }
    SpinGuard(const SpinGuard&) = delete;
    SpinGuard& operator=(const SpinGuard&) = delete;
    /// Releases before the end of the scope.
    void unlock();

private:
    SpinLock* lock_;
};

class InterruptSpinGuard {
public:
    explicit InterruptSpinGuard(InterruptSpinLock& lock);
    ~InterruptSpinGuard() { unlock(); }
    InterruptSpinGuard(const InterruptSpinGuard&) = delete;
    InterruptSpinGuard& operator=(const InterruptSpinGuard&) = delete;
    void unlock();

private:
    InterruptSpinLock* lock_;
    arch::InterruptState state_;
};

class SpinLock : public RawSpinLock {
public:
    using RawSpinLock::RawSpinLock;
    using Guard = SpinGuard;
};
class InterruptSpinLock : public RawSpinLock {
public:
    using RawSpinLock::RawSpinLock;
    using Guard = InterruptSpinGuard;
};

void spin_unlock_preemption(); // enable_preemption(), out of line to keep this header free of thread.hpp

inline SpinGuard::SpinGuard(SpinLock& lock) : lock_(&lock) {
    ++arch::current_thread()->preempt_count;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    lock.acquire();
}
inline void SpinGuard::unlock() {
    if (!lock_) return;
    lock_->release();
    lock_ = nullptr;
    spin_unlock_preemption();
}
inline InterruptSpinGuard::InterruptSpinGuard(InterruptSpinLock& lock)
    : lock_(&lock), state_(arch::save_and_disable_interrupts()) {
    ++arch::current_thread()->preempt_count;
    lock.acquire();
}
inline void InterruptSpinGuard::unlock() {
    if (!lock_) return;
    lock_->release();
    lock_ = nullptr;
    arch::restore_interrupts(state_);
    spin_unlock_preemption();
}

} // namespace linnet::core
