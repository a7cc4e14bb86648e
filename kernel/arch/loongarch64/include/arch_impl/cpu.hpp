// LoongArch: interrupts are masked by CRMD.IE.
#pragma once

#include <arch_impl/csr.hpp>

namespace linnet::arch {

using InterruptState = u64; // CRMD.IE

inline bool interrupts_enabled() { return (LINNET_READ_CSR(LINNET_CSR_CRMD) & csr::crmd_ie) != 0; }
inline void enable_interrupts() { (void)LINNET_EXCHANGE_CSR(LINNET_CSR_CRMD, csr::crmd_ie, csr::crmd_ie); }
inline void disable_interrupts() { (void)LINNET_EXCHANGE_CSR(LINNET_CSR_CRMD, 0, csr::crmd_ie); }
inline InterruptState save_and_disable_interrupts() {
    return LINNET_EXCHANGE_CSR(LINNET_CSR_CRMD, 0, csr::crmd_ie) & csr::crmd_ie;
}
inline void restore_interrupts(InterruptState state) {
    (void)LINNET_EXCHANGE_CSR(LINNET_CSR_CRMD, state, csr::crmd_ie);
}

/// There is no pause instruction; the compiler must read memory again.
inline void relax() { asm volatile("nop" : : : "memory"); }
inline void synchronise_instruction_stream() { asm volatile("dbar 0\nibar 0" : : : "memory"); }

} // namespace linnet::arch
