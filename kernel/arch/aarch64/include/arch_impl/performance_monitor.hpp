// What the driver of the performance monitor's interrupt (drivers/counters) and arch say to each other.
#pragma once

namespace linnet::arch {

enum class CounterInterrupts : bool { No, Yes };
/// There is a performance monitor on every CPU; all of them are online. ENODEV in the processor: nothing changes.
void enable_performance_monitor(CounterInterrupts interrupts);
/// The monitor's interrupt has come: false when none of this CPU's counters has overflown.
bool handle_counter_overflow();

} // namespace linnet::arch
