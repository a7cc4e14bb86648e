// Which RISC-V instructions are executed out of line and which are emulated (the unprivileged specification, chapters
// "RV32I", "RV64I", "A" and "C").
#include <arch_impl/probe.hpp>
#include <cstring>

// What runs before a probe's breakpoint is known for one can't be probed itself.
#pragma clang section text = ".text.noprobe"

namespace linnet::arch {
namespace {

using Kind = ProbedInstruction::Kind;

constexpr unsigned link_register = 1, value_register = 10;
enum Opcode : u32 {
    opcode_auipc = 0x17,
    opcode_fence = 0x0f,
    opcode_amo = 0x2f,
    opcode_branch = 0x63,
    opcode_jalr = 0x67,
    opcode_jal = 0x6f,
    opcode_system = 0x73,
};

constexpr u32 bits(u32 code, unsigned low, unsigned count) { return code >> low & ((1u << count) - 1); }
constexpr unsigned rd(u32 code) { return bits(code, 7, 5); }
constexpr unsigned rs1(u32 code) { return bits(code, 15, 5); }
constexpr unsigned rs2(u32 code) { return bits(code, 20, 5); }
/// A signed number of so many bits.
constexpr u64 extend(u32 value, unsigned width) {
    return static_cast<u64>(static_cast<i64>(u64{value} << (64 - width)) >> (64 - width));
}

constexpr u64 offset_of_jump(u32 code) {
    return extend(bits(code, 31, 1) << 20 | bits(code, 12, 8) << 12 | bits(code, 20, 1) << 11 | bits(code, 21, 10) << 1,
                  21);
}
constexpr u64 offset_of_branch(u32 code) {
    return extend(bits(code, 31, 1) << 12 | bits(code, 7, 1) << 11 | bits(code, 25, 6) << 5 | bits(code, 8, 4) << 1,
                  13);
}
constexpr u64 offset_of_short_jump(u32 code) {
    return extend(bits(code, 12, 1) << 11 | bits(code, 11, 1) << 4 | bits(code, 9, 2) << 8 | bits(code, 8, 1) << 10 |
                      bits(code, 7, 1) << 6 | bits(code, 6, 1) << 7 | bits(code, 3, 3) << 1 | bits(code, 2, 1) << 5,
                  12);
}
constexpr u64 offset_of_short_branch(u32 code) {
    return extend(bits(code, 12, 1) << 8 | bits(code, 10, 2) << 3 | bits(code, 5, 2) << 6 | bits(code, 3, 2) << 1 |
                      bits(code, 2, 1) << 5,
                  9);
}

Result<Kind> kind_of_short(u32 code) {
    const u32 quadrant = code & 3, function = bits(code, 13, 3);
    if (code == 0) return error(Errno::EINVAL); // defined to be illegal
    if (quadrant == 1) {
        if (function == 5) return Kind::Jump;
        if (function >= 6) return Kind::Branch;
    }
    if (quadrant == 2 && function == 4 && bits(code, 2, 5) == 0) {
        if (rd(code) != 0) return Kind::JumpRegister;
        return error(Errno::EINVAL); // c.ebreak, or reserved
    }
    return Kind::Step;
}

Result<Kind> kind_of_system(u32 code) {
    constexpr u32 ecall = 0x73;
    if (code == ecall) return Kind::SystemCall;
    if (bits(code, 12, 3) != 0) return Kind::Step; // a control and status register
    return error(Errno::EINVAL);                   // ebreak and privileged ones
}

Result<Kind> kind_of_long(u32 code) {
    switch (code & 0x7f) {
    case opcode_auipc:
        return Kind::AddPc;
    case opcode_branch:
        return Kind::Branch;
    case opcode_jalr:
        return Kind::JumpRegister;
    case opcode_jal:
        return Kind::Jump;
    case opcode_system:
        return kind_of_system(code);
    case opcode_amo: {
        // A trap between a reserved load and its conditional store makes that fail, for ever in a loop.
        const u32 function = bits(code, 27, 5);
        if (function == 2 || function == 3) return error(Errno::EINVAL);
        return Kind::Step;
    }
    default:
        return Kind::Step;
    }
}

bool is_taken(u32 code, ProbeRegisters registers) {
    const u64 a = registers.get(rs1(code)), b = registers.get(rs2(code));
    switch (bits(code, 12, 3)) {
    case 0:
        return a == b;
    case 1:
        return a != b;
    case 4:
        return static_cast<i64>(a) < static_cast<i64>(b);
    case 5:
        return static_cast<i64>(a) >= static_cast<i64>(b);
    case 6:
        return a < b;
    default:
        return a >= b;
    }
}

u64 target_of_branch(const ProbedInstruction& instruction, ProbeRegisters registers, u64 address) {
    const u32 code = instruction.code;
    if (instruction.length == 4)
        return address + (is_taken(code, registers) ? offset_of_branch(code) : instruction.length);
    const bool is_zero = registers.get(8 + bits(code, 7, 3)) == 0;
    const bool wants_zero = bits(code, 13, 3) == 6;
    return address + (is_zero == wants_zero ? offset_of_short_branch(code) : instruction.length);
}

/// With its link, which may be the register that it goes by.
u64 jump_by_register(const ProbedInstruction& instruction, ProbeRegisters registers, u64 address) {
    const u32 code = instruction.code;
    const u64 next = address + instruction.length;
    if (instruction.length == 4) {
        const u64 target = (registers.get(rs1(code)) + extend(code >> 20, 12)) & ~u64{1};
        registers.set(rd(code), next);
        return target;
    }
    const u64 target = registers.get(rd(code)) & ~u64{1};
    if (bits(code, 12, 1)) registers.set(link_register, next); // c.jalr
    return target;
}

} // namespace

Result<ProbedInstruction> decode_probed(std::span<const u8> code) {
    if (code.size() < 2) return error(Errno::EINVAL);
    ProbedInstruction made;
    made.length = (code[0] & 3) == 3 ? 4 : 2;
    if (code.size() < made.length) return error(Errno::EINVAL);
    if ((code[0] & 0x1f) == 0x1f) return error(Errno::EINVAL); // longer than 32 bits
    std::memcpy(&made.code, code.data(), made.length);
    made.kind = TRY(made.length == 2 ? kind_of_short(made.code) : kind_of_long(made.code));
    std::memcpy(made.slot, code.data(), made.length);
    std::memcpy(made.slot + made.length, probe_breakpoint, sizeof probe_breakpoint);
    made.slot_length = static_cast<u8>(made.length + sizeof probe_breakpoint);
    return made;
}

ProbeAction begin_probed(const ProbedInstruction& instruction, ProbeRegisters registers, u64 address, ProbeMemory&,
                         ProbedStep&) {
    const u32 code = instruction.code;
    const u64 next = address + instruction.length;
    switch (instruction.kind) {
    case Kind::Step:
        return ProbeAction::OutOfLine;
    case Kind::SystemCall:
        return ProbeAction::SystemCall;
    case Kind::Jump:
        if (instruction.length == 4) registers.set(rd(code), next);
        registers.set_pc(address + (instruction.length == 4 ? offset_of_jump(code) : offset_of_short_jump(code)));
        return ProbeAction::Emulated;
    case Kind::JumpRegister:
        registers.set_pc(jump_by_register(instruction, registers, address));
        return ProbeAction::Emulated;
    case Kind::Branch:
        registers.set_pc(target_of_branch(instruction, registers, address));
        return ProbeAction::Emulated;
    case Kind::AddPc:
        registers.set(rd(code), address + extend(code & ~0xfffu, 32));
        registers.set_pc(next);
        return ProbeAction::Emulated;
    }
    return ProbeAction::OutOfLine;
}

bool finish_probed(const ProbedInstruction& instruction, ProbeRegisters registers, u64 address, ProbeMemory&,
                   ProbedStep&) {
    registers.set_pc(address + instruction.length);
    return true;
}

void abandon_probed(const ProbedInstruction&, ProbeRegisters, const ProbedStep&) {}

std::optional<u64> return_address(ProbeRegisters registers, ProbeMemory&) { return registers.get(link_register); }
bool set_return_address(ProbeRegisters registers, ProbeMemory&, u64 address) {
    registers.set(link_register, address);
    return true;
}
u64 returned_value(ProbeRegisters registers) { return registers.get(value_register); }

} // namespace linnet::arch
