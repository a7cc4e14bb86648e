// LoongArch: probed instructions (arch/probe.hpp).
#pragma once

#include "../../../common/probe_types.hpp"

namespace linnet::arch {

/// `break 12`, as Linux plants it.
inline constexpr u8 probe_breakpoint[] = {0x0c, 0x00, 0x2a, 0x00};
inline constexpr usize probe_alignment = 4, breakpoint_trap_distance = 0, breakpoint_prefix = 0, return_pops = 0,
                       longest_instruction = 4;
inline constexpr usize probe_slot_size = 8;

inline constexpr bool returns_without_trap = false;
inline constexpr u64 interrupts_in_status = 4, interrupts_held = 0; // PRMD.PIE

struct ProbedInstruction {
    u32 code = 0;
    u8 length = 4;
    enum class Kind : u8 {
        Step,
        SystemCall,
        Jump,
        JumpRegister,
        Branch,
        BranchZero,
        AddPc,
        AddImmediate
    } kind = Kind::Step;
    u8 slot_length = 8;
    u8 slot[8] = {}; // with the breakpoint
};

struct ProbeRegisters {
    u64* words; // [0] is pc, [n] is $rn
    [[nodiscard]] u64 pc() const { return words[0]; }
    void set_pc(u64 address) { words[0] = address; }
    [[nodiscard]] u64 sp() const { return words[3]; }
    /// At a function's first instruction, of kernel code.
    [[nodiscard]] u64& kernel_return_address() const { return words[1]; }
    [[nodiscard]] u64 get(unsigned number) const { return number == 0 ? 0 : words[number]; }
    void set(unsigned number, u64 value) {
        if (number != 0) words[number] = value;
    }
};

} // namespace linnet::arch
