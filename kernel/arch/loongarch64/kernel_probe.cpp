// What is different about probed instructions of the kernel (arch/kernel_probe.hpp).
#include <arch/kernel_probe.hpp>
#include <arch/usercopy.hpp>

#include <cstring>

namespace linnet::arch {

uintptr_t frame_pointer(ProbeRegisters registers) { return registers.get(22); }

bool copy_kernel_nofault(void* to, u64 address, usize size) {
    if (address < ~u64{0} / 2) return false;
    return arch_copy_from_user(to, reinterpret_cast<const void*>(address), size) == 0;
}

namespace {

std::optional<u32> code_of(std::span<const u8> text) {
    u32 code;
    if (text.size() < sizeof code) return {};
    std::memcpy(&code, text.data(), sizeof code);
    return code;
}

} // namespace

Result<ProbedInstruction> decode_kernel_probed(std::span<const u8> text) {
    const auto code = code_of(text);
    if (!code) return error(Errno::EILSEQ);
    const auto decoded = decode_probed(text);
    if (decoded && decoded->kind == ProbedInstruction::Kind::SystemCall) return error(Errno::ENOTSUPP);
    return decoded;
}

std::optional<TextStep> text_step(std::span<const u8> text) {
    using Reservation = TextStep::Reservation;
    const auto code = code_of(text);
    if (!code) return {};
    TextStep step{.length = 4};
    constexpr u32 ll_w = 0x20, sc_w = 0x21, ll_d = 0x22, sc_d = 0x23; // the eight highest bits
    const u32 opcode = *code >> 24;
    if (opcode == ll_w || opcode == ll_d) step.reservation = Reservation::Begins;
    if (opcode == sc_w || opcode == sc_d) step.reservation = Reservation::Ends;
    return step;
}

int register_by_name(std::string_view name) {
    if (name == "pc") return 0;
    if (name.size() < 2 || name.size() > 3 || name[0] != 'r') return -1;
    int number = 0;
    for (char c : name.substr(1)) {
        if (c < '0' || c > '9') return -1;
        number = number * 10 + (c - '0');
    }
    return number >= 1 && number <= 31 ? number : -1;
}

int argument_register(unsigned number) { return number < 8 ? static_cast<int>(4 + number) : -1; }

} // namespace linnet::arch
