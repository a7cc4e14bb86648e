// What threads ask of the scheduler, and what they inherit from those that wait for them: changes reach a thread
// wherever it is, asleep, waiting or running on another CPU.
//
// Lock order: the mutex of changes, Thread::scheduling_lock, RunQueue::lock. The admission lock is a leaf.
#include <algorithm>
#include <bit>
#include <core/mutex.hpp>
#include <core/timer.hpp>
#include <new>

#include "sched_internal.hpp"

namespace linnet::core {
namespace {

using Arrival = FairQueue::Arrival;

constinit Mutex changes; // one change of attributes at a time, so that a reservation is exchanged and counted once
constinit InterruptSpinLock admission_lock;
constinit u64 promised = 0; // bandwidth of all reservations; admission_lock

u64 bandwidth_for_deadlines(RealtimeLimits limits) {
    const u64 cpus = static_cast<u64>(std::popcount(online_cpus()));
    return cpus * Reservation::usable_bandwidth(limits.runtime_ns, limits.period_ns);
}

/// Takes a thread out of its queue, applies the change, and puts it where it then belongs. Among its equals it comes
/// first when its priority was lowered, last when it was raised, and stays where it is when that is the same
/// (sched(7)).
template <typename Apply>
void change(Thread& thread, Apply apply) {
    InterruptSpinGuard guard(thread.scheduling_lock);
    Cpu* owner = lock_queue_of(thread);
    if (!owner) {
        apply();
        return;
    }
    RunQueue& queue = *owner->run_queue;
    const u64 now = arch::read_counter();
    queue.account(now);
    const Place place = thread.place;
    if (place == Place::Throttled) cancel_timer(*thread.reservation);
    if (place == Place::Running) queue.begin_change(thread);
    apply();
    const Urgency next = urgency_of(thread);
    const bool stays = next == thread.urgency && next.scheduling_class() == SchedulingClass::Realtime &&
                       thread.affinity.has(owner->number);
    if (place == Place::Waiting && !stays) queue.deactivate(thread, now);
    thread.goes_last = next < thread.urgency;
    thread.urgency = next;
    if (place == Place::Throttled) thread.place = Place::Away;
    if (place == Place::Running) {
        queue.end_change(thread);
        request_reschedule(*owner); // it may have become less urgent than one that waits, here or elsewhere
    }
    queue.lock.release();
    if (place == Place::Throttled || (place == Place::Waiting && !stays)) enqueue(thread, Arrival::Back);
}

/// A reservation's timer: a throttled thread gets its next period, or a sleeping one leaves its bandwidth to others.
void serve_reservation(Timer& timer) {
    auto& reservation = static_cast<Reservation&>(timer);
    Thread& thread = *reservation.thread;
    InterruptSpinGuard guard(thread.scheduling_lock);
    Cpu* owner = lock_queue_of(thread);
    const u64 now = monotonic_ns();
    // The thread may have woken, and the timer been armed anew, while this waited for the locks.
    const bool is_due = thread.reservation == &reservation && timer.deadline_ns <= now;
    const bool ends_throttling = is_due && thread.place == Place::Throttled;
    if (ends_throttling) {
        thread.place = Place::Away;
        reservation.replenish(now);
    } else if (is_due && thread.place == Place::Away) {
        reservation.set_active(false);
    }
    owner->run_queue->lock.release();
    if (ends_throttling) enqueue(thread, Arrival::Back);
}

/// Changes what has been promised by one thread; false when the CPUs don't have that much.
bool promise(u64 before, u64 after) {
    InterruptSpinGuard guard(admission_lock);
    const u64 total = promised - before + after;
    if (after > before && total > bandwidth_for_deadlines(realtime_limits())) return false;
    promised = total;
    return true;
}

u64 bandwidth_of(const Thread& thread) { return thread.reservation ? thread.reservation->bandwidth : 0; }

} // namespace

Urgency urgency_of(const Thread& thread) {
    Urgency own;
    switch (class_of(thread.scheduling.policy)) {
    case SchedulingClass::Deadline:
        if (thread.reservation)
            own = {.level = Urgency::deadline_level, .deadline_ns = thread.reservation->deadline_ns};
        break;
    case SchedulingClass::Realtime:
        own = Urgency::realtime(thread.scheduling.realtime_priority);
        break;
    case SchedulingClass::Fair:
        break;
    }
    return std::min(own, thread.inherited);
}

Result<void> set_scheduling(Thread& thread, const SchedulingAttributes& attributes) {
    MutexGuard guard(changes);
    Reservation* fresh = nullptr;
    if (class_of(attributes.policy) == SchedulingClass::Deadline) {
        fresh = new (std::nothrow) Reservation(thread, serve_reservation);
        if (!fresh) return error(Errno::ENOMEM);
        fresh->bandwidth = Reservation::bandwidth_of(attributes.runtime_ns, attributes.period_ns);
    }
    if (!promise(bandwidth_of(thread), fresh ? fresh->bandwidth : 0)) {
        delete fresh;
        return error(Errno::EBUSY);
    }
    Reservation* old = nullptr;
    change(thread, [&] {
        thread.scheduling = attributes;
        old = std::exchange(thread.reservation, fresh);
        thread.round_left_ns = 0;
        if (old) old->set_active(false);
        if (!fresh) return;
        fresh->begin(monotonic_ns());
        fresh->set_active(thread.place != Place::Away);
    });
    if (old) cancel_timer_sync(*old);
    delete old;
    return {};
}

void give_up_reservation(Thread& thread) {
    // Nothing that can fail is asked for.
    if (thread.reservation) (void)set_scheduling(thread, {});
}

void Thread::discard_reservation() {
    cancel_timer_sync(*reservation);
    reservation->set_active(false);
    (void)promise(reservation->bandwidth, 0); // giving back can't fail
    delete std::exchange(reservation, nullptr);
}

Result<void> set_affinity(Thread& thread, u64 cpu_bits) {
    if (!(cpu_bits & online_cpus())) return error(Errno::EINVAL);
    change(thread, [&] { thread.affinity = CpuMask(cpu_bits); });
    // Of the current thread too: it is where it may be when this returns.
    if (&thread == &current_thread()) reschedule();
    return {};
}

void set_nice(Thread& thread, int nice) {
    change(thread, [&] { thread.scheduling.nice = static_cast<i8>(nice < -20 ? -20 : nice > 19 ? 19 : nice); });
}

void set_inherited_urgency(Thread& thread, Urgency urgency) {
    if (thread.inherited == urgency) return;
    change(thread, [&] { thread.inherited = urgency; });
}

void set_realtime_alarm(u64 run_ns) {
    Thread& self = current_thread();
    InterruptSpinGuard guard(self.scheduling_lock);
    Cpu* owner = lock_queue_of(self);
    self.realtime_alarm_ns = run_ns;
    owner->run_queue->plan_event(arch::read_counter());
    owner->run_queue->lock.release();
    program_hardware_timer();
}

u64 realtime_run_ns() {
    Thread& self = current_thread();
    InterruptSpinGuard guard(self.scheduling_lock);
    Cpu* owner = lock_queue_of(self);
    owner->run_queue->account(arch::read_counter());
    const u64 ran = self.realtime_run_ns;
    owner->run_queue->lock.release();
    return ran;
}

RealtimeLimits realtime_limits() {
    return {.period_ns = realtime_share.period_ns.load(std::memory_order_relaxed),
            .runtime_ns = realtime_share.runtime_ns.load(std::memory_order_relaxed)};
}

Result<void> set_realtime_limits(RealtimeLimits limits) {
    InterruptSpinGuard guard(admission_lock);
    if (promised > bandwidth_for_deadlines(limits)) return error(Errno::EBUSY);
    realtime_share.period_ns.store(limits.period_ns, std::memory_order_relaxed);
    realtime_share.runtime_ns.store(limits.runtime_ns, std::memory_order_relaxed);
    return {};
}

u64 round_robin_slice_ns() { return round_ns.load(std::memory_order_relaxed); }
void set_round_robin_slice_ns(u64 ns) { round_ns.store(ns, std::memory_order_relaxed); }

u64 limit_fair_slice(u64 ns) { return std::clamp(ns, FairQueue::shortest_slice_ns, FairQueue::longest_slice_ns); }

u64 fair_slice_ns(const SchedulingAttributes& attributes) {
    return attributes.runtime_ns != 0 ? attributes.runtime_ns : FairQueue::default_slice_ns;
}

} // namespace linnet::core
