// How long a thread has been on a CPU. Written by the scheduler of the CPU that runs the thread, read by anybody at any
// time, the thread itself included, which may be preempted in the middle of reading.
#pragma once

#include <arch/cpu.hpp>
#include <arch/time.hpp>
#include <atomic>

namespace linnet::core {

/// Time is in counter ticks. A sequence count makes a reading whole: the sum and the time since which it lacks change
/// together.
class RunClock {
public:
    /// The thread begins to run. Interrupts off, on the CPU that runs it; so are the other two writers.
    void start(u64 now) { change(charged_.load(std::memory_order_relaxed), now); }
    /// Adds what the running thread has run since it was last charged, and returns that.
    u64 charge(u64 now) {
        u64 ran = now - since();
        change(charged_.load(std::memory_order_relaxed) + ran, now);
        return ran;
    }
    /// The same, and it does not run any more.
    u64 stop(u64 now) {
        u64 ran = now - since();
        change(charged_.load(std::memory_order_relaxed) + ran, not_running);
        return ran;
    }

    /// When it last began to run or was charged. For its CPU's scheduler.
    [[nodiscard]] u64 since() const { return since_.load(std::memory_order_relaxed); }
    /// All it has run up to now. Never goes back.
    [[nodiscard]] u64 total() const {
        for (;;) {
            u32 before = sequence_.load(std::memory_order_acquire);
            u64 sum = charged_.load(std::memory_order_relaxed);
            u64 since = since_.load(std::memory_order_relaxed);
            u64 now = since == not_running ? since : arch::read_counter();
            std::atomic_thread_fence(std::memory_order_acquire);
            if (!(before & 1) && sequence_.load(std::memory_order_relaxed) == before)
                return now > since ? sum + (now - since) : sum;
            arch::relax();
        }
    }

private:
    static constexpr u64 not_running = ~u64{0};

    void change(u64 charged, u64 since) {
        u32 sequence = sequence_.load(std::memory_order_relaxed);
        sequence_.store(sequence + 1, std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_release);
        charged_.store(charged, std::memory_order_relaxed);
        since_.store(since, std::memory_order_relaxed);
        sequence_.store(sequence + 2, std::memory_order_release);
    }

    std::atomic<u32> sequence_{0};
    std::atomic<u64> charged_{0};
    std::atomic<u64> since_{not_running};
};

/// How much of that a thread was in user code, in counter ticks. Written by the thread itself, around each stay there;
/// read by anybody.
class UserClock {
public:
    void enter() { entered_ = arch::read_counter(); }
    void leave() {
        const u64 before = total_.load(std::memory_order_relaxed);
        total_.store(before + (arch::read_counter() - entered_), std::memory_order_relaxed);
    }
    /// Of all stays that have ended.
    [[nodiscard]] u64 total() const { return total_.load(std::memory_order_relaxed); }

private:
    u64 entered_ = 0;
    std::atomic<u64> total_{0};
};

} // namespace linnet::core
