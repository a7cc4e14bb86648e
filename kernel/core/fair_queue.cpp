// EEVDF: the arithmetic of virtual time and the two trees of waiting threads.
#include "fair_queue.hpp"

#include <algorithm>
#include <array>
#include <core/sched.hpp>

namespace linnet::core {
namespace {

consteval std::array<u32, 40> make_weights() {
    std::array<u32, 40> weights{};
    for (usize at = 0; at < weights.size(); ++at) {
        const int nice = static_cast<int>(at) - 20;
        double weight = FairQueue::nice_zero_weight;
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

} // namespace

u32 fair_weight(const Thread& thread) {
    return thread.scheduling.policy == Policy::Idle ? FairQueue::idle_policy_weight
                                                    : nice_weight(thread.scheduling.nice);
}

u32 nice_weight(int nice) { return weights[static_cast<unsigned>(std::clamp(nice, -20, 19) + 20)]; }

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
    fair.slice_ns = slice_of(thread);
    fair.time = time;
    set_deadline(fair);
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
    const auto limit = static_cast<i64>(to_virtual(2 * fair.slice_ns, fair.weight));
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

void FairQueue::insert_with_trees(Thread& thread) {
    while (few_count_ > 0) insert_into_tree(*few_[--few_count_]);
    insert_into_tree(thread);
}

void FairQueue::remove_from_tree(Thread& thread) {
    if (thread.fair.is_due) {
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

Thread* FairQueue::first_of_many() {
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

void FairQueue::yield(Thread& thread) {
    FairState& fair = thread.fair;
    sum_ += (fair.deadline - fair.time) * fair.weight;
    fair.time = fair.deadline;
    set_deadline(fair);
    move_base();
}

bool FairQueue::should_preempt(const Thread& woken, const Thread& running) {
    const bool woken_is_idle = woken.scheduling.policy == Policy::Idle;
    const bool running_is_idle = running.scheduling.policy == Policy::Idle;
    if (woken_is_idle != running_is_idle) return running_is_idle;
    if (woken.scheduling.policy == Policy::Batch) return false;
    // Who has not had its share yet keeps the CPU for its slice: switching at each wake-up would cost more than it
    // gives. A thread that asked for a shorter slice asked for just that.
    const bool running_is_eligible = is_eligible(running);
    if (running_is_eligible && woken.fair.slice_ns >= running.fair.slice_ns) return false;
    if (first() != &woken) return false;
    return !running_is_eligible || (is_eligible(woken) && woken.fair.deadline < running.fair.deadline);
}

} // namespace linnet::core
