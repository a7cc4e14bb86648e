// Counters of a hart that the firmware sets up (SBI specification, "Performance Monitoring Unit Extension").
#pragma once

namespace linnet::arch {

/// The boot hart, when the firmware may be called and the ISA string is known.
void find_hardware_counters();
/// Each hart behind that: what user code may read of them.
void initialise_hardware_counters();

} // namespace linnet::arch
