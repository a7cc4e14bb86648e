// The order of the classes, what a running thread is charged, and when the timer has to look again.
#include "run_queue.hpp"

#include <algorithm>
#include <bit>
#include <core/time.hpp>

namespace linnet::core {

constinit RealtimeShare realtime_share;
constinit std::atomic<u64> round_ns{100'000'000};

namespace {

constinit std::atomic<u64> urgent_cpus{0};

constexpr u64 balance_interval_ns = 10'000'000;

u64 pace_of(const Reservation& reservation) {
    if (!reservation.thread->scheduling.reclaims) return Reservation::one_cpu;
    const u64 usable = Reservation::usable_bandwidth(realtime_share.runtime_ns.load(std::memory_order_relaxed),
                                                     realtime_share.period_ns.load(std::memory_order_relaxed));
    return reservation.pace(static_cast<u64>(std::popcount(online_cpus())), usable);
}

/// After how much more time on the CPU a reservation has to be looked at: it is used up, or others may have begun to
/// use theirs, and what it reclaims has become less.
u64 longest_run_ns(const Reservation& reservation) {
    const u64 left = static_cast<u64>(std::max<i64>(reservation.left_ns, 0));
    const u64 pace = pace_of(reservation);
    if (pace == Reservation::one_cpu) return left + 1;
    return std::min(static_cast<u64>(static_cast<unsigned __int128>(left) * Reservation::one_cpu / pace) + 1,
                    balance_interval_ns);
}

} // namespace

u64 RunQueue::cpus_with_urgent_waiting() { return urgent_cpus.load(std::memory_order_relaxed); }

// ---- who waits ----

void RunQueue::publish_waiting(u8 level) {
    const u8 before = waiting_level();
    waiting_level_.store(level, std::memory_order_relaxed);
    const bool is_urgent = level < Urgency::fair_level, was_urgent = before < Urgency::fair_level;
    if (is_urgent && !was_urgent) urgent_cpus.fetch_or(u64{1} << number_, std::memory_order_seq_cst);
    if (!is_urgent && was_urgent) urgent_cpus.fetch_and(~(u64{1} << number_), std::memory_order_relaxed);
}

u8 RunQueue::highest_waiting_level() const {
    if (!deadline_.empty()) return Urgency::deadline_level;
    if (!realtime_.is_empty()) return realtime_.first_level();
    return fair_.is_empty() ? Urgency::idle_level : Urgency::fair_level;
}

void RunQueue::insert_urgent(Thread& thread) {
    if (runs_as(thread) == SchedulingClass::Deadline) return static_cast<void>(deadline_.insert(thread));
    // Who was preempted, and has time left, goes on before its equals.
    if (thread.goes_last)
        realtime_.push_back(thread);
    else
        realtime_.push_front(thread);
    thread.goes_last = false;
}

void RunQueue::remove_urgent(Thread& thread) {
    if (runs_as(thread) == SchedulingClass::Deadline)
        deadline_.erase(deadline_.iterator_to(thread));
    else
        realtime_.remove(thread);
}

void RunQueue::deactivate(Thread& thread, u64 now) {
    if (thread.place == Place::Running) return deactivate_running(thread);
    remove(thread);
    add_waited(thread, now);
    depart(thread);
}

void RunQueue::put_back(Thread& thread, u64 now) {
    running_ = nullptr;
    insert(thread, now);
}

void RunQueue::throttle(Thread& thread, Cpu& owner, u64 now) {
    if (thread.place == Place::Running) deactivate(thread, now);
    thread.cpu = &owner;
    thread.must_migrate.store(false, std::memory_order_release); // behind `cpu`: lock_queue_of()
    thread.place = Place::Throttled;
    arm_timer(*thread.reservation, thread.reservation->next_period_ns());
}

Urgency RunQueue::most_urgent_waiting() {
    if (!deadline_.empty()) return deadline_.begin()->urgency;
    return {.level = waiting_level(), .deadline_ns = 0};
}

Thread* RunQueue::first_urgent(u64 now) {
    if (!deadline_.empty()) return &*deadline_.begin();
    return is_realtime_over(to_ns(now)) ? fair_.first() : realtime_.first();
}

Thread* RunQueue::fair_waiter_for(u32 cpu) { return fair_.last_for(cpu); }

Thread* RunQueue::urgent_waiter_for(u32 cpu) {
    for (Thread& thread : deadline_)
        if (thread.affinity.has(cpu)) return &thread;
    for (Thread* thread = realtime_.first(); thread; thread = realtime_.next(*thread))
        if (thread->affinity.has(cpu)) return thread;
    return nullptr;
}

// ---- who runs ----

bool RunQueue::is_used_up(const Thread& thread) {
    // Who has inherited its urgency runs on, for somebody waits for it.
    return thread.reservation && thread.urgency != thread.inherited && thread.reservation->is_used_up();
}

void RunQueue::charge_urgent(Thread& thread, u64 ns) {
    if (runs_as(thread) == SchedulingClass::Deadline) {
        if (!thread.reservation) return;
        thread.reservation->left_ns -=
            static_cast<i64>(static_cast<unsigned __int128>(ns) * pace_of(*thread.reservation) / Reservation::one_cpu);
        if (is_used_up(thread) && thread.scheduling.tells_overrun) {
            thread.has_overrun.store(true, std::memory_order_relaxed);
            thread.pending_work.fetch_or(work_notify, std::memory_order_relaxed);
        }
        return;
    }
    realtime_used_ns_ += ns;
    thread.realtime_run_ns += ns;
    if (thread.realtime_run_ns >= thread.realtime_alarm_ns) {
        thread.realtime_alarm_ns = ~u64{0}; // once, until it is set anew
        thread.pending_work.fetch_or(work_notify, std::memory_order_relaxed);
    }
    if (thread.scheduling.policy != Policy::RoundRobin) return;
    thread.round_left_ns -= std::min(thread.round_left_ns, ns);
    if (thread.round_left_ns != 0) return;
    thread.round_left_ns = round_ns.load(std::memory_order_relaxed);
    if (realtime_.has(thread.urgency.level)) thread.goes_last = is_slice_over_ = true;
}

void RunQueue::yield(u64 now) {
    account(now);
    switch (runs_as(*running_)) {
    case SchedulingClass::Deadline:
        if (running_->reservation) running_->reservation->must_wait = true;
        break;
    case SchedulingClass::Realtime:
        running_->goes_last = true;
        break;
    case SchedulingClass::Fair:
        fair_.yield(*running_);
        break;
    }
}

bool RunQueue::is_realtime_over(u64 now_ns) {
    const u64 period = realtime_share.period_ns.load(std::memory_order_relaxed);
    if (now_ns - realtime_period_start_ns_ >= period) {
        realtime_period_start_ns_ = now_ns - now_ns % period;
        realtime_used_ns_ = 0;
    }
    const bool has_fair = !fair_.is_empty() || (running_ && runs_as(*running_) == SchedulingClass::Fair);
    return has_fair && realtime_used_ns_ >= realtime_share.runtime_ns.load(std::memory_order_relaxed);
}

bool RunQueue::should_switch(u64 now) {
    if (!running_) return waiting() > 0;
    if (is_used_up(*running_)) return true;
    if (waiting() == 0) return false;
    const bool runs_fair = runs_as(*running_) == SchedulingClass::Fair;
    if (!deadline_.empty() && deadline_.begin()->urgency < running_->urgency) return true;
    if (!realtime_.is_empty() && realtime_.first_level() < running_->urgency.level && !is_realtime_over(to_ns(now)))
        return true;
    if (runs_as(*running_) == SchedulingClass::Realtime)
        return (is_slice_over_ && realtime_.has(running_->urgency.level)) || is_realtime_over(to_ns(now));
    return runs_fair && is_slice_over_;
}

bool RunQueue::should_preempt_for_urgent(const Thread& thread, u64 now) {
    return thread.urgency < running_->urgency &&
           (runs_as(thread) == SchedulingClass::Deadline || !is_realtime_over(to_ns(now)));
}

void RunQueue::plan_urgent_event(u64 now) {
    u64 wait = no_event;
    const auto within = [&wait](u64 ns) { wait = std::min(wait, ns); };
    const auto realtime_period_left = [&] {
        const u64 end = realtime_period_start_ns_ + realtime_share.period_ns.load(std::memory_order_relaxed);
        return end - std::min(end, to_ns(now));
    };
    if (running_) switch (runs_as(*running_)) {
        case SchedulingClass::Deadline:
            if (running_->reservation && running_->urgency != running_->inherited)
                within(is_used_up(*running_) ? 0 : longest_run_ns(*running_->reservation));
            break;
        case SchedulingClass::Realtime:
            if (running_->realtime_alarm_ns != ~u64{0})
                within(running_->realtime_alarm_ns - std::min(running_->realtime_alarm_ns, running_->realtime_run_ns));
            if (running_->scheduling.policy == Policy::RoundRobin && realtime_.has(running_->urgency.level))
                within(is_slice_over_ ? 0 : running_->round_left_ns);
            if (fair_.is_empty()) break;
            within(balance_interval_ns); // another CPU may have room for them
            if (const u64 share = realtime_share.runtime_ns.load(std::memory_order_relaxed); share != ~u64{0})
                within(std::min(share - std::min(share, realtime_used_ns_), realtime_period_left()));
            break;
        case SchedulingClass::Fair:
            if (waiting() > 0) within(FairQueue::slice_left_ns(*running_));
            if (!realtime_.is_empty()) within(realtime_period_left());
            break;
        }
    event_ns_ = wait == no_event ? no_event : to_ns(now) + wait;
}

void RunQueue::begin_change(Thread& thread) {
    if (runs_as(thread) == SchedulingClass::Fair) fair_.leave(thread);
}

void RunQueue::end_change(Thread& thread) {
    if (runs_as(thread) == SchedulingClass::Fair) fair_.join(thread, FairQueue::Arrival::Back);
    is_slice_over_ = false;
    running_level_.store(thread.urgency.level, std::memory_order_relaxed);
}

} // namespace linnet::core
