// The fair class's arithmetic and its tree.
#include <algorithm>
#include <array>
#include <core/time.hpp>

#include "run_queue.hpp"

namespace linnet::core {
namespace {

consteval std::array<u32, 40> make_weights() {
    std::array<u32, 40> weights{};
    for (usize at = 0; at < weights.size(); ++at) {
        const int nice = static_cast<int>(at) - 20;
        double weight = 1024;
        for (int i = nice; i < 0; ++i) weight *= 1.25;
        for (int i = 0; i < nice; ++i) weight /= 1.25;
        // NOLINTNEXTLINE(bugprone-incorrect-roundings): lround() is no constant expression, and no weight is negative
        weights[at] = static_cast<u32>(weight + 0.5);
    }
    return weights;
}
constexpr auto weights = make_weights();

} // namespace

u32 nice_weight(int nice) { return weights[static_cast<unsigned>(std::clamp(nice, -20, 19) + 20)]; }

void RunQueue::insert(Thread& thread) {
    tree_.insert(thread);
    waiting_.fetch_add(1, std::memory_order_relaxed);
}

void RunQueue::remove(Thread& thread) {
    tree_.erase(tree_.iterator_to(thread));
    waiting_.fetch_sub(1, std::memory_order_relaxed);
}

void RunQueue::activate(Thread& thread, Cpu& owner) {
    u64 floor = minimum_ > slice_ns / 2 ? minimum_ - slice_ns / 2 : 0;
    thread.virtual_runtime = std::max(thread.virtual_runtime, floor);
    // A thread from another queue may carry a far-off virtual time.
    thread.virtual_runtime = std::min(thread.virtual_runtime, minimum_ + 10 * slice_ns);
    thread.cpu = &owner;
    thread.last_cpu = owner.number;
    thread.is_active = true;
    insert(thread);
    runnable_.fetch_add(1, std::memory_order_relaxed);
}

void RunQueue::put_back(Thread& thread) { insert(thread); }

void RunQueue::deactivate(Thread& thread) {
    thread.is_active = false;
    runnable_.fetch_sub(1, std::memory_order_relaxed);
}

Thread* RunQueue::take_next() {
    if (tree_.empty()) return nullptr;
    Thread& thread = *tree_.begin();
    remove(thread);
    minimum_ = std::max(minimum_, thread.virtual_runtime);
    return &thread;
}

Thread* RunQueue::steal_for(u32 cpu) {
    // From the far end: the one that would wait longest here.
    for (auto it = tree_.end(); it != tree_.begin();) {
        --it;
        if (!it->affinity.has(cpu)) continue;
        Thread& thread = *it;
        remove(thread);
        deactivate(thread);
        return &thread;
    }
    return nullptr;
}

void RunQueue::charge(Thread& thread, u64 now_ticks) {
    u64 ns = ticks_to_ns(thread.run_clock.charge(now_ticks));
    thread.virtual_runtime += thread.nice == 0 ? ns : ns * 1024 / nice_weight(thread.nice);
}

bool RunQueue::should_preempt(const Thread& thread, const Thread& current, u64 now_ticks) const {
    // A quarter of a slice of lead, so that threads that wake one another in turn don't switch at every wake.
    return thread.virtual_runtime + slice_ns / 4 <
           current.virtual_runtime + ticks_to_ns(now_ticks - current.run_clock.since());
}

void RunQueue::start_slice(u64 now_ns) { slice_deadline_ns_ = waiting() > 0 ? now_ns + slice_ns : ~u64{0}; }

void RunQueue::tick(u64 now_ns) {
    InterruptSpinGuard guard(lock);
    if (now_ns < slice_deadline_ns_) return;
    if (waiting() > 0) current_thread().pending_work.fetch_or(work_reschedule, std::memory_order_relaxed);
    slice_deadline_ns_ = ~u64{0};
}

} // namespace linnet::core
