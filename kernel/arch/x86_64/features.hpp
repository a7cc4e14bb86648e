// CPUID and control registers: the two steps of CPU initialisation.
#pragma once

#include <arch_impl/features.hpp>

namespace linnet::arch {

/// Boot CPU, once: fills cpu_features(), patches stac/clac in.
void detect_features();
/// Each CPU: control registers and PAT.
void enable_features();

} // namespace linnet::arch
