// QEMU's processors say that they have no counters (CPUCFG 6, PMP is 0), and nothing else has been there to try any on.
#include "../common/no_hardware_counters.hpp"
