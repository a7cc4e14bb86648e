// Setting a tracee's registers (arch/tracing.hpp): NT_PRSTATUS, the FXSAVE image, the whole XSAVE image, and struct
// user.
#include <arch/tracing.hpp>

#include "debug_registers.hpp"
#include "extended_state.hpp"
#include "features.hpp"
#include <abi/linux/elf.hpp>
#include <abi_arch/signal_frame.hpp>
#include <cstring>

namespace linnet::arch {
namespace {

constexpr long request_getregs = 12, request_setregs = 13, request_getfpregs = 14, request_setfpregs = 15,
               request_arch_prctl = 30;
constexpr usize fxsave_size = 512, header_offset = 512;
/// The kernel's struct user: general registers first, then much that nobody reads, then the debug registers and two
/// words that <sys/user.h> leaves out.
constexpr u64 debug_registers_at = 848, debug_registers_end = debug_registers_at + 8 * sizeof(u64), user_size = 928;

bool is_debug_register(u64 offset) { return offset >= debug_registers_at && offset < debug_registers_end; }
unsigned debug_register_number(u64 offset) {
    return static_cast<unsigned>((offset - debug_registers_at) / sizeof(u64));
}

Result<void> check_mxcsr(std::span<const u8> image) {
    constexpr usize mxcsr_offset = 24, mask_offset = 28;
    u32 wanted, possible;
    std::memcpy(&wanted, image.data() + mxcsr_offset, sizeof wanted);
    std::memcpy(&possible, initial_extended_state().data() + mask_offset, sizeof possible);
    if (possible == 0) possible = 0xffbf; // SDM vol. 1, 11.6.6
    if (wanted & ~possible) return error(Errno::EINVAL);
    return {};
}

/// An XSAVE header that Linux would refuse: components that aren't enabled, compaction, reserved words.
Result<void> check_header(std::span<const u8> image) {
    u64 words[8], known;
    std::memcpy(words, image.data() + header_offset, sizeof words);
    std::memcpy(&known,
                initial_extended_state().data() + abi::fpx_sw_bytes_offset + offsetof(abi::fpx_sw_bytes, xfeatures),
                sizeof known);
    u64 rest = words[0] & ~known;
    for (unsigned i = 1; i < 8; ++i) rest |= words[i];
    if (rest != 0) return error(Errno::EINVAL);
    return {};
}

Result<void> write_image(UserContext& context, std::span<const u8> from) {
    TRY(check_mxcsr(from));
    const bool is_whole = from.size() > fxsave_size;
    if (is_whole) TRY(check_header(from));
    std::span<u8> image = context.save_extended_state();
    std::memcpy(image.data(), from.data(), from.size());
    if (!is_whole && image.size() > fxsave_size) {
        u64 present;
        std::memcpy(&present, image.data() + header_offset, sizeof present);
        present |= 3; // x87 and SSE are not in their initial state any more
        std::memcpy(image.data() + header_offset, &present, sizeof present);
    }
    context.extended_state_changed();
    return {};
}

} // namespace

usize register_set_unit(u32) { return sizeof(u64); }

Result<void> write_register_set(UserContext& context, u32 type, std::span<const u8> from, usize) {
    if (type != abi::NT_PRSTATUS) return write_image(context, from);
    abi::linux_user_regs regs;
    std::memcpy(&regs, from.data(), sizeof regs);
    return context.from_user_regs(regs);
}

RegisterRequest register_request(long request) {
    switch (request) {
    case request_getregs:
    case request_setregs:
        return {abi::NT_PRSTATUS, request == request_setregs};
    case request_getfpregs:
    case request_setfpregs:
        return {abi::NT_PRFPREG, request == request_setfpregs};
    default:
        return {};
    }
}

Result<WordRequest> word_request(long request, u64 code) {
    if (request != request_arch_prctl) return error(Errno::EIO);
    constexpr u64 fs_base = offsetof(abi::linux_user_regs, fs_base), gs_base = offsetof(abi::linux_user_regs, gs_base);
    constexpr u64 set_gs = 0x1001, set_fs = 0x1002, get_fs = 0x1003, get_gs = 0x1004; // asm/prctl.h, arch_prctl(2)
    switch (code) {
    case set_gs:
    case get_gs:
        return WordRequest{gs_base, code == set_gs};
    case set_fs:
    case get_fs:
        return WordRequest{fs_base, code == set_fs};
    default:
        return error(Errno::EINVAL);
    }
}

Result<u64> read_user_area(UserContext& context, u64 offset) {
    if (offset % sizeof(u64) != 0 || offset >= user_size) return error(Errno::EIO);
    if (is_debug_register(offset)) return read_debug_register(context, debug_register_number(offset));
    if (offset >= sizeof(abi::linux_user_regs)) return 0;
    const abi::linux_user_regs regs = context.to_user_regs();
    u64 value;
    std::memcpy(&value, reinterpret_cast<const u8*>(&regs) + offset, sizeof value);
    return value;
}

Result<void> write_user_area(UserContext& context, u64 offset, u64 value) {
    if (offset % sizeof(u64) != 0) return error(Errno::EIO);
    if (is_debug_register(offset)) return write_debug_register(context, debug_register_number(offset), value);
    if (offset >= sizeof(abi::linux_user_regs)) return error(Errno::EIO);
    abi::linux_user_regs regs = context.to_user_regs();
    std::memcpy(reinterpret_cast<u8*>(&regs) + offset, &value, sizeof value);
    return context.from_user_regs(regs);
}

} // namespace linnet::arch
