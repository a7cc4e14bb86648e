// Which LoongArch instructions are executed out of line and which are emulated (LoongArch reference manual, volume 1,
// "Branch instructions", "PCADDI", appendix B).
#include <arch_impl/probe.hpp>
#include <cstring>

// What runs before a probe's breakpoint is known for one can't be probed itself.
#pragma clang section text = ".text.noprobe"

namespace linnet::arch {
namespace {

using Kind = ProbedInstruction::Kind;

constexpr unsigned link_register = 1, value_register = 4;
/// The six highest bits.
enum Opcode : u32 {
    opcode_beqz = 0x10,
    opcode_bnez = 0x11,
    opcode_bceqz = 0x12, // and bcnez: by a condition flag of the floating-point unit
    opcode_jirl = 0x13,
    opcode_b = 0x14,
    opcode_bl = 0x15,
    opcode_beq = 0x16,
    opcode_bgeu = 0x1b,
};
/// The seven highest bits.
enum AddPcOpcode : u32 { pcaddi = 0x0c, pcalau12i = 0x0d, pcaddu12i = 0x0e, pcaddu18i = 0x0f };

constexpr u32 bits(u32 code, unsigned low, unsigned count) { return code >> low & ((1u << count) - 1); }
constexpr unsigned rd(u32 code) { return bits(code, 0, 5); }
constexpr unsigned rj(u32 code) { return bits(code, 5, 5); }
constexpr u64 extend(u32 value, unsigned width) {
    return static_cast<u64>(static_cast<i64>(u64{value} << (64 - width)) >> (64 - width));
}
constexpr u64 offset_16(u32 code) { return extend(bits(code, 10, 16), 16) << 2; }
constexpr u64 offset_21(u32 code) { return extend(bits(code, 0, 5) << 16 | bits(code, 10, 16), 21) << 2; }
constexpr u64 offset_26(u32 code) { return extend(bits(code, 0, 10) << 16 | bits(code, 10, 16), 26) << 2; }

Result<Kind> kind_of(u32 code) {
    constexpr u32 break_15 = 0x54, syscall_15 = 0x56; // the seventeen highest bits
    if (code >> 15 == break_15) return error(Errno::EINVAL);
    if (code >> 15 == syscall_15) return Kind::SystemCall;
    const u32 opcode = code >> 26;
    switch (opcode) {
    case opcode_beqz:
    case opcode_bnez:
        return Kind::BranchZero;
    case opcode_bceqz:
        return error(Errno::EINVAL);
    case opcode_jirl:
        return Kind::JumpRegister;
    case opcode_b:
    case opcode_bl:
        return Kind::Jump;
    default:
        break;
    }
    if (opcode >= opcode_beq && opcode <= opcode_bgeu) return Kind::Branch;
    if (code >> 25 >= pcaddi && code >> 25 <= pcaddu18i) return Kind::AddPc;
    // Most functions begin with one. It could be stepped, but that costs a second trap.
    constexpr u32 addi_d = 0xb; // the ten highest bits
    if (code >> 22 == addi_d) return Kind::AddImmediate;
    // A trap between a linked load and its conditional store makes that fail, for ever in a loop.
    constexpr u32 linked_first = 0x20, linked_last = 0x23; // ll.w, sc.w, ll.d, sc.d by their eight highest bits
    if (code >> 24 >= linked_first && code >> 24 <= linked_last) return error(Errno::EINVAL);
    constexpr u32 linked_pairs = 0x70ab; // sc.q, llacq and screl by their seventeen highest bits
    if (code >> 15 == linked_pairs || code >> 15 == 0x70af) return error(Errno::EINVAL);
    if (opcode == 0x01) return error(Errno::EINVAL); // privileged
    return Kind::Step;
}

bool is_taken(u32 code, ProbeRegisters registers) {
    const u64 a = registers.get(rj(code)), b = registers.get(rd(code));
    switch (code >> 26) {
    case opcode_beq:
        return a == b;
    case opcode_beq + 1:
        return a != b;
    case opcode_beq + 2:
        return static_cast<i64>(a) < static_cast<i64>(b);
    case opcode_beq + 3:
        return static_cast<i64>(a) >= static_cast<i64>(b);
    case opcode_beq + 4:
        return a < b;
    default:
        return a >= b;
    }
}

u64 added_to_pc(u32 code, u64 address) {
    const u64 immediate = extend(bits(code, 5, 20), 20);
    switch (code >> 25) {
    case pcaddi:
        return address + (immediate << 2);
    case pcalau12i:
        return (address + (immediate << 12)) & ~u64{0xfff};
    case pcaddu12i:
        return address + (immediate << 12);
    default:
        return address + (immediate << 18);
    }
}

} // namespace

Result<ProbedInstruction> decode_probed(std::span<const u8> code) {
    if (code.size() < 4) return error(Errno::EINVAL);
    ProbedInstruction made;
    std::memcpy(&made.code, code.data(), sizeof made.code);
    made.kind = TRY(kind_of(made.code));
    std::memcpy(made.slot, code.data(), 4);
    std::memcpy(made.slot + 4, probe_breakpoint, sizeof probe_breakpoint);
    return made;
}

ProbeAction begin_probed(const ProbedInstruction& instruction, ProbeRegisters registers, u64 address, ProbeMemory&,
                         ProbedStep&) {
    const u32 code = instruction.code;
    const u64 next = address + 4;
    switch (instruction.kind) {
    case Kind::Step:
        return ProbeAction::OutOfLine;
    case Kind::SystemCall:
        return ProbeAction::SystemCall;
    case Kind::Jump:
        if (code >> 26 == opcode_bl) registers.set(link_register, next);
        registers.set_pc(address + offset_26(code));
        return ProbeAction::Emulated;
    case Kind::JumpRegister: {
        const u64 target = registers.get(rj(code)) + offset_16(code);
        registers.set(rd(code), next);
        registers.set_pc(target);
        return ProbeAction::Emulated;
    }
    case Kind::Branch:
        registers.set_pc(is_taken(code, registers) ? address + offset_16(code) : next);
        return ProbeAction::Emulated;
    case Kind::BranchZero: {
        const bool is_zero = registers.get(rj(code)) == 0;
        registers.set_pc(is_zero == (code >> 26 == opcode_beqz) ? address + offset_21(code) : next);
        return ProbeAction::Emulated;
    }
    case Kind::AddPc:
        registers.set(rd(code), added_to_pc(code, address));
        registers.set_pc(next);
        return ProbeAction::Emulated;
    case Kind::AddImmediate:
        registers.set(rd(code), registers.get(rj(code)) + extend(bits(code, 10, 12), 12));
        registers.set_pc(next);
        return ProbeAction::Emulated;
    }
    return ProbeAction::OutOfLine;
}

bool finish_probed(const ProbedInstruction&, ProbeRegisters registers, u64 address, ProbeMemory&, ProbedStep&) {
    registers.set_pc(address + 4);
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
