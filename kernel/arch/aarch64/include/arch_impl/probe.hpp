// AArch64: probed instructions (arch/probe.hpp).
#pragma once

#include "../../../common/probe_types.hpp"

namespace linnet::arch {

/// `brk #5`, as Linux plants it.
inline constexpr u8 probe_breakpoint[] = {0xa0, 0x00, 0x20, 0xd4};
inline constexpr usize probe_alignment = 4, breakpoint_trap_distance = 0, breakpoint_prefix = 0, return_pops = 0,
                       longest_instruction = 4;
inline constexpr usize probe_slot_size = 8;

inline constexpr bool returns_without_trap = false;
inline constexpr u64 interrupts_in_status = 0x80, interrupts_held = 0x80; // PSTATE.I

struct ProbedInstruction {
    u32 code = 0;
    u8 length = 4;
    enum class Kind : u8 {
        Step,
        SystemCall,
        Jump,
        JumpRegister,
        BranchCondition,
        BranchZero,
        BranchBit,
        Address,
        LoadLiteral, // by a register that is lent
    } kind = Kind::Step;
    u8 lent = 0;
    u8 slot_length = 8;
    u8 slot[8] = {}; // with the breakpoint
};

struct ProbeRegisters {
    u64* words; // x0 to x30, sp, pc, pstate
    [[nodiscard]] u64 pc() const { return words[32]; }
    void set_pc(u64 address) { words[32] = address; }
    [[nodiscard]] u64 sp() const { return words[31]; }
    /// At a function's first instruction, of kernel code.
    [[nodiscard]] u64& kernel_return_address() const { return words[30]; }
    [[nodiscard]] u64 flags() const { return words[33]; }
    [[nodiscard]] u64 get(unsigned number) const { return number == 31 ? 0 : words[number]; }
    void set(unsigned number, u64 value) {
        if (number != 31) words[number] = value;
    }
};

} // namespace linnet::arch
