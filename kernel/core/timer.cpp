// Per-CPU timer queues. Owns the hardware timer of each CPU together with the scheduler's slice deadline.
//
// Lock order: a queue's lock is a leaf; callbacks run without it.
#include <arch/smp.hpp>
#include <core/panic.hpp>
#include <core/sched.hpp>
#include <core/timer.hpp>
#include <core/tracepoints.hpp>
#include <new>

#include "sched_internal.hpp"

namespace linnet::core {
namespace {

constinit LockClass timer_class{"timer queue"};

struct TimerQueue {
    InterruptSpinLock lock{timer_class};
    IntrusiveMultiTree<Timer, &Timer::node, Timer::DeadlineOf> timers;
    u64 programmed_ns = ~u64{0}; // what the hardware is armed for; interrupts off on the owner
    u32 programmed_under = 0;    // clock_rate_changes() then
};

constexpr u32 idle_timer = ~0u;

TimerQueue& queue_of(u32 number) { return *static_cast<TimerQueue*>(cpu(number).timer_queue); }

bool take_out(Timer& timer) {
    for (;;) {
        u32 where = timer.queued_on.load(std::memory_order_acquire);
        if (where == idle_timer) return false;
        TimerQueue& queue = queue_of(where);
        InterruptSpinGuard guard(queue.lock);
        if (timer.queued_on.load(std::memory_order_relaxed) != where) continue;
        queue.timers.erase(queue.timers.iterator_to(timer));
        timer.queued_on.store(idle_timer, std::memory_order_release);
        guard.unlock();
        tracepoints::timer_cancel(timer);
        return true;
    }
}

} // namespace

void initialise_timers() {
    for (u32 i = 0; i < cpu_count(); ++i) {
        auto* queue = new (std::nothrow) TimerQueue;
        VERIFY(queue); // at boot, the heap has room
        cpu(i).timer_queue = queue;
    }
}

void program_hardware_timer() {
    Cpu& self = this_cpu();
    TimerQueue& queue = queue_of(self.number);
    u64 wanted = self.run_queue ? self.run_queue->event_ns() : ~u64{0};
    {
        InterruptSpinGuard guard(queue.lock);
        if (!queue.timers.empty()) wanted = std::min(wanted, queue.timers.begin()->deadline_ns);
    }
    // An earlier programming is left to fire for nothing: cheaper than touching the hardware at every change.
    const u32 rate_changes = clock_rate_changes();
    if (wanted >= queue.programmed_ns && (rate_changes == queue.programmed_under || wanted == ~u64{0})) return;
    queue.programmed_ns = wanted;
    queue.programmed_under = rate_changes;
    arch::set_timer_deadline(counter_at(wanted));
}

void program_event_timer() {
    Cpu& self = this_cpu();
    const TimerQueue& queue = queue_of(self.number);
    if (self.run_queue->event_ns() < queue.programmed_ns || clock_rate_changes() != queue.programmed_under)
        program_hardware_timer();
}

void reprogram_all_timers() {
    arch::InterruptState state = arch::save_and_disable_interrupts();
    const u64 others = online_cpus() & ~(u64{1} << this_cpu().number);
    for (u64 rest = others; rest; rest &= rest - 1) arch::send_ipi(cpu(static_cast<u32>(std::countr_zero(rest))));
    if (this_cpu().timer_queue) program_hardware_timer();
    arch::restore_interrupts(state);
}

void arm_timer(Timer& timer, u64 deadline_ns) {
    take_out(timer);
    arch::InterruptState state = arch::save_and_disable_interrupts();
    tracepoints::timer_start(timer, deadline_ns);
    Cpu& self = this_cpu();
    TimerQueue& queue = queue_of(self.number);
    {
        InterruptSpinGuard guard(queue.lock);
        timer.deadline_ns = deadline_ns;
        queue.timers.insert(timer);
        timer.queued_on.store(self.number, std::memory_order_release);
    }
    program_hardware_timer();
    arch::restore_interrupts(state);
}

bool cancel_timer(Timer& timer) { return take_out(timer); }

bool cancel_timer_sync(Timer& timer) {
    bool cancelled = false;
    do {
        cancelled |= take_out(timer);
        while (timer.running.load(std::memory_order_acquire)) arch::relax();
        // The callback that was waited for may have armed the timer again.
    } while (timer.queued_on.load(std::memory_order_acquire) != idle_timer);
    return cancelled;
}

} // namespace linnet::core

namespace linnet::hooks {

void timer_interrupt() {
    using namespace core;
    Cpu& self = this_cpu();
    TimerQueue& queue = queue_of(self.number);
    queue.programmed_ns = ~u64{0};
    ++self.interrupt_depth;
    ++self.interrupts.timer;
    u64 now = monotonic_ns();
    bool any = false;
    for (;;) {
        Timer* due = nullptr;
        {
            InterruptSpinGuard guard(queue.lock);
            if (queue.timers.empty() || queue.timers.begin()->deadline_ns > now) break;
            due = &*queue.timers.begin();
            queue.timers.erase(queue.timers.begin());
            due->running.store(true, std::memory_order_relaxed);
            due->queued_on.store(idle_timer, std::memory_order_release);
        }
        any = true;
        tracepoints::timer_expire_entry(*due, now);
        due->callback(*due);
        tracepoints::timer_expire_exit(*due);
        due->running.store(false, std::memory_order_release);
    }
    if (any) ++self.interrupts.expiries;
    if (self.run_queue) tick(self, now);
    --self.interrupt_depth;
    program_hardware_timer();
}

} // namespace linnet::hooks
