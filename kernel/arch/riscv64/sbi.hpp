// Calls to the SBI firmware (RISC-V Supervisor Binary Interface): numbers and the calling instruction.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch::sbi {

struct Answer {
    i64 error; // 0 or negative
    u64 value;
};

inline constexpr u64 base_extension = 0x10, timer_extension = 0x5449'4d45, ipi_extension = 0x73'5049,
                     hart_extension = 0x48'534d, reset_extension = 0x5352'5354, console_extension = 0x4442'434e;
inline constexpr u64 base_probe = 3, base_vendor = 4, base_architecture = 5, base_implementation = 6;
inline constexpr u64 hart_start = 0;
inline constexpr u64 console_write_byte = 2;
inline constexpr u64 reset_shutdown = 0, reset_cold_reboot = 1;
inline constexpr i64 already_available = -6;

inline Answer call(u64 extension, u64 function, u64 argument0 = 0, u64 argument1 = 0, u64 argument2 = 0,
                   u64 argument3 = 0, u64 argument4 = 0) {
    register u64 a0 asm("a0") = argument0;
    register u64 a1 asm("a1") = argument1;
    register u64 a2 asm("a2") = argument2;
    register u64 a3 asm("a3") = argument3;
    register u64 a4 asm("a4") = argument4;
    register u64 a6 asm("a6") = function;
    register u64 a7 asm("a7") = extension;
    asm volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7) : "memory");
    return {static_cast<i64>(a0), a1};
}

/// The console of SBI 0.1, which firmware still has.
inline void legacy_put_char(char c) { call(1, 0, static_cast<u8>(c)); }
inline void legacy_set_timer(u64 deadline) { call(0, 0, deadline); }

inline bool has_extension(u64 extension) {
    Answer answer = call(base_extension, base_probe, extension);
    return answer.error == 0 && answer.value != 0;
}

} // namespace linnet::arch::sbi
