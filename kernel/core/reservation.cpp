// Reservations: when one is used up, and what it begins anew with.
#include "reservation.hpp"

#include <algorithm>

namespace linnet::core {

constinit std::atomic<u64> Reservation::active{0};

u64 Reservation::bandwidth_of(u64 runtime_ns, u64 period_ns) {
    return static_cast<u64>(static_cast<unsigned __int128>(runtime_ns) * one_cpu / period_ns);
}

u64 Reservation::usable_bandwidth(u64 runtime_ns, u64 period_ns) {
    return runtime_ns == ~u64{0} ? one_cpu : bandwidth_of(runtime_ns, period_ns);
}

void Reservation::begin(u64 now_ns) {
    deadline_ns = now_ns + thread->scheduling.deadline_ns;
    left_ns = static_cast<i64>(thread->scheduling.runtime_ns);
    must_wait = false;
}

u64 Reservation::next_period_ns() const {
    return deadline_ns - thread->scheduling.deadline_ns + thread->scheduling.period_ns;
}

void Reservation::wake(u64 now_ns) {
    using Wide = unsigned __int128;
    const SchedulingAttributes& asked = thread->scheduling;
    const bool is_constrained = asked.deadline_ns < asked.period_ns;
    if (now_ns >= deadline_ns) {
        // Where the deadline comes before the period's end, the next period must not begin before that either.
        if (is_constrained && now_ns < next_period_ns())
            must_wait = true;
        else
            begin(now_ns);
        return;
    }
    if (is_used_up()) return;
    // left / (deadline - now) > runtime / deadline: the rest would be more than its share.
    const u64 until_deadline = deadline_ns - now_ns;
    if (static_cast<Wide>(left_ns) * asked.deadline_ns <= static_cast<Wide>(until_deadline) * asked.runtime_ns) return;
    if (is_constrained)
        left_ns = static_cast<i64>(static_cast<Wide>(until_deadline) * asked.runtime_ns / asked.deadline_ns);
    else
        begin(now_ns);
}

void Reservation::replenish(u64 now_ns) {
    const SchedulingAttributes& asked = thread->scheduling;
    if (must_wait) left_ns = 0;
    must_wait = false;
    if (left_ns <= 0) {
        // What is owed may take several periods.
        const u64 periods = static_cast<u64>(-left_ns) / asked.runtime_ns + 1;
        left_ns += static_cast<i64>(periods * asked.runtime_ns);
        deadline_ns += periods * asked.period_ns;
    }
    left_ns = std::min(left_ns, static_cast<i64>(asked.runtime_ns));
    if (deadline_ns <= now_ns) begin(now_ns);
}

void Reservation::set_active(bool is_in_use) {
    if (is_active == is_in_use) return;
    is_active = is_in_use;
    active.fetch_add(is_in_use ? bandwidth : -bandwidth, std::memory_order_relaxed);
}

u64 Reservation::zero_lag_ns() const {
    const SchedulingAttributes& asked = thread->scheduling;
    const u64 amount = left_ns < 0 ? -static_cast<u64>(left_ns) : static_cast<u64>(left_ns);
    const auto time = static_cast<u64>(static_cast<unsigned __int128>(amount) * asked.period_ns / asked.runtime_ns);
    return left_ns < 0 ? deadline_ns + time : deadline_ns - std::min(time, deadline_ns);
}

u64 Reservation::pace(u64 cpus, u64 usable) const {
    if (!thread->scheduling.reclaims || usable == 0) return one_cpu;
    const u64 in_use = std::max(bandwidth, active.load(std::memory_order_relaxed) / cpus);
    return std::min(in_use * one_cpu / usable, one_cpu);
}

} // namespace linnet::core
