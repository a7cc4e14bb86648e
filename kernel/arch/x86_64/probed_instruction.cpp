// Which x86_64 instructions are executed out of line, which are emulated, and which are not to be probed.
//
// An operand relative to the program counter is reached in the copy by a register that is lent: it holds the address of
// the next instruction and the operand keeps its displacement. Jumps and calls through registers and memory become a
// load of where they lead to into such a register.
#include <arch_impl/probe.hpp>
#include <cstring>

#include "instruction_length.hpp"

// What runs before a probe's breakpoint is known for one can't be probed itself.
#pragma clang section text = ".text.noprobe"

namespace linnet::arch {
namespace {

using Kind = ProbedInstruction::Kind;
using Map = InstructionParts::Map;
using Coding = InstructionParts::Coding;

constexpr unsigned rcx = 1, rsp = 4;
constexpr u64 carry = 1, parity = 4, zero = 0x40, sign = 0x80, overflow = 0x800;

/// What only the kernel may execute, what traps by intent, and what leaves the segment.
bool is_refused_primary(const InstructionParts& parts) {
    switch (parts.opcode) {
    case 0x6c:
    case 0x6d:
    case 0x6e:
    case 0x6f: // INS, OUTS
    case 0xca:
    case 0xcb:
    case 0xcc:
    case 0xcd:
    case 0xcf:
    case 0xf1: // far returns, INT, IRET
    case 0xe4:
    case 0xe5:
    case 0xe6:
    case 0xe7:
    case 0xec:
    case 0xed:
    case 0xee:
    case 0xef: // IN, OUT
    case 0xf4:
    case 0xfa:
    case 0xfb: // HLT, CLI, STI
        return true;
    case 0xc6:
    case 0xc7:
        return parts.reg() == 7; // XABORT, XBEGIN
    case 0xff:
        return parts.reg() == 3 || parts.reg() == 5 || parts.reg() == 7; // far ones
    default:
        return false;
    }
}

bool is_refused_secondary(const InstructionParts& parts) {
    switch (parts.opcode) {
    case 0x01: // of the system ones XGETBV, XEND, XTEST, RDPKRU, WRPKRU and RDTSCP are everybody's
        switch (parts.modrm) {
        case 0xd0:
        case 0xd5:
        case 0xd6:
        case 0xee:
        case 0xef:
        case 0xf9:
            return false;
        default:
            return true;
        }
    case 0x00:
    case 0x02:
    case 0x03:
    case 0x06:
    case 0x07:
    case 0x08:
    case 0x09:
    case 0x0b:
    case 0x0e:
    case 0x20:
    case 0x21:
    case 0x22:
    case 0x23:
    case 0x30:
    case 0x32:
    case 0x33:
    case 0x34:
    case 0x35:
    case 0x37:
    case 0x78:
    case 0x79:
    case 0xaa:
    case 0xb9:
    case 0xff:
        return true;
    default:
        return false;
    }
}

bool is_refused(const InstructionParts& parts) {
    if (parts.coding != Coding::Legacy) return false;
    if (parts.map == Map::Primary) return is_refused_primary(parts);
    return parts.map == Map::Secondary && is_refused_secondary(parts);
}

Kind kind_of(const InstructionParts& parts) {
    if (parts.coding != Coding::Legacy) return Kind::Step;
    const u8 opcode = parts.opcode;
    if (parts.map == Map::Secondary) {
        if (opcode == 0x05) return Kind::SystemCall;
        return (opcode & 0xf0) == 0x80 ? Kind::Condition : Kind::Step;
    }
    if (parts.map != Map::Primary) return Kind::Step;
    if ((opcode & 0xf0) == 0x70) return Kind::Condition;
    if ((opcode & 0xf8) == 0x50 && !parts.has_operand_size && !parts.has_lock) return Kind::Push;
    if (opcode >= 0xe0 && opcode <= 0xe3) return Kind::Loop;
    switch (opcode) {
    case 0xe8:
        return Kind::Call;
    case 0xe9:
    case 0xeb:
        return Kind::Jump;
    case 0xc2:
    case 0xc3:
        return Kind::Return;
    case 0xff:
        return parts.reg() == 2 ? Kind::CallValue : parts.reg() == 4 ? Kind::JumpValue : Kind::Step;
    default:
        return Kind::Step;
    }
}

/// RDI, RSI or RBX: no instruction that has a ModR/M byte uses one of the first two besides, and only CMPXCHG16B the
/// third.
u8 choose_lent(const InstructionParts& parts) {
    const unsigned reg = parts.reg() | (parts.rex & 4) << 1, vector = parts.vector_register;
    const bool is_vector = parts.coding != Coding::Legacy;
    for (u8 candidate : {7, 6, 3})
        if (candidate != reg && !(is_vector && candidate == vector)) return candidate;
    return 7;
}

/// Takes the extension of the base register away: REX.B, or its inverse in the other prefixes.
void clear_base_extension(const InstructionParts& parts, u8* code) {
    switch (parts.coding) {
    case Coding::Legacy:
        if (parts.rex) code[parts.prefix_length] &= static_cast<u8>(~1);
        break;
    case Coding::Vex2:
        break;
    default:
        code[parts.prefix_length + 1] |= 0x20;
    }
}

/// From an operand relative to the program counter to one relative to the lent register.
void make_relative_to_lent(const InstructionParts& parts, ProbedInstruction& made) {
    u8* const code = made.slot;
    code[parts.modrm_at] = static_cast<u8>((parts.modrm & 0x38) | 0x80 | (made.lent & 7));
    clear_base_extension(parts, code);
    made.needs_pc = true;
}

/// MOV r/m64, lent: opcode 8B with REX.W, in place of FF /2 or FF /4.
void make_load(const InstructionParts& parts, ProbedInstruction& made) {
    u8 copy[16];
    const unsigned rest = made.length - parts.opcode_at;
    std::memcpy(copy, made.slot + parts.opcode_at, rest);
    copy[0] = 0x8b;
    copy[1] = static_cast<u8>((copy[1] & 0xc7) | (made.lent & 7) << 3);
    u8 rex = 0x48;
    if (parts.rex) rex = static_cast<u8>(0x48 | (made.slot[parts.prefix_length] & 3));
    made.slot[parts.prefix_length] = rex;
    std::memcpy(made.slot + parts.prefix_length + 1, copy, rest);
    made.slot_length = static_cast<u8>(parts.prefix_length + 1 + rest);
}

Result<void> fill_slot(const InstructionParts& parts, ProbedInstruction& made) {
    const bool loads = made.kind == Kind::JumpValue || made.kind == Kind::CallValue;
    if (parts.is_relative_to_pc()) {
        if (parts.has_address_size) return error(Errno::ENOTSUPP);
        made.lent = choose_lent(parts);
        make_relative_to_lent(parts, made);
    } else if (loads) {
        made.lent = choose_lent(parts);
    }
    if (loads) {
        if (parts.has_operand_size || parts.length == longest_instruction) return error(Errno::ENOTSUPP);
        make_load(parts, made);
    }
    std::memcpy(made.slot + made.slot_length, probe_breakpoint, sizeof probe_breakpoint);
    made.slot_length += sizeof probe_breakpoint;
    return {};
}

i32 signed_immediate(const InstructionParts& parts, std::span<const u8> code) {
    i32 value = 0;
    if (parts.immediate_size == 1) return static_cast<i8>(code[parts.immediate_at]);
    std::memcpy(&value, code.data() + parts.immediate_at, parts.immediate_size);
    return value; // of a return unsigned
}

/// SDM vol. 2, appendix B.1.4.7.
bool holds(unsigned condition, u64 flags) {
    const bool signs_differ = static_cast<bool>(flags & sign) != static_cast<bool>(flags & overflow);
    const bool results[] = {
        (flags & overflow) != 0, (flags & carry) != 0,  (flags & zero) != 0, (flags & (carry | zero)) != 0,
        (flags & sign) != 0,     (flags & parity) != 0, signs_differ,        signs_differ || (flags & zero) != 0};
    return results[condition >> 1 & 7] != static_cast<bool>(condition & 1);
}

bool loops(unsigned opcode, ProbeRegisters registers) {
    u64& count = registers.of(rcx);
    if (opcode == 3) return count == 0; // JRCXZ
    --count;
    if (opcode == 2) return count != 0;
    return count != 0 && static_cast<bool>(registers.flags() & zero) == (opcode == 1);
}

ProbeAction bad_access(ProbedStep& step, u64 address, bool is_write) {
    step.bad_address = address;
    step.bad_write = is_write;
    return ProbeAction::BadMemory;
}

} // namespace

Result<ProbedInstruction> decode_probed(std::span<const u8> code) {
    const auto parts = take_instruction_apart(code);
    if (!parts) return error(Errno::ENOEXEC);
    if (is_refused(*parts)) return error(Errno::ENOTSUPP);
    ProbedInstruction made;
    made.kind = kind_of(*parts);
    made.length = made.slot_length = parts->length;
    made.condition = made.kind == Kind::Push ? (parts->opcode & 7) | (parts->rex & 1) << 3 : parts->opcode & 0xf;
    if (made.kind == Kind::Loop && parts->has_address_size) return error(Errno::ENOTSUPP);
    const bool is_branch = made.kind != Kind::Step && made.kind != Kind::SystemCall && made.kind != Kind::Push;
    // Without REX.W, an operand size of 16 bits is honoured by some processors and not by others.
    if (is_branch && parts->has_operand_size && !(parts->rex & 8)) return error(Errno::ENOTSUPP);
    if (is_branch && parts->has_lock) return error(Errno::ENOTSUPP);
    if (parts->immediate_size <= 4) made.displacement = signed_immediate(*parts, code);
    std::memcpy(made.slot, code.data(), made.length);
    TRY(fill_slot(*parts, made));
    return made;
}

ProbeAction begin_probed(const ProbedInstruction& instruction, ProbeRegisters registers, u64 address,
                         ProbeMemory& memory, ProbedStep& step) {
    const u64 next = address + instruction.length, target = next + static_cast<u64>(i64{instruction.displacement});
    switch (instruction.kind) {
    case Kind::SystemCall:
        return ProbeAction::SystemCall;
    case Kind::Jump:
        registers.set_pc(target);
        return ProbeAction::Emulated;
    case Kind::Condition:
        registers.set_pc(holds(instruction.condition, registers.flags()) ? target : next);
        return ProbeAction::Emulated;
    case Kind::Loop:
        registers.set_pc(loops(instruction.condition, registers) ? target : next);
        return ProbeAction::Emulated;
    case Kind::Call:
        if (!memory.store(registers.sp() - 8, next)) return bad_access(step, registers.sp() - 8, true);
        registers.of(rsp) -= 8;
        registers.set_pc(target);
        return ProbeAction::Emulated;
    case Kind::Push: // what most functions begin with: the second trap is spared
        if (!memory.store(registers.sp() - 8, registers.of(instruction.condition)))
            return bad_access(step, registers.sp() - 8, true);
        registers.of(rsp) -= 8;
        registers.set_pc(next);
        return ProbeAction::Emulated;
    case Kind::Return: {
        u64 where;
        if (!memory.load(registers.sp(), where)) return bad_access(step, registers.sp(), false);
        registers.of(rsp) += 8 + static_cast<u16>(instruction.displacement);
        registers.set_pc(where);
        return ProbeAction::Emulated;
    }
    default:
        break;
    }
    if (instruction.lent == ProbedInstruction::none) return ProbeAction::OutOfLine;
    step.saved = registers.of(instruction.lent);
    if (instruction.needs_pc) registers.of(instruction.lent) = next;
    return ProbeAction::OutOfLine;
}

bool finish_probed(const ProbedInstruction& instruction, ProbeRegisters registers, u64 address, ProbeMemory& memory,
                   ProbedStep& step) {
    const u64 next = address + instruction.length;
    u64 target = next;
    if (instruction.kind == Kind::JumpValue || instruction.kind == Kind::CallValue)
        target = registers.of(instruction.lent);
    abandon_probed(instruction, registers, step);
    if (instruction.kind == Kind::CallValue) {
        if (!memory.store(registers.sp() - 8, next)) {
            bad_access(step, registers.sp() - 8, true);
            return false;
        }
        registers.of(rsp) -= 8;
    }
    registers.set_pc(target);
    return true;
}

void abandon_probed(const ProbedInstruction& instruction, ProbeRegisters registers, const ProbedStep& step) {
    if (instruction.lent != ProbedInstruction::none) registers.of(instruction.lent) = step.saved;
}

std::optional<u64> return_address(ProbeRegisters registers, ProbeMemory& memory) {
    u64 value;
    if (!memory.load(registers.sp(), value)) return {};
    return value;
}
bool set_return_address(ProbeRegisters registers, ProbeMemory& memory, u64 address) {
    return memory.store(registers.sp(), address);
}
u64 returned_value(ProbeRegisters registers) { return registers.of(0); }

} // namespace linnet::arch
