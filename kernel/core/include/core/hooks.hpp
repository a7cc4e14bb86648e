// Calls that core makes upwards; defined by mm.
#pragma once

#include <arch/hooks.hpp>

namespace linnet::core {
struct Cpu;
}

namespace linnet::hooks {

/// Takes back what allocate_kernel_stack() gave. Any context that may spin; nobody runs on it any more.
void free_kernel_stack(uintptr_t top);

/// Whether a CPU that has nothing to run may make itself useful, asked with interrupts off; and doing a little of it,
/// with interrupts on. Neither may sleep.
bool has_idle_work();
void do_idle_work();
/// A kernel thread begins to run where a user thread ran: the user half stays, and nobody uses it. Interrupts off.
void user_tables_rest(core::Cpu& cpu);

} // namespace linnet::hooks
