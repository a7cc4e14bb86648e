// Contract: starting other CPUs and interrupting them.
#pragma once

#include <arch/cpu.hpp>
#include <lib/address.hpp>
#include <lib/result.hpp>

namespace linnet::arch {

/// Starts `cpu` (its hardware_id set, `cpu.current` an idle thread with a kernel stack); it arrives in
/// hooks::secondary_cpu(cpu) on that stack with the kernel's page tables, interrupts off. Does not wait for it.
Result<void> start_cpu(CpuHeader& cpu);

/// Runs hooks::ipi() on the CPU soon. Callable with interrupts disabled.
void send_ipi(CpuHeader& cpu);

} // namespace linnet::arch
