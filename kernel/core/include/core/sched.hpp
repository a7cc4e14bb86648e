// The scheduler: per-CPU run queues with the classes of sched(7).
#pragma once

#include <core/scheduling.hpp>
#include <core/thread.hpp>
#include <core/wait_queue.hpp>

namespace linnet::core {

/// Makes a new thread (context prepared, state Running) eligible on some CPU.
void start_thread(Thread& thread);
/// Sets of ThreadState, for wake_thread.
constexpr u32 state_bit(ThreadState state) { return 1u << static_cast<u32>(state); }
inline constexpr u32 sleeping_states =
    state_bit(ThreadState::Sleeping) | state_bit(ThreadState::SleepingKillable) | state_bit(ThreadState::SleepingDeep);

/// Wakes a thread that is in one of `states`; false when it wasn't. Any context.
bool wake_thread(Thread& thread, u32 states = sleeping_states);
/// Makes a thread that runs user code on another CPU pass its loop's edge soon. Any context.
void kick_thread(Thread& thread);
/// Gives up the CPU in the state the thread has set for itself (Stopped, Traced); until wake_thread names that state.
void schedule();
/// Gives up the CPU for others of its queue (sched_yield).
void yield();
/// Switches if a reschedule is due. Preemption and interrupts on.
void reschedule();
/// The current thread, state Dead, leaves for ever.
[[noreturn]] void exit_current();
/// Sleeps for a time, not interruptibly. For kernel threads and drivers.
void sleep_for(u64 nanoseconds);

/// Sets what any thread asks for, or where it may run, and puts it where it now belongs. The attributes are valid
/// (values and combinations); EBUSY when the CPUs can't promise what a deadline thread wants, ENOMEM. Not for a thread
/// that has not been started. May sleep.
Result<void> set_scheduling(Thread& thread, const SchedulingAttributes& attributes);
void set_nice(Thread& thread, int nice);
Result<void> set_affinity(Thread& thread, u64 cpu_bits);
/// The thread holds what somebody of this urgency waits for; Urgency{} for nobody. Any context.
void set_inherited_urgency(Thread& thread, Urgency urgency);
/// How long the current thread has run in the real-time class since it last slept.
u64 realtime_run_ns();
/// At this much time in the real-time class without sleep, work_notify is set once; ~0 for never. Of the current
/// thread.
void set_realtime_alarm(u64 run_ns);

/// Parameters of the real-time class, as /proc/sys/kernel/sched_rt_* give them. All or nothing: EBUSY when deadline
/// threads have been promised more than the share would leave.
struct RealtimeLimits {
    u64 period_ns;
    u64 runtime_ns; // ~0: no limit
};
RealtimeLimits realtime_limits();
Result<void> set_realtime_limits(RealtimeLimits limits);
u64 round_robin_slice_ns();
void set_round_robin_slice_ns(u64 ns);
/// What a fair thread may ask for as its slice: the nearest to `ns` that is allowed.
u64 limit_fair_slice(u64 ns);
/// The slice of a fair thread.
u64 fair_slice_ns(const SchedulingAttributes& attributes);

/// Runs `function(context)` on every CPU in `cpu_bits` except this one, in interrupt context, and waits until all have
/// returned. Interrupts on, preemption off or on.
void run_on_cpus(u64 cpu_bits, void (*function)(void*), void* context);
/// No CPU goes on with instructions fetched before: all of them, for a thread may come to any.
void synchronise_all_instruction_streams();

/// What a CPU's queue has seen since boot (/proc/schedstat).
struct QueueCounts {
    // By the CPU itself, with interrupts off.
    u64 yields = 0;         // sched_yield(2)
    u64 schedules = 0;      // choices of what to run next,
    u64 idles = 0;          // that found nothing
    u64 wake_ups = 0;       // of sleeping threads by what runs here,
    u64 local_wake_ups = 0; // to run here
    u64 slices = 0;         // threads that left the queue to run
    // Under the queue's lock.
    u64 waited_ticks = 0; // by threads that were ready
};
QueueCounts queue_counts(const Cpu& cpu);
/// How long a CPU has been in user code, in counter ticks; of the stay it is in, nothing yet.
u64 user_ticks(Cpu& cpu);
/// Load weight of a thread among fair ones: 1024 at nice 0.
u32 fair_weight(const Thread& thread);

/// Runnable threads (for loadavg and /proc/stat) and thread switches since boot.
u64 runnable_threads();

/// A kernel thread: `function(context)` on its own stack. Lives until the function returns.
Result<Thread*> start_kernel_thread(const char* name, void (*function)(void*), void* context);

/// The same, not yet started (idle threads are entered by their CPU, not by the scheduler).
Result<Thread*> create_kernel_thread(const char* name, void (*function)(void*), void* context);

void initialise_scheduler();       // boot CPU, once, after the heap works
[[noreturn]] void run_idle_loop(); // what each CPU's idle thread does

} // namespace linnet::core
