// Setting a tracee's registers (arch/tracing.hpp): NT_PRSTATUS, and the FP and vector registers, which overlap.
#include <arch/tracing.hpp>

#include <abi/linux/elf.hpp>
#include <cstring>

namespace linnet::arch {
namespace {

/// NT_PRFPREG (struct user_fp_state of asm/ptrace.h).
struct FloatingPointSet {
    u64 registers[32];
    u64 fcc;
    u32 fcsr;
    u32 padding;
};
static_assert(sizeof(FloatingPointSet) == 272);

/// Words of each register that a vector set has; 0: it isn't one, or the CPU lacks the unit.
usize vector_words(u32 type) {
    const u32 features = cpucfg(2);
    if (type == abi::NT_LOONGARCH_LSX) return (features & 1u << 6) ? 2 : 0;
    if (type == abi::NT_LOONGARCH_LASX) return (features & 1u << 7) ? 4 : 0;
    return 0;
}

} // namespace

usize register_set_unit(u32) { return sizeof(u64); }

Result<void> write_register_set(UserContext& context, u32 type, std::span<const u8> from, usize) {
    if (type == abi::NT_PRSTATUS) {
        abi::linux_user_regs regs;
        std::memcpy(&regs, from.data(), sizeof regs);
        return context.from_user_regs(regs);
    }
    context.save_extended_state();
    ExtendedState& state = context.extended;
    if (type == abi::NT_PRFPREG) {
        FloatingPointSet set;
        std::memcpy(&set, from.data(), sizeof set);
        for (usize i = 0; i < 32; ++i) state.registers[i][0] = set.registers[i];
        state.fcc = set.fcc;
        state.fcsr = settable_fcsr(set.fcsr);
        context.extended_state_changed();
        return {};
    }
    const usize bytes = vector_words(type) * sizeof(u64);
    if (bytes == 0) return error(Errno::EINVAL);
    context.turn_on_unit(type == abi::NT_LOONGARCH_LASX ? csr::euen_lasx : csr::euen_lsx);
    for (usize i = 0; i < 32; ++i) std::memcpy(state.registers[i], from.data() + i * bytes, bytes);
    context.extended_state_changed();
    return {};
}

RegisterRequest register_request(long) { return {}; }
Result<WordRequest> word_request(long, u64) { return error(Errno::EIO); }

Result<u64> read_user_area(UserContext& context, u64 offset) {
    constexpr u64 era = 32, badv = 33;
    const u64 index = offset;
    if (index < 32) return index == 0 ? 0 : context.regs[index];
    if (index == era) return context.regs[0];
    if (index == badv) return 0;
    return error(Errno::EIO);
}

Result<void> write_user_area(UserContext& context, u64 offset, u64 value) {
    constexpr u64 era = 32;
    if (offset == 0) return {};
    if (offset < 32) return context.regs[offset] = value, Result<void>{};
    if (offset == era) return context.regs[0] = value, Result<void>{};
    return error(Errno::EIO);
}

} // namespace linnet::arch
