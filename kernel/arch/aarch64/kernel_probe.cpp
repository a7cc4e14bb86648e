// What is different about probed instructions of the kernel (arch/kernel_probe.hpp).
#include <arch/kernel_probe.hpp>

#include <cstring>

extern "C" linnet::usize arch_copy_from_kernel(void* to, const void* from, linnet::usize size); // usercopy.S

namespace linnet::arch {

uintptr_t frame_pointer(ProbeRegisters registers) { return registers.get(29); }

bool copy_kernel_nofault(void* to, u64 address, usize size) {
    if (address < ~u64{0} / 2) return false;
    return arch_copy_from_kernel(to, reinterpret_cast<const void*>(address), size) == 0;
}

namespace {

constexpr bool matches(u32 code, u32 mask, u32 value) { return (code & mask) == value; }

std::optional<u32> code_of(std::span<const u8> text) {
    u32 code;
    if (text.size() < sizeof code) return {};
    std::memcpy(&code, text.data(), sizeof code);
    return code;
}

/// System instructions that do the same anywhere and with interrupts off: barriers, hints but those that wait, and
/// reads of the registers with the thread.
bool is_harmless_system(u32 code) {
    constexpr u32 read_tpidr_el1 = 0xd538'd080, read_tpidr_el0 = 0xd53b'd040;
    if (matches(code, 0xffff'f01f, 0xd503'301f)) return true;
    if (matches(code, 0xffff'f01f, 0xd503'201f))
        return !matches(code, 0xffff'ff9f, 0xd503'201f) || (code >> 5 & 3) == 0;
    return matches(code, 0xffff'ffe0, read_tpidr_el1) || matches(code, 0xffff'ffe0, read_tpidr_el0);
}

} // namespace

Result<ProbedInstruction> decode_kernel_probed(std::span<const u8> text) {
    const auto code = code_of(text);
    if (!code) return error(Errno::EILSEQ);
    if (matches(*code, 0xff00'0000, 0xd400'0000)) return error(Errno::ENOTSUPP);
    if (matches(*code, 0xff00'0000, 0xd500'0000) && !is_harmless_system(*code)) return error(Errno::ENOTSUPP);
    return decode_probed(text);
}

std::optional<TextStep> text_step(std::span<const u8> text) {
    using Reservation = TextStep::Reservation;
    const auto code = code_of(text);
    if (!code) return {};
    TextStep step{.length = 4};
    // Exclusive loads and stores; CAS and CASP have other bits here.
    if (matches(*code, 0x3f80'0000, 0x0800'0000) && !((*code >> 21 & 1) && !(*code >> 31)))
        step.reservation = (*code >> 22 & 1) ? Reservation::Begins : Reservation::Ends;
    return step;
}

int register_by_name(std::string_view name) {
    if (name == "sp") return 31;
    if (name == "pc") return 32;
    if (name == "pstate") return 33;
    if (name.size() < 2 || name.size() > 3 || name[0] != 'x') return -1;
    int number = 0;
    for (char c : name.substr(1)) {
        if (c < '0' || c > '9') return -1;
        number = number * 10 + (c - '0');
    }
    return number <= 30 ? number : -1;
}

int argument_register(unsigned number) { return number < 8 ? static_cast<int>(number) : -1; }

} // namespace linnet::arch
