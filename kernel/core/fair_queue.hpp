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
#include <cstdlib>

namespace linnet::core {

/// Load weight of a nice value: 1024 at nice 0, a factor of 1.25 a step (sched(7)).
u32 nice_weight(int nice);

class FairQueue {
public:
    static constexpr u64 default_slice_ns = 3'000'000;
    static constexpr u64 shortest_slice_ns = 100'000, longest_slice_ns = 100'000'000;
    static constexpr u32 nice_zero_weight = 1024, idle_policy_weight = 3;

    enum class Arrival : u8 { Fresh, Back };

    /// Makes a thread part of the average. One that comes back is owed, or owes, what it was when it left.
    void join(Thread& thread, Arrival arrival);
    /// The thread takes no part any more; its lag is kept for its return. Charged, and not waiting.
    void leave(Thread& thread);
    /// A thread that has joined begins to wait for the CPU, or stops.
    void insert(Thread& thread) {
        if (few_count_ == most_in_array || uses_trees()) return insert_with_trees(thread);
        few_[few_count_++] = &thread;
    }
    void remove(Thread& thread) {
        if (few_count_ == 0) return remove_from_tree(thread);
        u32 at = 0;
        while (few_[at] != &thread) ++at;
        few_[at] = few_[--few_count_];
    }
    /// Whom to run next of those that wait; null when nobody does.
    Thread* first() { return few_count_ == 1 ? few_[0] : first_of_many(); }
    /// Of those that may run on a CPU the one that would be served last, or nearly; null for none, or none among the
    /// last ones.
    Thread* last_for(u32 cpu);

    /// The running thread has run for `ns`. True when that ended its slice, and a new one has begun.
    bool charge(Thread& thread, u64 ns) {
        FairState& fair = thread.fair;
        const auto ran = static_cast<i64>(to_virtual(ns, fair.weight));
        fair.time = fair.time + ran;
        sum_ += ran * fair.weight;
        move_base();
        if (fair.time < fair.deadline) return false;
        set_deadline(fair);
        return true;
    }
    /// Gives up what is left of the slice.
    void yield(Thread& thread);
    /// Real time until the running thread's slice ends.
    [[nodiscard]] static u64 slice_left_ns(const Thread& thread) {
        const FairState& fair = thread.fair;
        // One more than rounded down: at its end the slice shall have ended.
        return fair.time < fair.deadline ? to_real(static_cast<u64>(fair.deadline - fair.time), fair.weight) + 1 : 0;
    }
    /// Whether a thread that has just begun to wait should run instead of the one that runs.
    bool should_preempt(const Thread& woken, const Thread& running);

    [[nodiscard]] bool is_eligible(const Thread& thread) const {
        // time <= average, without the division's rounding
        return static_cast<__int128>(thread.fair.time - base_) * static_cast<i64>(weight_) <= sum_;
    }
    [[nodiscard]] bool is_empty() const { return few_count_ == 0 && due_.empty() && ahead_.empty(); }
    [[nodiscard]] u64 weight() const { return weight_; }
    /// The queue's virtual time.
    [[nodiscard]] VirtualTime average() const {
        if (sum_ == 0) return base_; // also of nobody
        const auto weight = static_cast<i64>(weight_);
        // Rounded down, also where the sum is negative: the average must not come to lie behind everybody.
        return base_ + (sum_ >= 0 ? sum_ / weight : -((-sum_ + weight - 1) / weight));
    }

private:
    struct DeadlineOf {
        using type = VirtualTime;
        const VirtualTime& operator()(const Thread& thread) const { return thread.fair.deadline; }
    };
    struct TimeOf {
        using type = VirtualTime;
        const VirtualTime& operator()(const Thread& thread) const { return thread.fair.time; }
    };

    static u64 to_virtual(u64 ns, u32 weight) {
        return weight == nice_zero_weight ? ns : ns * nice_zero_weight / weight;
    }
    static u64 to_real(u64 virtual_ns, u32 weight) { return virtual_ns * weight / nice_zero_weight; }
    static void set_deadline(FairState& fair) {
        fair.deadline = fair.time + static_cast<i64>(to_virtual(fair.slice_ns, fair.weight));
    }

    /// Keeps the sum small: its base follows the average.
    void move_base() {
        constexpr i64 far_ns = 1'000'000;
        if (weight_ == 0 || std::abs(sum_) < far_ns * static_cast<i64>(weight_)) return;
        const VirtualTime average_now = average();
        sum_ -= (average_now - base_) * static_cast<i64>(weight_);
        base_ = average_now;
    }
    void insert_with_trees(Thread& thread);
    void insert_into_tree(Thread& thread);
    void remove_from_tree(Thread& thread);
    Thread* first_of_many();

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
