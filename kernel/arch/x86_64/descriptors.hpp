// Segment and interrupt descriptors, task state and the stacks of the exceptions that may come anywhere.
#pragma once

#include <arch/thread.hpp>
#include <lib/result.hpp>

namespace linnet::arch {

/// Boot CPU, once.
void build_interrupt_table();
/// Loads GDT, TSS, IDT and the system call registers of the CPU that runs.
void load_descriptors(CpuHeader& cpu);
/// Gives a CPU that is about to be started its exception stacks.
Result<void> allocate_exception_stacks(CpuHeader& cpu);

} // namespace linnet::arch
