// Interrupt masking by PSTATE.I and the instructions around it.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

/// The DAIF register.
using InterruptState = u64;
inline constexpr u64 daif_irq_masked = 1 << 7;

inline InterruptState read_daif() {
    u64 daif;
    asm volatile("mrs %0, daif" : "=r"(daif) : : "memory");
    return daif;
}
inline bool interrupts_enabled() { return (read_daif() & daif_irq_masked) == 0; }
inline void disable_interrupts() { asm volatile("msr daifset, #2" : : : "memory"); }
inline void enable_interrupts() { asm volatile("msr daifclr, #2" : : : "memory"); }
inline InterruptState save_and_disable_interrupts() {
    InterruptState state = read_daif();
    disable_interrupts();
    return state;
}
inline void restore_interrupts(InterruptState state) { asm volatile("msr daif, %0" : : "r"(state) : "memory"); }
inline void relax() { asm volatile("yield" : : : "memory"); }
inline void synchronise_instruction_stream() { asm volatile("isb" : : : "memory"); }

} // namespace linnet::arch
