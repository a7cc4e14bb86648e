// Which A64 instructions are executed out of line and which are emulated (Arm Architecture Reference Manual, C4.1, "A64
// instruction set encoding").
#include <arch_impl/probe.hpp>
#include <cstring>

// What runs before a probe's breakpoint is known for one can't be probed itself.
#pragma clang section text = ".text.noprobe"

namespace linnet::arch {
namespace {

using Kind = ProbedInstruction::Kind;

constexpr unsigned link_register = 30;

constexpr u32 bits(u32 code, unsigned low, unsigned count) { return code >> low & ((1u << count) - 1); }
constexpr bool matches(u32 code, u32 mask, u32 value) { return (code & mask) == value; }
constexpr u64 extend(u64 value, unsigned width) {
    return static_cast<u64>(static_cast<i64>(value << (64 - width)) >> (64 - width));
}

Result<Kind> kind_of_branch_by_register(u32 code) {
    constexpr u32 mask = 0xffff'fc1f, br = 0xd61f'0000, blr = 0xd63f'0000, ret = 0xd65f'0000;
    if (matches(code, mask, br) || matches(code, mask, blr) || matches(code, mask, ret)) return Kind::JumpRegister;
    return error(Errno::EINVAL); // exception returns, and those that check a signature of the address
}

Result<Kind> kind_of(u32 code) {
    if (matches(code, 0xffe0'001f, 0xd400'0001)) return Kind::SystemCall;
    if (matches(code, 0xff00'0000, 0xd400'0000)) return error(Errno::EINVAL); // breakpoints, calls of higher levels
    if (matches(code, 0x7c00'0000, 0x1400'0000)) return Kind::Jump;
    if (matches(code, 0xff00'0000, 0x5400'0000)) return Kind::BranchCondition;
    if (matches(code, 0x7e00'0000, 0x3400'0000)) return Kind::BranchZero;
    if (matches(code, 0x7e00'0000, 0x3600'0000)) return Kind::BranchBit;
    if (matches(code, 0xfe00'0000, 0xd600'0000)) return kind_of_branch_by_register(code);
    if (matches(code, 0x1f00'0000, 0x1000'0000)) return Kind::Address;
    if (matches(code, 0x3b00'0000, 0x1800'0000)) return Kind::LoadLiteral;
    // A trap between an exclusive load and its store makes that fail, for ever in a loop. What is ordered only, and
    // CAS and CASP, have other bits here.
    if (matches(code, 0x3f80'0000, 0x0800'0000) && !(bits(code, 21, 1) && !bits(code, 31, 1)))
        return error(Errno::EINVAL);
    return Kind::Step;
}

/// The same load from where register `base` points; 0: a prefetch, which may as well be left out.
Result<u32> load_by_register(u32 code, unsigned base) {
    constexpr u32 general[] = {0xb940'0000, 0xf940'0000, 0xb980'0000};
    constexpr u32 vector[] = {0xbd40'0000, 0xfd40'0000, 0x3dc0'0000};
    const u32 size = bits(code, 30, 2);
    const bool is_vector = bits(code, 26, 1);
    if (size == 3) {
        if (is_vector) return error(Errno::EINVAL);
        constexpr u32 nop = 0xd503'201f;
        return nop;
    }
    return (is_vector ? vector : general)[size] | base << 5 | bits(code, 0, 5);
}

/// "Condition codes", C1.2.4.
bool holds(u32 condition, u64 flags) {
    const bool n = flags >> 31 & 1, z = flags >> 30 & 1, c = flags >> 29 & 1, v = flags >> 28 & 1;
    const bool results[] = {z, c, n, v, c && !z, n == v, n == v && !z, true};
    const bool result = results[condition >> 1];
    return (condition & 1) && condition != 0xf ? !result : result;
}

u64 value_of(u32 code, ProbeRegisters registers) {
    const u64 value = registers.get(bits(code, 0, 5));
    return bits(code, 31, 1) ? value : value & 0xffff'ffff;
}

u64 address_from(u32 code, u64 address) {
    const u64 immediate = extend(u64{bits(code, 5, 19)} << 2 | bits(code, 29, 2), 21);
    return bits(code, 31, 1) ? (address & ~u64{0xfff}) + (immediate << 12) : address + immediate;
}

u64 target_of(const ProbedInstruction& instruction, ProbeRegisters registers, u64 address) {
    const u32 code = instruction.code;
    const u64 offset_19 = extend(bits(code, 5, 19), 19) << 2, next = address + 4;
    switch (instruction.kind) {
    case Kind::Jump:
        return address + (extend(bits(code, 0, 26), 26) << 2);
    case Kind::JumpRegister:
        return registers.get(bits(code, 5, 5));
    case Kind::BranchCondition:
        return holds(bits(code, 0, 4), registers.flags()) ? address + offset_19 : next;
    case Kind::BranchZero:
        return (value_of(code, registers) == 0) != static_cast<bool>(bits(code, 24, 1)) ? address + offset_19 : next;
    default: {
        const u32 number = bits(code, 31, 1) << 5 | bits(code, 19, 5);
        const bool is_set = registers.get(bits(code, 0, 5)) >> number & 1;
        return is_set == static_cast<bool>(bits(code, 24, 1)) ? address + (extend(bits(code, 5, 14), 14) << 2) : next;
    }
    }
}

bool links(const ProbedInstruction& instruction) {
    if (instruction.kind == Kind::Jump) return bits(instruction.code, 31, 1);
    return instruction.kind == Kind::JumpRegister && matches(instruction.code, 0xffff'fc1f, 0xd63f'0000);
}

} // namespace

Result<ProbedInstruction> decode_probed(std::span<const u8> code) {
    if (code.size() < 4) return error(Errno::EINVAL);
    ProbedInstruction made;
    std::memcpy(&made.code, code.data(), sizeof made.code);
    made.kind = TRY(kind_of(made.code));
    u32 copy = made.code;
    if (made.kind == Kind::LoadLiteral) {
        made.lent = bits(made.code, 0, 5) == 16 ? 17 : 16;
        copy = TRY(load_by_register(made.code, made.lent));
    }
    std::memcpy(made.slot, &copy, sizeof copy);
    std::memcpy(made.slot + 4, probe_breakpoint, sizeof probe_breakpoint);
    return made;
}

ProbeAction begin_probed(const ProbedInstruction& instruction, ProbeRegisters registers, u64 address, ProbeMemory&,
                         ProbedStep& step) {
    switch (instruction.kind) {
    case Kind::Step:
        return ProbeAction::OutOfLine;
    case Kind::SystemCall:
        return ProbeAction::SystemCall;
    case Kind::LoadLiteral:
        step.saved = registers.get(instruction.lent);
        registers.set(instruction.lent, address + (extend(bits(instruction.code, 5, 19), 19) << 2));
        return ProbeAction::OutOfLine;
    case Kind::Address:
        registers.set(bits(instruction.code, 0, 5), address_from(instruction.code, address));
        registers.set_pc(address + 4);
        return ProbeAction::Emulated;
    default: {
        const u64 target = target_of(instruction, registers, address);
        if (links(instruction)) registers.set(link_register, address + 4);
        registers.set_pc(target);
        return ProbeAction::Emulated;
    }
    }
}

bool finish_probed(const ProbedInstruction& instruction, ProbeRegisters registers, u64 address, ProbeMemory&,
                   ProbedStep& step) {
    abandon_probed(instruction, registers, step);
    registers.set_pc(address + 4);
    return true;
}

void abandon_probed(const ProbedInstruction& instruction, ProbeRegisters registers, const ProbedStep& step) {
    if (instruction.kind == Kind::LoadLiteral) registers.set(instruction.lent, step.saved);
}

std::optional<u64> return_address(ProbeRegisters registers, ProbeMemory&) { return registers.get(link_register); }
bool set_return_address(ProbeRegisters registers, ProbeMemory&, u64 address) {
    registers.set(link_register, address);
    return true;
}
u64 returned_value(ProbeRegisters registers) { return registers.get(0); }

} // namespace linnet::arch
