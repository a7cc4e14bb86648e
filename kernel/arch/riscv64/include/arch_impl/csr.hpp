// Control and status registers: numbers of the bits we use (RISC-V privileged specification) and access to
// them.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch::csr {

inline constexpr u64 sstatus_sie = 1u << 1;
inline constexpr u64 sstatus_spie = 1u << 5;
inline constexpr u64 sstatus_spp = 1u << 8;
inline constexpr u64 sstatus_sum = 1u << 18;
// Two-bit states of the FP and vector units: off, initial, clean, dirty.
inline constexpr unsigned sstatus_vs_shift = 9;
inline constexpr unsigned sstatus_fs_shift = 13;
inline constexpr u64 sstatus_user_64bit = u64{2} << 32;
inline constexpr u64 unit_off = 0, unit_initial = 1, unit_clean = 2, unit_dirty = 3;
inline constexpr u64 sstatus_vs = u64{3} << sstatus_vs_shift;
inline constexpr u64 sstatus_fs = u64{3} << sstatus_fs_shift;

inline constexpr u64 interrupt_bit = u64{1} << 63; // of scause
inline constexpr u64 interrupt_software = 1, interrupt_timer = 5, interrupt_external = 9;

inline constexpr u64 satp_sv48 = u64{9} << 60;
inline constexpr unsigned satp_asid_shift = 44;
inline constexpr u64 satp_asid_mask = 0xffff;

} // namespace linnet::arch::csr

// The name of a CSR is part of the instruction, so these can't be functions.
#define LINNET_READ_CSR(name)                                                                                          \
    ({                                                                                                                 \
        ::linnet::u64 csr_value_;                                                                                      \
        asm volatile("csrr %0, " #name : "=r"(csr_value_));                                                            \
        csr_value_;                                                                                                    \
    })
#define LINNET_WRITE_CSR(name, value) asm volatile("csrw " #name ", %0" : : "rK"(value) : "memory")
#define LINNET_SET_CSR(name, bits) asm volatile("csrs " #name ", %0" : : "rK"(bits) : "memory")
#define LINNET_CLEAR_CSR(name, bits) asm volatile("csrc " #name ", %0" : : "rK"(bits) : "memory")
