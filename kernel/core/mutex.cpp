// Sleeping locks over a wait queue: one atomic word when nobody contends. What else there is to do has functions of its
// own, so that the common case saves no registers for it.
#include <core/mutex.hpp>

namespace linnet::core {

bool Mutex::try_lock() {
    Thread* nobody = nullptr;
    return owner_.compare_exchange_strong(nobody, &current_thread(), std::memory_order_seq_cst);
}

void Mutex::lock() {
    MIGHT_SLEEP();
    if (!try_lock()) [[unlikely]]
        wait_for_lock();
}

[[gnu::noinline]] void Mutex::wait_for_lock() {
    VERIFY(!is_held_by_current());
    waiting_.fetch_add(1, std::memory_order_seq_cst);
    // A deep sleep without deadline ends only when the predicate holds.
    (void)wait_until(waiters_, Sleep::Deep, Deadline::never(), [this] { return try_lock(); });
    waiting_.fetch_sub(1, std::memory_order_relaxed);
}

void Mutex::unlock() {
    DEBUG_ASSERT(is_held_by_current());
    owner_.store(nullptr, std::memory_order_seq_cst);
    if (waiting_.load(std::memory_order_seq_cst) > 0) waiters_.wake_one();
}

bool Mutex::is_held_by_current() const { return owner_.load(std::memory_order_relaxed) == &current_thread(); }

bool RwMutex::try_lock_shared() {
    u32 state = state_.load(std::memory_order_relaxed);
    while (!(state & writer) && waiting_writers_.load(std::memory_order_relaxed) == 0)
        if (state_.compare_exchange_weak(state, state + 1, std::memory_order_seq_cst)) return true;
    return false;
}

bool RwMutex::try_lock() {
    u32 free = 0;
    return state_.compare_exchange_strong(free, writer, std::memory_order_seq_cst);
}

void RwMutex::lock_shared() {
    MIGHT_SLEEP();
    if (!try_lock_shared()) [[unlikely]]
        wait_for_shared_lock();
}

[[gnu::noinline]] void RwMutex::wait_for_shared_lock() {
    waiting_.fetch_add(1, std::memory_order_seq_cst);
    (void)wait_until(waiters_, Sleep::Deep, Deadline::never(), [this] { return try_lock_shared(); });
    waiting_.fetch_sub(1, std::memory_order_relaxed);
}

void RwMutex::unlock_shared() {
    u32 before = state_.fetch_sub(1, std::memory_order_seq_cst);
    if (before == 1 && waiting_.load(std::memory_order_seq_cst) > 0) [[unlikely]]
        wake_waiters();
}

void RwMutex::lock() {
    MIGHT_SLEEP();
    if (!try_lock()) [[unlikely]]
        wait_for_lock();
}

[[gnu::noinline]] void RwMutex::wait_for_lock() {
    waiting_writers_.fetch_add(1, std::memory_order_seq_cst);
    waiting_.fetch_add(1, std::memory_order_seq_cst);
    (void)wait_until(waiters_, Sleep::Deep, Deadline::never(), [this] { return try_lock(); });
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    waiting_writers_.fetch_sub(1, std::memory_order_seq_cst);
}

void RwMutex::unlock() {
    state_.store(0, std::memory_order_seq_cst);
    if (waiting_.load(std::memory_order_seq_cst) > 0) [[unlikely]]
        wake_waiters();
}

[[gnu::noinline]] void RwMutex::wake_waiters() { waiters_.wake_all(); }

} // namespace linnet::core
