// The parts of an x86_64 instruction (Intel SDM vol. 2, chapter 2 and appendix A).
#pragma once

#include <lib/result.hpp>
#include <lib/types.hpp>
#include <span>

namespace linnet::arch {

struct InstructionParts {
    enum class Map : u8 { Primary = 0, Secondary = 1, Map38 = 2, Map3A = 3 };
    enum class Coding : u8 { Legacy, Vex2, Vex3, Evex };
    Coding coding = Coding::Legacy;
    Map map = Map::Primary;
    u8 opcode = 0;
    u8 rex = 0; // 0: none
    u8 modrm = 0;
    u8 vector_register = 0; // VEX.vvvv
    bool has_modrm = false;
    bool has_operand_size = false, has_address_size = false, has_lock = false;
    u8 prefix_length = 0; // legacy ones; a REX, VEX or EVEX prefix follows
    u8 opcode_at = 0, modrm_at = 0, displacement_at = 0, immediate_at = 0;
    u8 displacement_size = 0, immediate_size = 0;
    u8 length = 0;

    [[nodiscard]] unsigned mod() const { return modrm >> 6; }
    [[nodiscard]] unsigned reg() const { return modrm >> 3 & 7; }
    [[nodiscard]] unsigned rm() const { return modrm & 7; }
    [[nodiscard]] bool is_relative_to_pc() const { return has_modrm && mod() == 0 && rm() == 5; }
};

/// ENOEXEC: no instruction of 64-bit mode, or not all of it is there.
Result<InstructionParts> take_instruction_apart(std::span<const u8> code);

} // namespace linnet::arch
