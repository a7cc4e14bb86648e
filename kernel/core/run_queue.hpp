// A CPU's run queue: the classes of sched(7) in their order. Deadline threads run by earliest deadline, real-time
// threads by priority, all others by fair shares of what is left.
//
// Lock order: Thread::scheduling_lock, then RunQueue::lock; of two queues, the one with the lower CPU number first.
// Timers are armed and cancelled under the lock (the timer queues' locks are leaves).
#pragma once

#include <core/sched.hpp>
#include <core/time.hpp>
#include <core/tracepoints.hpp>

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
    [[gnu::always_inline]] void activate(Thread& thread, Cpu& owner, FairQueue::Arrival arrival, u64 now) {
        thread.cpu = &owner;
        if (thread.last_cpu != owner.number && arrival != FairQueue::Arrival::Fresh) {
            ++thread.migrations, ++owner.arrivals;
            tracepoints::sched_migrate(thread, thread.last_cpu, owner.number);
        }
        thread.last_cpu = owner.number;
        thread.must_migrate.store(false, std::memory_order_release); // behind `cpu`: lock_queue_of()
        if (runs_as(thread) == SchedulingClass::Fair) fair_.join(thread, arrival);
        insert(thread, now);
        runnable_.store(runnable() + 1, std::memory_order_relaxed);
    }
    /// A waiting thread, or the running one, leaves: it sleeps, died, or goes to another queue.
    void deactivate(Thread& thread, u64 now);
    void deactivate_running(Thread& thread) {
        running_ = nullptr;
        depart(thread);
    }
    /// The running thread goes back among the waiting ones.
    void put_back(Thread& thread, u64 now);
    /// A thread that is Away, or the running one, has used up its reservation and waits for its timer.
    void throttle(Thread& thread, Cpu& owner, u64 now);
    /// Chooses who runs now and makes it the running thread; null when nobody waits: the CPU idles.
    Thread* take_next(u64 now) {
        Thread* next = has_urgent_waiter() ? first_urgent(now) : fair_.first();
        if (next) {
            remove(*next);
            next->place = Place::Running;
            ++counts.slices;
            add_waited(*next, now);
            if (runs_as(*next) == SchedulingClass::Realtime && next->round_left_ns == 0)
                next->round_left_ns = round_ns.load(std::memory_order_relaxed);
        }
        running_ = next;
        accounted_ = now;
        is_slice_over_ = false;
        running_level_.store(next ? next->urgency.level : Urgency::idle_level, std::memory_order_relaxed);
        return next;
    }
    /// A waiting thread of the fair class that may run on `cpu`, the one that would wait longest; null for none.
    Thread* fair_waiter_for(u32 cpu);
    /// The most urgent waiting thread of the other two classes that may run on `cpu`; null for none.
    Thread* urgent_waiter_for(u32 cpu);
    /// Charges the running thread for its time up to now.
    void account(u64 now) {
        if (!running_ || now <= accounted_) return;
        const u64 ns = ticks_to_ns(now - accounted_);
        accounted_ = now;
        if (runs_as(*running_) != SchedulingClass::Fair) return charge_urgent(*running_, ns);
        is_slice_over_ |= fair_.charge(*running_, ns);
    }
    /// The running thread lets others run first.
    void yield(u64 now);
    /// Whether somebody who waits should run instead of the one that runs. Accounted up to now.
    [[nodiscard]] bool should_switch(u64 now);
    /// The same, when all that has changed is that `thread` waits.
    [[nodiscard]] bool should_preempt(const Thread& thread, u64 now) {
        if (!running_) return true;
        if (runs_as(thread) != SchedulingClass::Fair) return should_preempt_for_urgent(thread, now);
        return runs_as(*running_) == SchedulingClass::Fair && fair_.should_preempt(thread, *running_);
    }
    /// Sets when the timer has to come; or that it need not, for the owner is about to switch.
    void plan_event(u64 now) {
        if (!needs_event()) return cancel_event();
        if (!running_ || runs_as(*running_) != SchedulingClass::Fair || !realtime_.is_empty())
            return plan_urgent_event(now);
        event_ns_ = to_ns(now) + FairQueue::slice_left_ns(*running_);
    }
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

    static SchedulingClass runs_as(const Thread& thread) { return thread.urgency.scheduling_class(); }
    static u64 to_ns(u64 now) { return monotonic_at(now); }

    /// The thread has waited up to `now`.
    void add_waited(Thread& thread, u64 now) {
        if (now <= thread.waiting_since) return; // it was read before another CPU queued the thread
        const u64 waited = now - thread.waiting_since;
        thread.waited_ticks.store(thread.waited_ticks.load(std::memory_order_relaxed) + waited,
                                  std::memory_order_relaxed);
        counts.waited_ticks += waited;
    }
    /// Nothing has to happen at any time while a fair thread runs alone, or nobody does.
    [[nodiscard]] bool needs_event() const {
        return waiting() != 0 || (running_ && running_->urgency.scheduling_class() != SchedulingClass::Fair);
    }
    // Inlined, as each switch needs both.
    [[gnu::always_inline]] void insert(Thread& thread, u64 now) {
        thread.place = Place::Waiting;
        thread.waiting_since = now;
        if (runs_as(thread) == SchedulingClass::Fair)
            fair_.insert(thread);
        else
            insert_urgent(thread);
        waiting_.store(waiting() + 1, std::memory_order_relaxed);
        if (thread.urgency.level < waiting_level()) publish_waiting(thread.urgency.level);
    }
    [[gnu::always_inline]] void remove(Thread& thread) {
        if (runs_as(thread) == SchedulingClass::Fair)
            fair_.remove(thread);
        else
            remove_urgent(thread);
        waiting_.store(waiting() - 1, std::memory_order_relaxed);
        if (thread.urgency.level != waiting_level()) return;
        const u8 level = waiting() == 0 ? Urgency::idle_level : highest_waiting_level();
        if (level != waiting_level()) publish_waiting(level);
    }

    void depart(Thread& thread) {
        if (runs_as(thread) == SchedulingClass::Fair) fair_.leave(thread);
        thread.place = Place::Away;
        runnable_.store(runnable() - 1, std::memory_order_relaxed);
    }

    // The same for the other two classes.
    void insert_urgent(Thread& thread);
    void remove_urgent(Thread& thread);
    [[nodiscard]] bool has_urgent_waiter() const { return !deadline_.empty() || !realtime_.is_empty(); }
    Thread* first_urgent(u64 now);
    void charge_urgent(Thread& thread, u64 ns);
    [[nodiscard]] bool should_preempt_for_urgent(const Thread& thread, u64 now);
    void plan_urgent_event(u64 now);

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
