// The scheduler: switching, waking, placing and stealing.
//
// A thread is active while it is current or in a queue's tree. It goes to sleep by setting its state first and then
// calling schedule(), which takes it out under the queue's lock; a wake-up in between finds it active and merely sets
// the state back. `on_cpu` stays true until the next thread has left the sleeper's stack, so a waker on another CPU
// waits for that before it queues the thread elsewhere. The queue's lock is held across the stack switch and released
// by finish_switch() on the other side.
//
// Lock order: Thread::scheduling_lock, RunQueue::lock (lower CPU number first).
#include <arch/smp.hpp>
#include <core/hooks.hpp>
#include <core/log.hpp>
#include <core/panic.hpp>
#include <core/sched.hpp>
#include <core/timer.hpp>
#include <core/work_queue.hpp>
#include <new>

#include "run_queue.hpp"

namespace linnet::core {
namespace {

enum class Voluntary : u8 { Yes, No };

void enqueue(Thread& thread);

void finish_switch(Thread& previous) {
    Cpu& self = this_cpu();
    const bool moves = previous.must_migrate;
    previous.must_migrate = false;
    // Asked before it may run elsewhere: there it could have died, and gone, by the time this CPU comes to look again.
    const bool is_dead = previous.state.load(std::memory_order_relaxed) == ThreadState::Dead;
    previous.on_cpu.store(false, std::memory_order_release);
    self.run_queue->lock.release();
    if (moves) enqueue(previous);
    if (is_dead) previous.on_final_switch();
}

/// Takes work from the busiest queue when this one is empty. This CPU's queue lock is held; others are only tried, so
/// no order between queues is needed.
Thread* steal(Cpu& self) {
    Cpu* busiest = nullptr;
    u32 most = 0;
    for (u32 i = 0; i < cpu_count(); ++i) {
        Cpu& other = cpu(i);
        if (&other == &self || !other.online.load(std::memory_order_relaxed)) continue;
        u32 waiting = other.run_queue->waiting();
        if (waiting > most) most = waiting, busiest = &other;
    }
    if (!busiest || !busiest->run_queue->lock.try_acquire()) return nullptr;
    Thread* thread = busiest->run_queue->steal_for(self.number);
    busiest->run_queue->lock.release();
    if (!thread) return nullptr;
    self.run_queue->activate(*thread, self);
    return self.run_queue->take_next();
}

/// Chooses and runs the next thread. Interrupts off.
void switch_threads(Voluntary voluntary) {
    Cpu& self = this_cpu();
    RunQueue& queue = *self.run_queue;
    Thread& previous = current_thread();
    queue.lock.acquire();
    if (previous.pending_work.load(std::memory_order_relaxed) & work_reschedule)
        previous.pending_work.fetch_and(~u32{work_reschedule}, std::memory_order_relaxed);
    self.must_reschedule.store(false, std::memory_order_relaxed);
    u64 now = arch::read_counter();
    if (&previous != self.idle_thread) {
        queue.charge(previous, now);
        // A preempted thread stays ready even when it has already said that it is about to sleep.
        bool is_ready = previous.state.load(std::memory_order_relaxed) == ThreadState::Running;
        previous.must_migrate = is_ready && !previous.affinity.has(self.number);
        if ((voluntary == Voluntary::No || is_ready) && !previous.must_migrate)
            queue.put_back(previous);
        else
            queue.deactivate(previous); // asleep, or on its way to a CPU it may use: finish_switch() queues it there
    } else {
        self.idle_ticks += previous.run_clock.charge(now);
    }
    Thread* next = queue.take_next();
    if (!next) next = steal(self);
    if (!next) next = self.idle_thread;
    if (next != &previous) {
        previous.run_clock.stop();
        next->run_clock.start(now);
    }
    queue.start_slice(ticks_to_ns(now - clock_scale().base_counter));
    if (next == &previous) {
        queue.lock.release();
        return;
    }
    ++self.context_switches;
    ++(voluntary == Voluntary::Yes ? previous.voluntary_switches : previous.involuntary_switches);
    next->on_cpu.store(true, std::memory_order_relaxed);
    next->cpu = &self;
    if (previous.user_context && !next->user_context) hooks::user_tables_rest(self);
    next->on_switched_in(self);
    auto* left = static_cast<Thread*>(arch_switch_context(&previous, next));
    finish_switch(*left);
}

void switch_and_program(Voluntary voluntary) {
    arch::InterruptState state = arch::save_and_disable_interrupts();
    switch_threads(voluntary);
    program_hardware_timer();
    arch::restore_interrupts(state);
}

/// Where a woken thread should run: where it ran last if that CPU is idle, else an idle CPU, else where it ran last.
Cpu& choose_cpu(const Thread& thread) {
    u64 allowed = thread.affinity.value() & online_cpus();
    auto is_idle = [](Cpu& candidate) { return candidate.run_queue->runnable() == 0; };
    Cpu& last = cpu(thread.last_cpu);
    bool last_allowed = (allowed >> thread.last_cpu) & 1;
    if (last_allowed && is_idle(last)) return last;
    Cpu* best = last_allowed ? &last : nullptr;
    for (u64 rest = allowed; rest; rest &= rest - 1) {
        Cpu& candidate = cpu(static_cast<u32>(std::countr_zero(rest)));
        if (is_idle(candidate)) return candidate;
        if (!best || candidate.run_queue->runnable() < best->run_queue->runnable()) best = &candidate;
    }
    return best ? *best : last;
}

/// Makes `target` look at its queue again. Interrupts off; its queue lock may be held.
void request_reschedule(Cpu& target) {
    if (&target == &this_cpu()) {
        current_thread().pending_work.fetch_or(work_reschedule, std::memory_order_relaxed);
        return;
    }
    if (!target.must_reschedule.exchange(true)) arch::send_ipi(target);
}

/// Puts an inactive thread on a queue. Its scheduling_lock is held (or nobody else knows it yet), interrupts off.
void enqueue(Thread& thread) {
    Cpu& target = choose_cpu(thread);
    RunQueue& queue = *target.run_queue;
    queue.lock.acquire();
    queue.activate(thread, target);
    auto* running = static_cast<Thread*>(target.current);
    bool preempt = running == target.idle_thread || queue.should_preempt(thread, *running, arch::read_counter());
    if (preempt) request_reschedule(target);
    bool slice_needed = !preempt && queue.slice_deadline_ns() == ~u64{0};
    if (slice_needed) queue.start_slice(monotonic_ns());
    queue.lock.release();
    // The slice of a thread that was alone begins now; a remote CPU learns of it by an interrupt.
    if (slice_needed) {
        if (&target == &this_cpu())
            program_hardware_timer();
        else
            arch::send_ipi(target);
    }
}

} // namespace

void schedule() { switch_and_program(Voluntary::Yes); }

void reschedule() {
    if (current_thread().pending_work.load(std::memory_order_relaxed) & work_reschedule)
        switch_and_program(Voluntary::No);
}

void yield() {
    arch::InterruptState state = arch::save_and_disable_interrupts();
    Thread& self = current_thread();
    RunQueue& queue = *this_cpu().run_queue;
    if (queue.waiting() > 0) {
        // Behind everybody who waits now: a slice's worth of virtual time.
        self.virtual_runtime += RunQueue::slice_ns;
        switch_threads(Voluntary::No);
        program_hardware_timer();
    }
    arch::restore_interrupts(state);
}

void enable_preemption() {
    enable_preemption_no_switch();
    Thread& self = current_thread();
    if (self.preempt_count == 0 && (self.pending_work.load(std::memory_order_relaxed) & work_reschedule) &&
        arch::interrupts_enabled())
        switch_and_program(Voluntary::No);
}

void spin_unlock_preemption() { enable_preemption(); }

void start_thread(Thread& thread) {
    arch::InterruptState state = arch::save_and_disable_interrupts();
    thread.virtual_runtime = current_thread().virtual_runtime;
    thread.last_cpu = this_cpu().number;
    thread.state.store(ThreadState::Running, std::memory_order_relaxed);
    enqueue(thread);
    arch::restore_interrupts(state);
}

bool wake_thread(Thread& thread, u32 states) {
    InterruptSpinGuard guard(thread.scheduling_lock);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!(state_bit(thread.state.load(std::memory_order_relaxed)) & states)) return false;
    for (;;) {
        auto* owner = static_cast<Cpu*>(thread.cpu);
        owner->run_queue->lock.acquire();
        if (thread.cpu != owner) {
            owner->run_queue->lock.release();
            continue;
        }
        // Still active: it hasn't gone to sleep yet, or was preempted on the way there.
        if (thread.is_active) {
            thread.state.store(ThreadState::Running, std::memory_order_relaxed);
            owner->run_queue->lock.release();
            return true;
        }
        owner->run_queue->lock.release();
        break;
    }
    thread.state.store(ThreadState::Running, std::memory_order_relaxed);
    while (thread.on_cpu.load(std::memory_order_acquire)) arch::relax();
    enqueue(thread);
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
    arch::disable_interrupts();
    current_thread().state.store(ThreadState::Dead, std::memory_order_relaxed);
    switch_threads(Voluntary::Yes);
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

void set_nice(Thread& thread, int nice) { thread.nice = static_cast<i8>(nice < -20 ? -20 : nice > 19 ? 19 : nice); }

Result<void> set_affinity(Thread& thread, u64 cpu_bits) {
    if (!(cpu_bits & online_cpus())) return error(Errno::EINVAL);
    thread.affinity = CpuMask(cpu_bits);
    // A thread that runs where it may no longer be is made to pass through the scheduler, which moves it.
    if (&thread == &current_thread()) {
        schedule();
        return {};
    }
    arch::InterruptState state = arch::save_and_disable_interrupts();
    auto* where = static_cast<Cpu*>(thread.cpu);
    if (where && where->current == &thread) request_reschedule(*where);
    arch::restore_interrupts(state);
    return {};
}

u64 runnable_threads() {
    u64 total = 0;
    for (u32 i = 0; i < cpu_count(); ++i)
        if (cpu(i).run_queue) total += cpu(i).run_queue->runnable();
    return total;
}

void initialise_scheduler() {
    current_thread().run_clock.start(arch::read_counter());
    for (u32 i = 0; i < cpu_count(); ++i) {
        cpu(i).run_queue = new (std::nothrow) RunQueue;
        VERIFY(cpu(i).run_queue); // at boot, the heap has room
    }
    initialise_timers();
}

void run_idle_loop() {
    Cpu& self = this_cpu();
    for (;;) {
        arch::disable_interrupts();
        if (self.run_queue->runnable() > 0 || self.must_reschedule.load(std::memory_order_relaxed) ||
            (current_thread().pending_work.load(std::memory_order_relaxed) & work_reschedule)) {
            switch_threads(Voluntary::Yes);
            program_hardware_timer();
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
    program_hardware_timer();
    arch::enable_interrupts();
    current_thread().run();
    panic("thread {} returned from run()", current_thread().name());
}

void preemption_point() {
    using namespace core;
    Thread& self = current_thread();
    if (self.preempt_count != 0 || this_cpu().interrupt_depth != 0) return;
    if (self.pending_work.load(std::memory_order_relaxed) & work_reschedule) {
        switch_threads(Voluntary::No);
        program_hardware_timer();
    }
}

} // namespace linnet::hooks
