// How long an x86_64 instruction is: prefixes, opcode, ModR/M with what it brings, immediate operands.
#include "instruction_length.hpp"

namespace linnet::arch {
namespace {

using Map = InstructionParts::Map;
using Coding = InstructionParts::Coding;

/// A set of opcodes.
struct OpcodeSet {
    u64 words[4] = {};
    constexpr OpcodeSet& add(unsigned first, unsigned last) {
        for (unsigned opcode = first; opcode <= last; ++opcode) words[opcode >> 6] |= u64{1} << (opcode & 63);
        return *this;
    }
    constexpr OpcodeSet& add(unsigned opcode) { return add(opcode, opcode); }
    [[nodiscard]] constexpr bool has(u8 opcode) const { return words[opcode >> 6] >> (opcode & 63) & 1; }
};

constexpr OpcodeSet primary_with_modrm = [] {
    OpcodeSet set;
    for (unsigned row = 0; row < 0x40; row += 8) set.add(row, row + 3);
    return set.add(0x63)
        .add(0x69)
        .add(0x6b)
        .add(0x80, 0x8f)
        .add(0xc0, 0xc1)
        .add(0xc6, 0xc7)
        .add(0xd0, 0xd3)
        .add(0xd8, 0xdf)
        .add(0xf6, 0xf7)
        .add(0xfe, 0xff);
}();

/// Not in 64-bit mode.
constexpr OpcodeSet primary_invalid = [] {
    OpcodeSet set;
    for (unsigned opcode : {0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x60,
                            0x61, 0x62, 0x82, 0x9a, 0xc4, 0xc5, 0xce, 0xd4, 0xd5, 0xd6, 0xea})
        set.add(opcode);
    return set;
}();

constexpr OpcodeSet secondary_without_modrm = OpcodeSet{}
                                                  .add(0x05, 0x09)
                                                  .add(0x0b)
                                                  .add(0x0e)
                                                  .add(0x30, 0x37)
                                                  .add(0x77)
                                                  .add(0x80, 0x8f)
                                                  .add(0xa0, 0xa2)
                                                  .add(0xa8, 0xaa)
                                                  .add(0xc8, 0xcf);
constexpr OpcodeSet secondary_invalid = OpcodeSet{}
                                            .add(0x04)
                                            .add(0x0a)
                                            .add(0x0c)
                                            .add(0x0f)
                                            .add(0x24, 0x27)
                                            .add(0x36)
                                            .add(0x39)
                                            .add(0x3b, 0x3f)
                                            .add(0x7a, 0x7b)
                                            .add(0xa6, 0xa7);
constexpr OpcodeSet secondary_with_byte =
    OpcodeSet{}.add(0x70, 0x73).add(0xa4).add(0xac).add(0xba).add(0xc2).add(0xc4, 0xc6);

/// Bytes of the immediate operand of a primary opcode.
unsigned primary_immediate(const InstructionParts& parts) {
    const u8 opcode = parts.opcode;
    const unsigned word = parts.has_operand_size && !(parts.rex & 8) ? 2 : 4;
    if (opcode < 0x40) return (opcode & 7) == 4 ? 1 : (opcode & 7) == 5 ? word : 0;
    if (opcode >= 0x70 && opcode <= 0x7f) return 1;
    if (opcode >= 0xa0 && opcode <= 0xa3) return parts.has_address_size ? 4 : 8;
    if (opcode >= 0xb0 && opcode <= 0xb7) return 1;
    if (opcode >= 0xb8 && opcode <= 0xbf) return parts.rex & 8 ? 8 : word;
    if (opcode >= 0xe0 && opcode <= 0xe7) return 1;
    switch (opcode) {
    case 0x6a:
    case 0x6b:
    case 0x80:
    case 0x83:
    case 0xa8:
    case 0xc0:
    case 0xc1:
    case 0xc6:
    case 0xcd:
    case 0xeb:
        return 1;
    case 0x68:
    case 0x69:
    case 0x81:
    case 0xa9:
    case 0xc7:
        return word;
    case 0xe8:
    case 0xe9: // 64-bit mode knows no shorter ones on Intel's processors
        return 4;
    case 0xc2:
    case 0xca:
        return 2;
    case 0xc8:
        return 3;
    case 0xf6:
        return parts.reg() < 2 ? 1 : 0;
    case 0xf7:
        return parts.reg() < 2 ? word : 0;
    default:
        return 0;
    }
}

unsigned immediate_of(const InstructionParts& parts) {
    switch (parts.map) {
    case Map::Primary:
        return primary_immediate(parts);
    case Map::Secondary:
        if (parts.coding == Coding::Legacy && parts.opcode >= 0x80 && parts.opcode <= 0x8f) return 4;
        return secondary_with_byte.has(parts.opcode) ? 1 : 0;
    case Map::Map3A:
        return 1;
    default:
        return 0;
    }
}

class Reader {
public:
    explicit Reader(std::span<const u8> code) : code_(code.first(code.size() < 15 ? code.size() : 15)) {}
    Result<InstructionParts> read() {
        TRY(read_prefixes());
        TRY(read_opcode());
        if (parts_.has_modrm) TRY(read_modrm());
        // AMD's XOP prefix.
        const bool is_legacy = parts_.coding == Coding::Legacy && parts_.map == Map::Primary;
        if (is_legacy && parts_.opcode == 0x8f && parts_.reg() != 0) return error(Errno::ENOEXEC);
        parts_.immediate_at = static_cast<u8>(at_);
        parts_.immediate_size = static_cast<u8>(immediate_of(parts_));
        TRY(skip(parts_.immediate_size));
        parts_.length = static_cast<u8>(at_);
        return parts_;
    }

private:
    Result<u8> next() {
        if (at_ == code_.size()) return error(Errno::ENOEXEC);
        return code_[at_++];
    }
    Result<void> skip(unsigned count) {
        if (count > code_.size() - at_) return error(Errno::ENOEXEC);
        at_ += count;
        return {};
    }
    Result<void> read_prefixes() {
        for (;; ++at_) {
            if (at_ == code_.size()) return error(Errno::ENOEXEC);
            switch (code_[at_]) {
            case 0x66:
                parts_.has_operand_size = true;
                continue;
            case 0x67:
                parts_.has_address_size = true;
                continue;
            case 0xf0:
                parts_.has_lock = true;
                continue;
            case 0xf2:
            case 0xf3:
            case 0x26:
            case 0x2e:
            case 0x36:
            case 0x3e:
            case 0x64:
            case 0x65:
                continue;
            default:
                break;
            }
            break;
        }
        parts_.prefix_length = static_cast<u8>(at_);
        if ((code_[at_] & 0xf0) == 0x40) parts_.rex = code_[at_++];
        return {};
    }
    Result<void> read_opcode() {
        u8 byte = TRY(next());
        if (byte == 0xc5 && !parts_.rex) return read_vex(Coding::Vex2);
        if (byte == 0xc4 && !parts_.rex) return read_vex(Coding::Vex3);
        if (byte == 0x62 && !parts_.rex) return read_vex(Coding::Evex);
        if (byte == 0x0f) {
            parts_.map = Map::Secondary;
            byte = TRY(next());
            if (byte == 0x38 || byte == 0x3a) {
                parts_.map = byte == 0x38 ? Map::Map38 : Map::Map3A;
                byte = TRY(next());
            }
        }
        parts_.opcode = byte;
        parts_.opcode_at = static_cast<u8>(at_ - 1);
        switch (parts_.map) {
        case Map::Primary:
            if (primary_invalid.has(byte)) return error(Errno::ENOEXEC);
            parts_.has_modrm = primary_with_modrm.has(byte);
            break;
        case Map::Secondary:
            if (secondary_invalid.has(byte)) return error(Errno::ENOEXEC);
            parts_.has_modrm = !secondary_without_modrm.has(byte);
            break;
        default:
            parts_.has_modrm = true;
        }
        return {};
    }
    /// SDM vol. 2, 2.3.5 and 2.7.1.
    Result<void> read_vex(Coding coding) {
        parts_.coding = coding;
        u8 first = TRY(next()), last = first;
        u8 map = 1;
        if (coding != Coding::Vex2) {
            map = first & (coding == Coding::Evex ? 7 : 0x1f);
            last = TRY(next());
            parts_.rex = static_cast<u8>((~first >> 5) & 7) | (last >> 7 & 1) << 3;
        } else {
            parts_.rex = (~first >> 5) & 4;
        }
        parts_.vector_register = ~last >> 3 & 0xf;
        if (coding == Coding::Evex) TRY(skip(1));
        // Maps 5 and 6 have the half-precision instructions, none with an immediate operand that map 3 hasn't.
        if (map == 0 || map == 4 || map > 6 || (map > 3 && coding != Coding::Evex)) return error(Errno::ENOEXEC);
        parts_.map = map == 3 ? Map::Map3A : map == 1 ? Map::Secondary : Map::Map38;
        parts_.opcode = TRY(next());
        parts_.opcode_at = static_cast<u8>(at_ - 1);
        parts_.has_modrm = !(map == 1 && parts_.opcode == 0x77);
        return {};
    }
    Result<void> read_modrm() {
        parts_.modrm_at = static_cast<u8>(at_);
        parts_.modrm = TRY(next());
        unsigned displacement = parts_.mod() == 1 ? 1 : parts_.mod() == 2 ? 4 : 0;
        if (parts_.mod() != 3 && parts_.rm() == 4) {
            const u8 sib = TRY(next());
            if (parts_.mod() == 0 && (sib & 7) == 5) displacement = 4;
        }
        if (parts_.is_relative_to_pc()) displacement = 4;
        parts_.displacement_at = static_cast<u8>(at_);
        parts_.displacement_size = static_cast<u8>(displacement);
        return skip(displacement);
    }

    std::span<const u8> code_;
    usize at_ = 0;
    InstructionParts parts_;
};

} // namespace

Result<InstructionParts> take_instruction_apart(std::span<const u8> code) { return Reader(code).read(); }

} // namespace linnet::arch
