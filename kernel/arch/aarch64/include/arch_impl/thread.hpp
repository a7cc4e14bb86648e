// Per-thread and per-CPU state of AArch64; tpidr_el1 holds the current ThreadHeader.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

struct ThreadHeader;
class UserContext;

/// The callee-saved registers lie on the kernel stack at `sp`.
struct KernelContext {
    u64 sp = 0;
};

struct CpuState {
    /// Whose FP registers this CPU holds, if that context agrees (UserContext::fp_cpu_).
    UserContext* fp_owner = nullptr;
    /// The bit (GICv2) by which the interrupt controller knows this CPU.
    u32 interrupt_target = 0;
    /// What entries to user code must look after: what MDSCR_EL1 makes the CPU do (UserContext::debug_mode()), and
    /// whether user code may use SVE.
    u8 mode = 0;
};
inline constexpr u8 cpu_mode_sve = 0x80;

inline ThreadHeader* current_thread() {
    ThreadHeader* thread;
    // Not volatile: for the code of one thread the value never changes.
    asm("mrs %0, tpidr_el1" : "=r"(thread));
    return thread;
}
inline void set_current_thread(ThreadHeader* thread) { asm volatile("msr tpidr_el1, %0" : : "r"(thread) : "memory"); }

} // namespace linnet::arch
