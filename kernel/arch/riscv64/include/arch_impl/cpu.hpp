// RISC-V: interrupts are masked by sstatus.SIE.
#pragma once

#include <arch_impl/csr.hpp>

namespace linnet::arch {

using InterruptState = u64; // sstatus.SIE

inline bool interrupts_enabled() { return (LINNET_READ_CSR(sstatus) & csr::sstatus_sie) != 0; }
inline void enable_interrupts() { asm volatile("csrsi sstatus, 2" : : : "memory"); }
inline void disable_interrupts() { asm volatile("csrci sstatus, 2" : : : "memory"); }
inline InterruptState save_and_disable_interrupts() {
    u64 before;
    asm volatile("csrrci %0, sstatus, 2" : "=r"(before) : : "memory");
    return before & csr::sstatus_sie;
}
inline void restore_interrupts(InterruptState state) { asm volatile("csrs sstatus, %0" : : "r"(state) : "memory"); }

/// The pause hint of Zihintpause, which is a harmless fence on CPUs without it.
inline void relax() { asm volatile(".4byte 0x0100000f" : : : "memory"); }
inline void synchronise_instruction_stream() { asm volatile("fence.i" : : : "memory"); }

} // namespace linnet::arch
