// A CPU's run queue: the fair class. Threads are ordered by weighted virtual run time; the one that has had least runs.
//
// Lock order: Thread::scheduling_lock, then RunQueue::lock; of two queues, the one with the lower CPU number first.
#pragma once

#include <core/sched.hpp>

namespace linnet::core {

/// Load weight of a nice value: 1024 at nice 0, a factor of 1.25 a step (sched(7)).
u32 nice_weight(int nice);

class RunQueue {
public:
    static constexpr u64 slice_ns = 3'000'000;

    InterruptSpinLock lock;

    /// Ready threads plus the current one unless it is idle.
    [[nodiscard]] u32 runnable() const { return runnable_.load(std::memory_order_relaxed); }
    [[nodiscard]] u32 waiting() const { return waiting_.load(std::memory_order_relaxed); }
    [[nodiscard]] u64 slice_deadline_ns() const { return slice_deadline_ns_; }

    // All below: `lock` held, interrupts off.

    /// Makes a thread that isn't active here wait for the CPU. A thread that slept gets no credit for it beyond half a
    /// slice.
    void activate(Thread& thread, Cpu& owner);
    /// The current thread goes back among the waiting ones.
    void put_back(Thread& thread);
    /// The current thread leaves (it sleeps or died).
    void deactivate(Thread& thread);
    /// Takes the next thread to run out of the tree; null when nobody waits.
    Thread* take_next();
    /// Takes a waiting thread that may run on `cpu` away from this queue; null when there is none.
    Thread* steal_for(u32 cpu);
    /// Charges the current thread for the time since it was last charged.
    void charge(Thread& thread, u64 now_ticks);
    /// Whether `thread`, just made ready, should take the CPU from `current` at once.
    [[nodiscard]] bool should_preempt(const Thread& thread, const Thread& current, u64 now_ticks) const;
    /// Starts `thread`'s slice, or none when it is alone.
    void start_slice(u64 now_ns);

    /// Timer interrupt on the owner: ends an expired slice. Takes the lock itself.
    void tick(u64 now_ns);

private:
    struct VirtualRuntimeOf {
        using type = u64;
        const u64& operator()(const Thread& thread) const { return thread.virtual_runtime; }
    };
    void insert(Thread& thread);
    void remove(Thread& thread);

    IntrusiveMultiTree<Thread, &Thread::run_queue_node, VirtualRuntimeOf> tree_;
    std::atomic<u32> runnable_{0};
    std::atomic<u32> waiting_{0};
    u64 minimum_ = 0; // virtual time of the queue: never goes back
    u64 slice_deadline_ns_ = ~u64{0};
};

} // namespace linnet::core
