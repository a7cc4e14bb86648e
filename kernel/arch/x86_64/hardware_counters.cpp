// QEMU's emulated processors have no architectural performance monitoring (CPUID leaf 0xa says version 0), and nothing
// else has been there to try counters on.
#include "../common/no_hardware_counters.hpp"
