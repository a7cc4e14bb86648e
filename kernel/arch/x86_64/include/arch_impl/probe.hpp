// x86_64: probed instructions (arch/probe.hpp).
#pragma once

#include "../../../common/probe_types.hpp"

namespace linnet::arch {

inline constexpr u8 probe_breakpoint[] = {0xcc};
inline constexpr usize probe_alignment = 1, breakpoint_trap_distance = 1, breakpoint_prefix = 1, return_pops = 8,
                       longest_instruction = 15;
inline constexpr usize probe_slot_size = 16;

inline constexpr bool returns_without_trap = true;
inline constexpr u64 interrupts_in_status = 0x200, interrupts_held = 0; // RFLAGS.IF

struct ProbedInstruction {
    enum class Kind : u8 {
        Step,
        SystemCall,
        Jump,      // by `displacement`
        Condition, // the same if `condition` holds
        Loop,      // LOOPNE, LOOPE, LOOP, JRCXZ, by `condition`
        Call,
        Return,    // and drops `displacement` bytes more
        Push,      // the register `condition`
        JumpValue, // the copy loads where to into `lent`
        CallValue,
    } kind = Kind::Step;
    static constexpr u8 none = 0xff;
    u8 length = 0;
    u8 condition = 0;
    u8 lent = none;        // a register that the copy has for itself
    bool needs_pc = false; // it begins with the address of the next instruction
    i32 displacement = 0;
    u8 slot_length = 0;
    u8 slot[16] = {}; // with the breakpoint
};

/// A view of UserRegisters, all of whose members are words.
struct ProbeRegisters {
    u64* words;
    [[nodiscard]] u64 pc() const { return words[17]; }
    void set_pc(u64 address) { words[17] = address; }
    [[nodiscard]] u64 flags() const { return words[19]; }
    [[nodiscard]] u64 sp() const { return words[20]; }
    /// At a function's first instruction, of kernel code.
    [[nodiscard]] u64& kernel_return_address() const { return *reinterpret_cast<u64*>(sp()); }
    /// By the number that instructions have for it.
    [[nodiscard]] u64& of(unsigned number) const {
        constexpr u8 places[16] = {10, 11, 12, 5, 20, 4, 13, 14, 9, 8, 7, 6, 3, 2, 1, 0};
        return words[places[number]];
    }
};

} // namespace linnet::arch
