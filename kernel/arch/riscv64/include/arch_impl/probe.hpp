// RISC-V: probed instructions (arch/probe.hpp).
#pragma once

#include "../../../common/probe_types.hpp"

namespace linnet::arch {

/// c.ebreak, which fits wherever an instruction begins.
inline constexpr u8 probe_breakpoint[] = {0x02, 0x90};
inline constexpr usize probe_alignment = 2, breakpoint_trap_distance = 0, breakpoint_prefix = 0, return_pops = 0,
                       longest_instruction = 4;
inline constexpr usize probe_slot_size = 8;

inline constexpr bool returns_without_trap = false;
inline constexpr u64 interrupts_in_status = 0x20, interrupts_held = 0; // sstatus.SPIE

struct ProbedInstruction {
    u32 code = 0;
    u8 length = 0; // 2 or 4
    enum class Kind : u8 { Step, SystemCall, Jump, JumpRegister, Branch, AddPc } kind = Kind::Step;
    u8 slot_length = 0;
    u8 slot[6] = {}; // with the breakpoint
};

struct ProbeRegisters {
    u64* words; // [0] is pc, [n] is xn
    [[nodiscard]] u64 pc() const { return words[0]; }
    void set_pc(u64 address) { words[0] = address; }
    [[nodiscard]] u64 sp() const { return words[2]; }
    /// At a function's first instruction, of kernel code.
    [[nodiscard]] u64& kernel_return_address() const { return words[1]; }
    [[nodiscard]] u64 get(unsigned number) const { return number == 0 ? 0 : words[number]; }
    void set(unsigned number, u64 value) {
        if (number != 0) words[number] = value;
    }
};

} // namespace linnet::arch
