// What is different about probed instructions of the kernel (arch/kernel_probe.hpp).
#include <arch/kernel_probe.hpp>
#include <arch/usercopy.hpp>

#include <cstring>

namespace linnet::arch {

uintptr_t frame_pointer(ProbeRegisters registers) { return registers.get(8); }

bool copy_kernel_nofault(void* to, u64 address, usize size) {
    if (address < ~u64{0} / 2) return false;
    return arch_copy_from_user(to, reinterpret_cast<const void*>(address), size) == 0;
}

namespace {

constexpr u32 opcode_system = 0x73, opcode_amo = 0x2f;

std::optional<u32> code_of(std::span<const u8> text) {
    u32 code = 0;
    if (text.size() < 2) return {};
    std::memcpy(&code, text.data(), text.size() < 4 ? 2 : 4);
    if ((code & 3) == 3 && text.size() < 4) return {};
    return code;
}

} // namespace

Result<ProbedInstruction> decode_kernel_probed(std::span<const u8> text) {
    const auto code = code_of(text);
    if (!code) return error(Errno::EILSEQ);
    // Calls of the firmware, and the registers that only the kernel has, among them the one with the interrupt flag.
    if ((*code & 0x7f) == opcode_system) return error(Errno::ENOTSUPP);
    return decode_probed(text);
}

std::optional<TextStep> text_step(std::span<const u8> text) {
    using Reservation = TextStep::Reservation;
    const auto code = code_of(text);
    if (!code || (*code & 0xffff) == 0) return {};
    if ((*code & 3) != 3) return TextStep{.length = 2};
    TextStep step{.length = 4};
    if ((*code & 0x7f) == opcode_amo) {
        constexpr u32 load_reserved = 2, store_conditional = 3;
        if (*code >> 27 == load_reserved) step.reservation = Reservation::Begins;
        if (*code >> 27 == store_conditional) step.reservation = Reservation::Ends;
    }
    return step;
}

int register_by_name(std::string_view name) {
    constexpr std::string_view names[] = {"epc", "ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "s0", "s1", "a0",
                                          "a1",  "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5",
                                          "s6",  "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"};
    for (int i = 0; i < 32; ++i)
        if (names[i] == name) return i;
    return -1;
}

int argument_register(unsigned number) { return number < 8 ? static_cast<int>(10 + number) : -1; }

} // namespace linnet::arch
