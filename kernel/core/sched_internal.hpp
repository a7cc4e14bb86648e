// Between the scheduler's files: switching (sched.cpp), choosing CPUs (placement.cpp), changing attributes
// (scheduling.cpp).
#pragma once

#include <core/sched.hpp>

#include "run_queue.hpp"

namespace linnet::core {

inline u64 cpu_bit(const Cpu& cpu) { return u64{1} << cpu.number; }

/// Puts a thread that is Away on a queue. Its scheduling_lock is held (or nobody else knows it yet, or it is marked
/// must_migrate), interrupts off. Returns whose queue that is.
Cpu& enqueue(Thread& thread, FairQueue::Arrival arrival);
/// Makes `target` look at its queue again. Interrupts off; its queue lock may be held.
void request_reschedule(Cpu& target);
/// program_hardware_timer() after a switch: only the run queue's event can have changed.
void program_event_timer();
/// The CPU has an earlier event than its timer is set for. Interrupts off.
void reprogram_timer(Cpu& target);
/// Locks the queue of the CPU that a thread is on, or was last; null for one that never was on any. Its scheduling_lock
/// is held.
Cpu* lock_queue_of(Thread& thread);
/// A thread's own urgency or the inherited one, whichever is higher.
Urgency urgency_of(const Thread& thread);
/// Timer interrupt: looks at this CPU's queue when its event is due.
void tick(Cpu& self, u64 now_ns);
/// The thread dies: what it had reserved is free for others. May wait for a timer; no lock is held.
void give_up_reservation(Thread& thread);

// ---- placement.cpp ----

/// Where a thread that becomes ready should run.
Cpu& choose_cpu(const Thread& thread);
/// Takes a waiting thread from the busiest queue to this CPU's empty one, whose lock is held; others are only tried, so
/// no order between queues is needed.
void steal(Cpu& self, u64 now);
/// Takes over a thread of the deadline or real-time class that waits elsewhere and is more urgent than all here. This
/// CPU's queue lock is held; it may be released and taken again.
void pull_urgent(Cpu& self, bool current_stays, u64 now);
/// Makes a CPU of `allowed` that runs something less urgent than `level` look for what waits elsewhere. After a thread
/// of that urgency has begun to wait. Interrupts off; no queue lock is held.
void find_room_for(u8 level, u64 allowed);
/// Gives a thread to a CPU that has fewer. This CPU's queue lock is held, in its timer interrupt.
void balance(Cpu& self, u64 now);

} // namespace linnet::core
