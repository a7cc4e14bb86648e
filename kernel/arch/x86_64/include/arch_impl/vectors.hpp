// How the 256 interrupt vectors are used. A higher number has priority in the local APIC.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

inline constexpr u8 vector_legacy_base = 0x20;  // where the masked 8259s' spurious interrupts go: ignored
inline constexpr u8 vector_device_first = 0x30; // IO-APIC inputs and MSIs, given out by drivers/irqchip
inline constexpr u8 vector_device_last = 0xee;
inline constexpr u8 vector_timer = 0xef;
inline constexpr u8 vector_ipi = 0xfd;
inline constexpr u8 vector_apic_error = 0xfe;
inline constexpr u8 vector_spurious = 0xff;

} // namespace linnet::arch
