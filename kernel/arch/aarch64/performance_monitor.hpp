// The performance monitor of a CPU (Arm ARM, D13; version 3 of the architecture).
#pragma once

namespace linnet::arch {

/// Each CPU, early: its counters stand still and do not interrupt, and user code can't reach them.
void initialise_performance_monitor();

} // namespace linnet::arch
