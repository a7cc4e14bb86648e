// Contract: the counter and the one-shot timer.
#pragma once

#include <lib/types.hpp>

#include <arch_impl/time.hpp> // inline u64 read_counter(): monotonic, the same on all CPUs, readable from user code

namespace linnet::arch {

/// Ticks per second of read_counter(); fixed after calibrate_counter().
u64 counter_frequency();
/// Called once on the boot CPU when memory and firmware tables are known; measures where no register tells.
void calibrate_counter();
/// Arms this CPU's timer: hooks::timer_interrupt() runs once at or soon after `deadline` (a counter value). An earlier
/// arming is replaced. A deadline in the past fires at once. ~0 disarms.
void set_timer_deadline(u64 deadline);
/// Called once on each CPU after initialise_cpu and after the interrupt controller works.
void initialise_timer();

} // namespace linnet::arch
