// The tracepoints of core and of mm. Each says what holds where it is.
#pragma once

#include <core/irq.hpp>
#include <core/thread.hpp>
#include <core/tracepoint.hpp>

namespace linnet::core {

struct Timer;

namespace tracepoints {

/// `previous` leaves the CPU to `next`. Interrupts off and the run queue's lock held: nobody can be woken. `next` has
/// not run yet: user memory is still that of `previous`.
inline constinit Tracepoint<Cpu& /*cpu*/, Thread& /*previous*/, Thread& /*next*/, bool /*is_preempted*/> sched_switch;
/// Somebody wakes a thread that slept; it is ready, on that CPU, or still runs there; so is a new one. Interrupts off,
/// the thread's scheduling lock or its queue's held.
inline constinit Tracepoint<Thread&> sched_waking;
inline constinit Tracepoint<Thread&, u32 /*cpu*/> sched_wakeup, sched_wakeup_new;
/// A thread that is ready goes from one CPU to another. Interrupts off, the locks of queues held.
inline constinit Tracepoint<Thread&, u32 /*from*/, u32 /*to*/> sched_migrate;
/// The current thread's access to user memory faulted; it has not been dealt with. Any lock may be held that a fault is
/// allowed under.
inline constinit Tracepoint<VirtAddr, bool /*in_kernel*/> page_fault;
/// The current program has mapped or changed something at the address. May sleep.
inline constinit Tracepoint<VirtAddr> memory_mapped;
/// Around each handler of a device's interrupt.
inline constinit Tracepoint<Irq, const char* /*device*/> irq_entry;
inline constinit Tracepoint<Irq, bool /*handled*/> irq_exit;
/// Timers: armed, given up before they were due, and around their callbacks. Interrupts off.
inline constinit Tracepoint<const Timer&, u64 /*deadline_ns*/> timer_start;
inline constinit Tracepoint<const Timer&> timer_cancel;
inline constinit Tracepoint<const Timer&, u64 /*now_ns*/> timer_expire_entry;
inline constinit Tracepoint<const Timer&> timer_expire_exit;

} // namespace tracepoints
} // namespace linnet::core
