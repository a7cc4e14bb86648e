// Control and status registers: numbers and bits that we use (LoongArch Reference Manual, volume 1, chapter
// 7), I/O CSRs, and access to them.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch::csr {

inline constexpr u64 crmd_ie = 1u << 2;
inline constexpr u64 prmd_user = 3, prmd_pie = 1u << 2;
inline constexpr u64 euen_fp = 1, euen_lsx = 2, euen_lasx = 4;

inline constexpr unsigned estat_code_shift = 16;
inline constexpr u64 estat_code_mask = 0x3f, estat_subcode_mask = 0x1ff, estat_interrupts = 0x1fff;
inline constexpr unsigned estat_subcode_shift = 22;
inline constexpr unsigned first_hardware_interrupt = 2, last_hardware_interrupt = 9;
inline constexpr u64 interrupt_timer = 1u << 11, interrupt_ipi = 1u << 12;
inline constexpr u64 hardware_interrupts = 0x3fc;

inline constexpr u64 asid_mask = 0x3ff;
inline constexpr unsigned asid_bits_shift = 16;

inline constexpr u64 iocsr_ipi_status = 0x1000, iocsr_ipi_enable = 0x1004, iocsr_ipi_clear = 0x100c,
                     iocsr_ipi_send = 0x1040, iocsr_mailbox_send = 0x1048;

} // namespace linnet::arch::csr

// The number of a CSR is part of the instruction, so these can't be functions.
#define LINNET_CSR_CRMD 0x0
#define LINNET_CSR_EUEN 0x2
#define LINNET_CSR_ECFG 0x4
#define LINNET_CSR_ASID 0x18
#define LINNET_CSR_PGDL 0x19
#define LINNET_CSR_TCFG 0x41
#define LINNET_CSR_TICLR 0x44

#define LINNET_READ_CSR(number)                                                                                        \
    ({                                                                                                                 \
        ::linnet::u64 csr_value_;                                                                                      \
        asm volatile("csrrd %0, %1" : "=r"(csr_value_) : "i"(number));                                                 \
        csr_value_;                                                                                                    \
    })
#define LINNET_WRITE_CSR(number, value)                                                                                \
    do {                                                                                                               \
        ::linnet::u64 csr_value_ = (value);                                                                            \
        asm volatile("csrwr %0, %1" : "+r"(csr_value_) : "i"(number) : "memory");                                      \
    } while (false)
/// Sets the bits of `mask` to those of `value`; evaluates to the register's old value.
#define LINNET_EXCHANGE_CSR(number, value, mask)                                                                       \
    ({                                                                                                                 \
        ::linnet::u64 csr_value_ = (value);                                                                            \
        asm volatile("csrxchg %0, %1, %2" : "+r"(csr_value_) : "r"(::linnet::u64{mask}), "i"(number) : "memory");      \
        csr_value_;                                                                                                    \
    })

namespace linnet::arch {

inline u32 cpucfg(u32 word) {
    u64 value;
    asm("cpucfg %0, %1" : "=r"(value) : "r"(u64{word}));
    return static_cast<u32>(value);
}
inline u64 iocsr_read64(u64 place) {
    u64 value;
    asm volatile("iocsrrd.d %0, %1" : "=r"(value) : "r"(place) : "memory");
    return value;
}
inline u32 iocsr_read32(u64 place) {
    u64 value;
    asm volatile("iocsrrd.w %0, %1" : "=r"(value) : "r"(place) : "memory");
    return static_cast<u32>(value);
}
inline void iocsr_write64(u64 place, u64 value) {
    asm volatile("iocsrwr.d %0, %1" : : "r"(value), "r"(place) : "memory");
}
inline void iocsr_write32(u64 place, u32 value) {
    asm volatile("iocsrwr.w %0, %1" : : "r"(u64{value}), "r"(place) : "memory");
}

} // namespace linnet::arch
