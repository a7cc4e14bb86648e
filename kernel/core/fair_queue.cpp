// EEVDF: the arithmetic of virtual time and the two trees of waiting threads.
#include "fair_queue.hpp"

#include <algorithm>
#include <array>
#include <core/sched.hpp>

namespace linnet::core {
namespace {

constexpr u32 nice_zero_weight = 1024;

consteval std::array<u32, 40> make_weights() {
    std::array<u32, 40> weights{};
    for (usize at = 0; at < weights.size(); ++at) {
        const int nice = static_cast<int>(at) - 20;
        double weight = nice_zero_weight;
        for (int i = nice; i < 0; ++i) weight *= 1.25;
        for (int i = 0; i < nice; ++i) weight /= 1.25;
        // NOLINTNEXTLINE(bugprone-incorrect-roundings): lround() is no constant expression, and no weight is negative
        weights[at] = static_cast<u32>(weight + 0.5);
    }
    return weights;
}
constexpr auto weights = make_weights();

u64 slice_of(const Thread& thread) {
    const u64 asked = class_of(thread.scheduling.policy) == SchedulingClass::Fair ? thread.scheduling.runtime_ns : 0;
    return asked != 0 ? asked : FairQueue::default_slice_ns;
}

u64 to_virtual(u64 ns, u32 weight) { return weight == nice_zero_weight ? ns : ns * nice_zero_weight / weight; }
u64 to_real(u64 virtual_ns, u32 weight) { return virtual_ns * weight / nice_zero_weight; }

void set_deadline(Thread& thread) {
    thread.fair.deadline = thread.fair.time + static_cast<i64>(to_virtual(slice_of(thread), thread.fair.weight));
}

} // namespace

u32 fair_weight(const Thread& thread) {
    return thread.scheduling.policy == Policy::Idle ? FairQueue::idle_policy_weight
                                                    : nice_weight(thread.scheduling.nice);
}

u32 nice_weight(int nice) { return weights[static_cast<unsigned>(std::clamp(nice, -20, 19) + 20)]; }

VirtualTime FairQueue::average() const {
    if (sum_ == 0) return base_; // also of nobody
    const auto weight = static_cast<i64>(weight_);
    // Rounded down, also where the sum is negative: the average must not come to lie behind everybody.
    return base_ + (sum_ >= 0 ? sum_ / weight : -((-sum_ + weight - 1) / weight));
}

bool FairQueue::is_eligible(const Thread& thread) const {
    // time <= average, without the division's rounding
    return static_cast<__int128>(thread.fair.time - base_) * static_cast<i64>(weight_) <= sum_;
}

/// Keeps the sum small: its base follows the average.
void FairQueue::move_base() {
    constexpr i64 far_ns = 1'000'000;
    if (weight_ == 0 || std::abs(sum_) < far_ns * static_cast<i64>(weight_)) return;
    const VirtualTime average_now = average();
    sum_ -= (average_now - base_) * static_cast<i64>(weight_);
    base_ = average_now;
}

void FairQueue::join(Thread& thread, Arrival arrival) {
    FairState& fair = thread.fair;
    const u32 weight = fair_weight(thread);
    VirtualTime time = average();
    if (arrival == Arrival::Back && weight_ != 0) {
        i64 lag = fair.lag;
        // What it had too much is forgiven as the queue's time passes, as if it had waited there.
        if (lag < 0 && fair.left == this) lag = std::min<i64>(0, lag + std::max<i64>(0, time - fair.left_at));
        if (fair.weight != weight && fair.weight != 0) lag = lag * static_cast<i64>(fair.weight) / weight;
        // Its own arrival moves the average towards it; placed this much farther off, it has its lag afterwards.
        if (lag != 0) time = time + (-lag - lag * static_cast<i64>(weight) / static_cast<i64>(weight_));
    }
    fair.weight = weight;
    fair.time = time;
    set_deadline(thread);
    // A new thread begins in the middle of a slice, so that making threads is no way to get more.
    if (arrival == Arrival::Fresh) fair.deadline = time + (fair.deadline - time) / 2;
    sum_ += (time - base_) * weight;
    weight_ += weight;
    move_base();
}

void FairQueue::leave(Thread& thread) {
    FairState& fair = thread.fair;
    const VirtualTime now = average();
    // Nobody is owed, or owes, more than two slices, whatever rounding and others' coming and going have made of it.
    const auto limit = static_cast<i64>(to_virtual(2 * slice_of(thread), fair.weight));
    fair.lag = std::clamp(now - fair.time, -limit, limit);
    fair.left = this;
    fair.left_at = now;
    sum_ -= (fair.time - base_) * fair.weight;
    weight_ -= fair.weight;
    if (weight_ == 0) base_ = now, sum_ = 0;
    move_base();
}

void FairQueue::insert_into_tree(Thread& thread) {
    thread.fair.is_due = is_eligible(thread);
    if (thread.fair.is_due)
        due_.insert(thread);
    else
        ahead_.insert(thread);
}

void FairQueue::insert(Thread& thread) {
    if (!uses_trees() && few_count_ < most_in_array) {
        few_[few_count_++] = &thread;
        return;
    }
    while (few_count_ > 0) insert_into_tree(*few_[--few_count_]);
    insert_into_tree(thread);
}

void FairQueue::remove(Thread& thread) {
    if (few_count_ > 0) {
        u32 at = 0;
        while (few_[at] != &thread) ++at;
        few_[at] = few_[--few_count_];
    } else if (thread.fair.is_due) {
        due_.erase(due_.iterator_to(thread));
    } else {
        ahead_.erase(ahead_.iterator_to(thread));
    }
}

Thread* FairQueue::first_of_few() const {
    Thread* best = few_[0];
    bool best_is_eligible = is_eligible(*best);
    for (u32 i = 1; i < few_count_; ++i) {
        Thread* thread = few_[i];
        const bool eligible = is_eligible(*thread);
        // Where nobody is eligible the one that runs is behind all of them: then who is next to be.
        const bool is_better = eligible == best_is_eligible ? (eligible ? thread->fair.deadline < best->fair.deadline
                                                                        : thread->fair.time < best->fair.time)
                                                            : eligible;
        if (is_better) best = thread, best_is_eligible = eligible;
    }
    return best;
}

Thread* FairQueue::first() {
    if (few_count_ > 0) return first_of_few();
    auto move_front = [this](auto& tree) {
        Thread& thread = *tree.begin();
        remove(thread);
        insert_into_tree(thread);
    };
    while (!ahead_.empty() && is_eligible(*ahead_.begin())) move_front(ahead_);
    while (!due_.empty() && !is_eligible(*due_.begin())) move_front(due_);
    if (!due_.empty()) return &*due_.begin();
    return ahead_.empty() ? nullptr : &*ahead_.begin();
}

Thread* FairQueue::last_for(u32 cpu) {
    Thread* last = nullptr;
    for (u32 i = 0; i < few_count_; ++i)
        if (few_[i]->affinity.has(cpu) && (!last || last->fair.deadline < few_[i]->fair.deadline)) last = few_[i];
    if (last) return last;
    // Thousands may be bound elsewhere: those at the end are looked at, not all.
    u32 looks = most_looks;
    const auto find_in = [&](auto& tree) -> Thread* {
        for (auto it = tree.rbegin(); looks > 0 && it != tree.rend(); ++it, --looks)
            if (it->affinity.has(cpu)) return &*it;
        return nullptr;
    };
    last = find_in(ahead_);
    return last ? last : find_in(due_);
}

bool FairQueue::charge(Thread& thread, u64 ns) {
    FairState& fair = thread.fair;
    const auto ran = static_cast<i64>(to_virtual(ns, fair.weight));
    fair.time = fair.time + ran;
    sum_ += ran * fair.weight;
    move_base();
    if (fair.time < fair.deadline) return false;
    set_deadline(thread);
    return true;
}

void FairQueue::yield(Thread& thread) {
    FairState& fair = thread.fair;
    sum_ += (fair.deadline - fair.time) * fair.weight;
    fair.time = fair.deadline;
    set_deadline(thread);
    move_base();
}

u64 FairQueue::slice_left_ns(const Thread& thread) {
    const FairState& fair = thread.fair;
    // One more than rounded down: at its end the slice shall have ended.
    return fair.time < fair.deadline ? to_real(static_cast<u64>(fair.deadline - fair.time), fair.weight) + 1 : 0;
}

bool FairQueue::should_preempt(const Thread& woken, const Thread& running) {
    const bool woken_is_idle = woken.scheduling.policy == Policy::Idle;
    const bool running_is_idle = running.scheduling.policy == Policy::Idle;
    if (woken_is_idle != running_is_idle) return running_is_idle;
    if (woken.scheduling.policy == Policy::Batch) return false;
    // Who has not had its share yet keeps the CPU for its slice: switching at each wake-up would cost more than it
    // gives. A thread that asked for a shorter slice asked for just that.
    const bool running_is_eligible = is_eligible(running);
    if (running_is_eligible && slice_of(woken) >= slice_of(running)) return false;
    if (first() != &woken) return false;
    return !running_is_eligible || (is_eligible(woken) && woken.fair.deadline < running.fair.deadline);
}

} // namespace linnet::core
