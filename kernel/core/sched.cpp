// The scheduler: switching and waking.
//
// A thread is in a queue while it is current or waits for the CPU (Place). It goes to sleep by setting its state first
// and then calling schedule(), which takes it out under the queue's lock; a wake-up in between finds it still there and
// merely sets the state back. `on_cpu` stays true until the next thread has left the sleeper's stack, so a waker on
// another CPU waits for that before it queues the thread elsewhere. The queue's lock is held across the stack switch
// and released by finish_switch() on the other side.
//
// Lock order: Thread::scheduling_lock, RunQueue::lock (lower CPU number first).
#include <arch/smp.hpp>
#include <core/hooks.hpp>
#include <core/irq.hpp>
#include <core/log.hpp>
#include <core/panic.hpp>
#include <core/sched.hpp>
#include <core/timer.hpp>
#include <core/tracepoints.hpp>
#include <core/work_queue.hpp>
#include <lib/hit_way.hpp>
#include <new>

#include "sched_internal.hpp"

namespace linnet::core {
namespace {

using Arrival = FairQueue::Arrival;

enum class Why : u8 { Sleep, Preempted, Yield };

void finish_switch(Thread& previous) {
    Cpu& self = this_cpu();
    // Asked before it may run elsewhere: there it could have died, and gone, by the time this CPU comes to look again.
    const bool moves = previous.must_migrate.load(std::memory_order_relaxed);
    const bool is_dead = previous.state.load(std::memory_order_relaxed) == ThreadState::Dead;
    const bool waits = previous.place == Place::Waiting;
    const u8 level = previous.urgency.level;
    const u64 allowed = previous.affinity.value();
    previous.on_cpu.store(false, std::memory_order_release);
    // A fair thread may have had to make room for an urgent one while another CPU has nothing to do.
    const bool wants_room = level < Urgency::fair_level || self.run_queue->running_level() < Urgency::fair_level;
    self.run_queue->lock.release();
    if (moves) {
        previous.goes_last = true;
        enqueue(previous, Arrival::Back);
    }
    if (is_dead) previous.on_final_switch();
    if (waits && wants_room) find_room_for(level, allowed);
}

/// The reservation's thread goes to sleep: others have its bandwidth, now or soon. Its queue's lock is held.
void rest(Reservation& reservation) {
    const u64 until = reservation.zero_lag_ns();
    if (until <= monotonic_ns())
        reservation.set_active(false);
    else
        arm_timer(reservation, until);
}

/// The current thread's way out of the CPU, back into the queue or elsewhere.
void leave_cpu(Cpu& self, Thread& previous, Why why, u64 now) {
    RunQueue& queue = *self.run_queue;
    // A preempted thread stays ready even when it has already said that it is about to sleep.
    const bool is_ready = previous.state.load(std::memory_order_relaxed) == ThreadState::Running;
    if (why == Why::Sleep && !is_ready) {
        previous.realtime_run_ns = 0;
        queue.deactivate_running(previous);
        if (previous.reservation) rest(*previous.reservation);
    } else if (is_ready && !previous.affinity.has(self.number)) {
        previous.must_migrate.store(true, std::memory_order_relaxed); // finish_switch() queues it where it may be
        queue.deactivate_running(previous);
    } else if (RunQueue::is_used_up(previous)) {
        queue.throttle(previous, self, now);
    } else {
        queue.put_back(previous, now);
    }
}

/// Whether leave_cpu() will put the thread back into the queue. Accounted.
bool stays_on(const Cpu& self, const Thread& previous, Why why) {
    const bool is_ready = previous.state.load(std::memory_order_relaxed) == ThreadState::Running;
    if (why == Why::Sleep && !is_ready) return false;
    const bool yields_reservation = why == Why::Yield && previous.reservation;
    return previous.affinity.has(self.number) && !RunQueue::is_used_up(previous) && !yields_reservation;
}

/// Chooses and runs the next thread. Interrupts off.
void switch_threads(Why why) {
    Cpu& self = this_cpu();
    RunQueue& queue = *self.run_queue;
    Thread& previous = current_thread();
    queue.lock.acquire();
    ++queue.counts.schedules;
    if (previous.pending_work.load(std::memory_order_relaxed) & work_reschedule)
        previous.pending_work.fetch_and(~u32{work_reschedule}, std::memory_order_relaxed);
    self.must_reschedule.store(false, std::memory_order_relaxed);
    const bool was_idle = &previous == self.idle_thread;
    if ((RunQueue::cpus_with_urgent_waiting() & ~cpu_bit(self)) != 0) {
        const u64 now = arch::read_counter();
        queue.account(now);
        pull_urgent(self, !was_idle && stays_on(self, previous, why), now);
    }
    const u64 now = arch::read_counter();
    if (!was_idle) {
        if (why == Why::Yield)
            queue.yield(now);
        else
            queue.account(now);
        leave_cpu(self, previous, why, now);
    }
    if (queue.waiting() == 0) steal(self, now);
    Thread* next = queue.take_next(now);
    if (!next) {
        next = self.idle_thread;
        ++queue.counts.idles;
    }
    const u64 ran = next == &previous ? previous.run_clock.charge(now) : previous.run_clock.stop(now);
    if (was_idle) self.idle_ticks += ran;
    if (next != &previous) next->run_clock.start(now);
    queue.plan_event(now);
    if (next == &previous) {
        queue.lock.release();
        return;
    }
    self.user_ticks_of_others += previous.user_clock.total() - next->user_clock.total();
    ++self.context_switches;
    ++(why == Why::Sleep ? previous.voluntary_switches : previous.involuntary_switches);
    next->on_cpu.store(true, std::memory_order_relaxed);
    next->cpu = &self;
    if (previous.user_context && !next->user_context) hooks::user_tables_rest(self);
    // Behind what says that it runs: who changes what is watched looks there (trace/perf_context.cpp).
    tracepoints::sched_switch(self, previous, *next, why == Why::Preempted);
    next->on_switched_in(self);
    auto* left = static_cast<Thread*>(arch_switch_context(&previous, next));
    finish_switch(*left);
}

/// Nobody is switched away from a trap.
HIT_WAY_ENDS void switch_and_program(Why why) {
    arch::InterruptState state = arch::save_and_disable_interrupts();
    switch_threads(why);
    program_event_timer();
    arch::restore_interrupts(state);
}

} // namespace

void request_reschedule(Cpu& target) {
    if (&target == &this_cpu()) {
        current_thread().pending_work.fetch_or(work_reschedule, std::memory_order_relaxed);
        return;
    }
    if (!target.must_reschedule.exchange(true)) arch::send_ipi(target);
}

void reprogram_timer(Cpu& target) {
    if (&target == &this_cpu())
        program_event_timer();
    else
        arch::send_ipi(target);
}

Cpu& enqueue(Thread& thread, Arrival arrival) {
    const u64 now = arch::read_counter();
    if (thread.reservation) thread.urgency = urgency_of(thread); // its deadline has moved on
    if (thread.reservation && RunQueue::is_used_up(thread)) {
        Cpu& last = cpu(thread.last_cpu);
        last.run_queue->lock.acquire();
        last.run_queue->throttle(thread, last, now);
        last.run_queue->lock.release();
        return last;
    }
    Cpu& target = choose_cpu(thread);
    RunQueue& queue = *target.run_queue;
    // The thread is anybody's once it is queued.
    const u8 level = thread.urgency.level;
    const u64 allowed = thread.affinity.value();
    queue.lock.acquire();
    queue.account(now);
    queue.activate(thread, target, arrival, now);
    if (arrival == Arrival::Fresh) tracepoints::sched_wakeup_new(thread, target.number);
    const bool preempts = queue.should_preempt(thread, now);
    bool is_sooner = false;
    if (preempts) {
        request_reschedule(target);
    } else if (const u64 planned = queue.event_ns(); planned == RunQueue::no_event || level < Urgency::fair_level ||
                                                     queue.running_level() < Urgency::fair_level) {
        // Among fair threads one more changes nothing about the end of a slice that is planned already.
        queue.plan_event(now);
        is_sooner = queue.event_ns() < planned;
    }
    queue.lock.release();
    if (is_sooner) reprogram_timer(target);
    if (!preempts && level < Urgency::fair_level) find_room_for(level, allowed);
    return target;
}

Cpu* lock_queue_of(Thread& thread) {
    for (;;) {
        auto* owner = static_cast<Cpu*>(thread.cpu);
        if (!owner) return nullptr;
        owner->run_queue->lock.acquire();
        // In this order: who is on the way from here to another queue gets its new CPU first, under that queue's lock.
        const bool is_queued = !thread.must_migrate.load(std::memory_order_acquire);
        if (is_queued && thread.cpu == owner) return owner;
        owner->run_queue->lock.release();
        arch::relax();
    }
}

void schedule() { switch_and_program(Why::Sleep); }

void reschedule() {
    if (current_thread().pending_work.load(std::memory_order_relaxed) & work_reschedule)
        switch_and_program(Why::Preempted);
}

void yield() {
    arch::InterruptState state = arch::save_and_disable_interrupts();
    ++this_cpu().run_queue->counts.yields;
    if (this_cpu().run_queue->waiting() > 0 || current_thread().reservation) {
        switch_threads(Why::Yield);
        program_event_timer();
    }
    arch::restore_interrupts(state);
}

void enable_preemption() {
    enable_preemption_no_switch();
    Thread& self = current_thread();
    if (self.preempt_count == 0 && (self.pending_work.load(std::memory_order_relaxed) & work_reschedule) &&
        arch::interrupts_enabled())
        switch_and_program(Why::Preempted);
}

void spin_unlock_preemption() { enable_preemption(); }

void start_thread(Thread& thread) {
    arch::InterruptState state = arch::save_and_disable_interrupts();
    thread.last_cpu = this_cpu().number;
    thread.goes_last = true;
    thread.urgency = urgency_of(thread);
    thread.state.store(ThreadState::Running, std::memory_order_relaxed);
    enqueue(thread, Arrival::Fresh);
    arch::restore_interrupts(state);
}

bool wake_thread(Thread& thread, u32 states) {
    InterruptSpinGuard guard(thread.scheduling_lock);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!(state_bit(thread.state.load(std::memory_order_relaxed)) & states)) return false;
    tracepoints::sched_waking(thread);
    Cpu* owner = lock_queue_of(thread);
    // Still there: it hasn't gone to sleep yet, or was preempted on the way there.
    const bool is_away = thread.place == Place::Away;
    thread.state.store(ThreadState::Running, std::memory_order_relaxed);
    if (!is_away) tracepoints::sched_wakeup(thread, owner->number);
    owner->run_queue->lock.release();
    if (!is_away) return true;
    while (thread.on_cpu.load(std::memory_order_acquire)) arch::relax();
    thread.goes_last = true;
    if (thread.reservation) {
        cancel_timer(*thread.reservation); // of rest()
        thread.reservation->set_active(true);
        thread.reservation->wake(monotonic_ns());
    }
    const Cpu& target = enqueue(thread, Arrival::Back);
    tracepoints::sched_wakeup(thread, target.number);
    Cpu& self = this_cpu();
    ++self.run_queue->counts.wake_ups;
    if (&target == &self) ++self.run_queue->counts.local_wake_ups;
    return true;
}

void kick_thread(Thread& thread) {
    arch::InterruptState state = arch::save_and_disable_interrupts();
    if (thread.on_cpu.load(std::memory_order_acquire)) {
        auto* where = static_cast<Cpu*>(thread.cpu);
        if (where && where != &this_cpu()) arch::send_ipi(*where);
    }
    arch::restore_interrupts(state);
}

void exit_current() {
    give_up_reservation(current_thread());
    arch::disable_interrupts();
    current_thread().state.store(ThreadState::Dead, std::memory_order_relaxed);
    switch_threads(Why::Sleep);
    panic("a dead thread was scheduled");
}

void Thread::interrupt() {
    interrupt_pending.store(true, std::memory_order_seq_cst);
    if (!wake_thread(*this, state_bit(ThreadState::Sleeping))) kick_thread(*this);
}

void Thread::interrupt_fatal() {
    interrupt_pending.store(true, std::memory_order_seq_cst);
    constexpr u32 states = state_bit(ThreadState::Sleeping) | state_bit(ThreadState::SleepingKillable) |
                           state_bit(ThreadState::Stopped) | state_bit(ThreadState::Traced);
    if (!wake_thread(*this, states)) kick_thread(*this);
}

u64 runnable_threads() {
    u64 total = 0;
    for (u32 i = 0; i < cpu_count(); ++i)
        if (cpu(i).run_queue) total += cpu(i).run_queue->runnable();
    return total;
}

QueueCounts queue_counts(const Cpu& cpu) { return cpu.run_queue ? cpu.run_queue->counts : QueueCounts{}; }

u64 user_ticks(Cpu& cpu) {
    if (!cpu.online.load()) return 0;
    InterruptSpinGuard guard(cpu.run_queue->lock); // nobody leaves or comes
    return cpu.user_ticks_of_others + static_cast<Thread*>(cpu.current)->user_clock.total();
}

void initialise_scheduler() {
    initialise_irq_counts();
    current_thread().run_clock.start(arch::read_counter());
    for (u32 i = 0; i < cpu_count(); ++i) {
        cpu(i).run_queue = new (std::nothrow) RunQueue(i);
        VERIFY(cpu(i).run_queue); // at boot, the heap has room
    }
    initialise_timers();
}

void tick(Cpu& self, u64 now_ns) {
    RunQueue& queue = *self.run_queue;
    if (now_ns < queue.event_ns()) return;
    InterruptSpinGuard guard(queue.lock);
    const u64 now = arch::read_counter();
    queue.account(now);
    if (queue.should_switch(now)) {
        current_thread().pending_work.fetch_or(work_reschedule, std::memory_order_relaxed);
        queue.cancel_event();
    } else {
        queue.plan_event(now);
    }
    if (queue.has_fair_waiter()) {
        ++self.interrupts.balances;
        balance(self, now);
    }
}

void run_idle_loop() {
    Cpu& self = this_cpu();
    for (;;) {
        arch::disable_interrupts();
        if (self.run_queue->runnable() > 0 || self.must_reschedule.load(std::memory_order_relaxed) ||
            (current_thread().pending_work.load(std::memory_order_relaxed) & work_reschedule)) {
            switch_threads(Why::Sleep);
            program_event_timer();
            arch::enable_interrupts();
            continue;
        }
        if (hooks::has_idle_work()) {
            arch::enable_interrupts();
            hooks::do_idle_work();
            continue;
        }
        program_hardware_timer();
        arch::wait_for_interrupt();
    }
}

} // namespace linnet::core

namespace linnet::hooks {

void thread_entry(arch::ThreadHeader* previous) {
    using namespace core;
    finish_switch(static_cast<Thread&>(*previous));
    program_event_timer();
    arch::enable_interrupts();
    current_thread().run();
    panic("thread {} returned from run()", current_thread().name());
}

void preemption_point() {
    using namespace core;
    Thread& self = current_thread();
    if (self.preempt_count != 0 || this_cpu().interrupt_depth != 0) return;
    if (self.pending_work.load(std::memory_order_relaxed) & work_reschedule) {
        switch_threads(Why::Preempted);
        program_event_timer();
    }
}

} // namespace linnet::hooks
