// What is different about probed instructions of the kernel (arch/kernel_probe.hpp).
#include <arch/kernel_probe.hpp>
#include <arch/usercopy.hpp>
#include <iterator>

#include "instruction_length.hpp"

namespace linnet::arch {

uintptr_t frame_pointer(ProbeRegisters registers) {
    constexpr unsigned rbp = 5;
    return registers.of(rbp);
}

bool copy_kernel_nofault(void* to, u64 address, usize size) {
    if (address < ~u64{0} / 2) return false;
    return arch_copy_from_user(to, reinterpret_cast<const void*>(address), size) == 0;
}

Result<ProbedInstruction> decode_kernel_probed(std::span<const u8> code) {
    const auto parts = take_instruction_apart(code);
    if (!parts) return error(Errno::EILSEQ);
    const bool is_primary =
        parts->coding == InstructionParts::Coding::Legacy && parts->map == InstructionParts::Map::Primary;
    // PUSHF and POPF see the interrupt flag; behind a load of SS no interrupt is taken.
    if (is_primary && (parts->opcode == 0x9c || parts->opcode == 0x9d || parts->opcode == 0x8e))
        return error(Errno::ENOTSUPP);
    const auto decoded = decode_probed(code);
    if (decoded && decoded->kind == ProbedInstruction::Kind::SystemCall) return error(Errno::ENOTSUPP);
    return decoded;
}

std::optional<TextStep> text_step(std::span<const u8> code) {
    const auto parts = take_instruction_apart(code);
    if (!parts) return {};
    return TextStep{.length = parts->length};
}

int register_by_name(std::string_view name) {
    // As they lie in the frame.
    constexpr std::string_view names[] = {"r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9",    "r8", "ax",
                                          "cx",  "dx",  "si",  "di",  "",   "",   "ip",  "cs",  "flags", "sp", "ss"};
    for (usize i = 0; i < std::size(names); ++i)
        if (!name.empty() && names[i] == name) return static_cast<int>(i);
    return -1;
}

int argument_register(unsigned number) {
    constexpr int places[] = {14, 13, 12, 11, 9, 8};
    return number < std::size(places) ? places[number] : -1;
}

} // namespace linnet::arch
