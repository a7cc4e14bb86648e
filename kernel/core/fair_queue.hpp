// The fair class of one CPU: earliest eligible virtual deadline first (EEVDF; I. Stoica and H. Abdel-Wahab, "Earliest
// Eligible Virtual Deadline First", Old Dominion University TR-95-22, 1995).
//
// A thread's virtual time advances with the time it runs, divided by its weight. The queue's virtual time is the
// average of all active threads' times, each counted by its weight; a thread that is behind the average has got less
// than its share and is owed its lag. Eligible are those that are owed something (or nothing). Each thread asks for a
// slice; the virtual time at which it would have got it, had it its share only, is its deadline. The eligible thread
// with the earliest deadline runs: shares come from weights, latency from the slice.
//
// Guarded by the run queue's lock.
#pragma once

#include <array>
#include <core/thread.hpp>

namespace linnet::core {

/// Load weight of a nice value: 1024 at nice 0, a factor of 1.25 a step (sched(7)).
u32 nice_weight(int nice);

class FairQueue {
public:
    static constexpr u64 default_slice_ns = 3'000'000;
    static constexpr u64 shortest_slice_ns = 100'000, longest_slice_ns = 100'000'000;
    static constexpr u32 idle_policy_weight = 3;

    enum class Arrival : u8 { Fresh, Back };

    /// Makes a thread part of the average. One that comes back is owed, or owes, what it was when it left.
    void join(Thread& thread, Arrival arrival);
    /// The thread takes no part any more; its lag is kept for its return. Charged, and not waiting.
    void leave(Thread& thread);
    /// A thread that has joined begins to wait for the CPU, or stops.
    void insert(Thread& thread);
    void remove(Thread& thread);
    /// Whom to run next of those that wait; null when nobody does.
    Thread* first();
    /// Of those that may run on a CPU the one that would be served last, or nearly; null for none, or none among the
    /// last ones.
    Thread* last_for(u32 cpu);

    /// The running thread has run for `ns`. True when that ended its slice, and a new one has begun.
    bool charge(Thread& thread, u64 ns);
    /// Gives up what is left of the slice.
    void yield(Thread& thread);
    /// Real time until the running thread's slice ends.
    [[nodiscard]] static u64 slice_left_ns(const Thread& thread);
    /// Whether a thread that has just begun to wait should run instead of the one that runs.
    bool should_preempt(const Thread& woken, const Thread& running);

    [[nodiscard]] bool is_eligible(const Thread& thread) const;
    [[nodiscard]] bool is_empty() const { return few_count_ == 0 && due_.empty() && ahead_.empty(); }
    [[nodiscard]] u64 weight() const { return weight_; }
    /// The queue's virtual time.
    [[nodiscard]] VirtualTime average() const;

private:
    struct DeadlineOf {
        using type = VirtualTime;
        const VirtualTime& operator()(const Thread& thread) const { return thread.fair.deadline; }
    };
    struct TimeOf {
        using type = VirtualTime;
        const VirtualTime& operator()(const Thread& thread) const { return thread.fair.time; }
    };

    void move_base();
    void insert_into_tree(Thread& thread);

    [[nodiscard]] bool uses_trees() const { return !due_.empty() || !ahead_.empty(); }
    Thread* first_of_few() const;

    // The waiting threads. Few of them lie in an array, in no order: to look at each is less work than to keep trees,
    // and most CPUs never have more.
    static constexpr u32 most_in_array = 4;
    static constexpr u32 most_looks = 32; // last_for()
    std::array<Thread*, most_in_array> few_{};
    u32 few_count_ = 0;
    // More are in trees, until none is left: those found eligible when looked at last, and those ahead of their share;
    // first() moves them.
    IntrusiveMultiTree<Thread, &Thread::run_queue_node, DeadlineOf> due_;
    IntrusiveMultiTree<Thread, &Thread::run_queue_node, TimeOf> ahead_;

    // Of the active threads, the running one too: the average is base_ + sum_ / weight_.
    VirtualTime base_;
    i64 sum_ = 0; // of weight * (time - base_)
    u64 weight_ = 0;
};

} // namespace linnet::core
