// A CPU's run queue: the classes of sched(7) in their order. Deadline threads run by earliest deadline, real-time
// threads by priority, all others by fair shares of what is left.
//
// Lock order: Thread::scheduling_lock, then RunQueue::lock; of two queues, the one with the lower CPU number first.
// Timers are armed and cancelled under the lock (the timer queues' locks are leaves).
#pragma once

#include <core/sched.hpp>

#include "fair_queue.hpp"
#include "realtime_queue.hpp"
#include "reservation.hpp"

namespace linnet::core {

/// How much of each period real-time threads may have of a CPU while fair ones wait (sched(7)); ~0 for all of it.
struct RealtimeShare {
    std::atomic<u64> period_ns{1'000'000'000};
    std::atomic<u64> runtime_ns{950'000'000};
};
extern RealtimeShare realtime_share;
/// A turn of a ROUND ROBIN thread.
extern std::atomic<u64> round_ns;

class RunQueue {
public:
    static constexpr u64 no_event = ~u64{0};

    explicit RunQueue(u32 number = 0) : number_(number) {}

    InterruptSpinLock lock;

    // Read by anybody at any time.

    /// Ready threads plus the current one unless it is idle.
    [[nodiscard]] u32 runnable() const { return runnable_.load(std::memory_order_relaxed); }
    [[nodiscard]] u32 waiting() const { return waiting_.load(std::memory_order_relaxed); }
    /// Urgency::level of what runs, and of the most urgent that waits.
    [[nodiscard]] u8 running_level() const { return running_level_.load(std::memory_order_relaxed); }
    [[nodiscard]] u8 waiting_level() const { return waiting_level_.load(std::memory_order_relaxed); }
    /// When the owner's timer has to look at the queue again, on the monotonic clock.
    [[nodiscard]] u64 event_ns() const { return event_ns_; }
    /// CPUs where threads of the deadline or real-time class wait.
    static u64 cpus_with_urgent_waiting();

    // All below: `lock` held, interrupts off. `now` is the counter.

    /// Makes a thread that is Away wait for this CPU.
    void activate(Thread& thread, Cpu& owner, FairQueue::Arrival arrival, u64 now);
    /// A waiting thread, or the running one, leaves: it sleeps, died, or goes to another queue.
    void deactivate(Thread& thread, u64 now);
    /// The running thread goes back among the waiting ones.
    void put_back(Thread& thread, u64 now);
    /// A thread that is Away, or the running one, has used up its reservation and waits for its timer.
    void throttle(Thread& thread, Cpu& owner, u64 now);
    /// Chooses who runs now and makes it the running thread; null when nobody waits: the CPU idles.
    Thread* take_next(u64 now);
    /// A waiting thread of the fair class that may run on `cpu`, the one that would wait longest; null for none.
    Thread* fair_waiter_for(u32 cpu);
    /// The most urgent waiting thread of the other two classes that may run on `cpu`; null for none.
    Thread* urgent_waiter_for(u32 cpu);
    /// Charges the running thread for its time up to now.
    void account(u64 now);
    /// The running thread lets others run first.
    void yield(u64 now);
    /// Whether somebody who waits should run instead of the one that runs. Accounted up to now.
    [[nodiscard]] bool should_switch(u64 now);
    /// The same, when all that has changed is that `thread` waits.
    [[nodiscard]] bool should_preempt(const Thread& thread, u64 now);
    /// Sets when the timer has to come; or that it need not, for the owner is about to switch.
    void plan_event(u64 now) { needs_event() ? plan_needed_event(now) : cancel_event(); }
    void cancel_event() { event_ns_ = no_event; }
    /// What the running thread runs as has been changed: it leaves its class (before) and joins the other (after).
    void begin_change(Thread& thread);
    void end_change(Thread& thread);

    [[nodiscard]] Thread* running() const { return running_; }
    [[nodiscard]] bool has_fair_waiter() const { return !fair_.is_empty(); }
    [[nodiscard]] Urgency most_urgent_waiting();
    [[nodiscard]] static bool is_used_up(const Thread& thread);

    QueueCounts counts;
    u64 longer_since = 0; // balance(): ticks; since when it has more threads than another queue, 0 when it hasn't

private:
    struct DeadlineOf {
        using type = u64;
        const u64& operator()(const Thread& thread) const { return thread.urgency.deadline_ns; }
    };

    /// The thread has waited up to `now`.
    void add_waited(Thread& thread, u64 now);
    /// Nothing has to happen at any time while a fair thread runs alone, or nobody does.
    [[nodiscard]] bool needs_event() const {
        return waiting() != 0 || (running_ && running_->urgency.scheduling_class() != SchedulingClass::Fair);
    }
    void plan_needed_event(u64 now);
    void insert(Thread& thread, u64 now);
    void remove(Thread& thread);
    void publish_waiting(u8 level);
    [[nodiscard]] u8 highest_waiting_level() const;
    /// Real-time threads have had their share of this period, and fair ones wait.
    [[nodiscard]] bool is_realtime_over(u64 now_ns);

    IntrusiveMultiTree<Thread, &Thread::run_queue_node, DeadlineOf> deadline_;
    RealtimeQueue realtime_;
    FairQueue fair_;

    std::atomic<u32> runnable_{0};
    std::atomic<u32> waiting_{0};
    std::atomic<u8> running_level_{Urgency::idle_level};
    std::atomic<u8> waiting_level_{Urgency::idle_level};
    u32 number_;                // of the CPU
    Thread* running_ = nullptr; // null while the CPU idles
    u64 accounted_ = 0;         // ticks; up to then the running thread has been charged
    bool is_slice_over_ = false;
    u64 realtime_period_start_ns_ = 0;
    u64 realtime_used_ns_ = 0; // in that period
    u64 event_ns_ = no_event;
};

} // namespace linnet::core
