// Breakpoints and watchpoints of user code in the CPU's debug registers (SDM vol. 3, 18.2), as a tracer sets them
// through struct user (ptrace(2), PTRACE_POKEUSER).
#pragma once

#include <arch/thread.hpp>
#include <arch/user_context.hpp>

namespace linnet::arch {

/// What a thread has been given; made when it first is.
struct DebugRegisters {
    u64 address[4] = {};
    bool is_known[4] = {}; // it has an address: what DR7 says of it must make sense even while it is off, as on Linux
    u64 control = 0;       // DR7 as the tracer wrote it
};

/// DR0 to DR7 as Linux shows them.
u64 read_debug_register(const UserContext& context, unsigned number);
/// The thread does not run. EIO: DR4 and DR5 don't exist. EINVAL: not user memory, not aligned, or no such kind.
/// ENOMEM.
Result<void> write_debug_register(UserContext& context, unsigned number, u64 value);

/// Puts them into the CPU, or takes those of another thread out of it. Interrupts are off.
void load_debug_registers(const UserContext& context, CpuState& cpu);
/// A debug exception of user code: what it was, from DR6, which is cleared. Returns si_code.
int note_debug_exception(UserContext& context);

inline void clear_debug_status() { asm volatile("mov %0, %%dr6" ::"r"(u64{0xffff'0ff0})); } // the CPU never does

} // namespace linnet::arch
