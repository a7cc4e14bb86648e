// Setting a tracee's registers (arch/tracing.hpp): NT_PRSTATUS, the FP and vector registers, which overlap, and
// breakpoints.
#include "debug_set.hpp"

#include <arch/page.hpp>
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

bool is_debug_set(u32 type) { return type == abi::NT_LOONGARCH_HW_BREAK || type == abi::NT_LOONGARCH_HW_WATCH; }

/// The number of slots is skipped; nothing behind it can be set, for there are none (register_sets.cpp). As on Linux,
/// an address that user code could not have is refused first.
Result<void> write_debug_set(std::span<const u8> from, usize given) {
    if (given <= offsetof(DebugSet, slots)) return {};
    DebugSet set;
    std::memcpy(&set, from.data(), sizeof set);
    return error(VirtAddr{set.slots[0].address} >= user_address_end ? Errno::EINVAL : Errno::EOPNOTSUPP);
}

} // namespace

usize register_set_unit(u32 type) { return is_debug_set(type) ? sizeof(u32) : sizeof(u64); }

Result<void> write_register_set(UserContext& context, u32 type, std::span<const u8> from, usize given) {
    if (type == abi::NT_PRSTATUS) {
        abi::linux_user_regs regs;
        std::memcpy(&regs, from.data(), sizeof regs);
        return context.from_user_regs(regs);
    }
    if (is_debug_set(type)) return write_debug_set(from, given);
    if (type == abi::NT_LOONGARCH_LBT) {
        std::memcpy(&context.translation, from.data(), sizeof context.translation);
        return {};
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

namespace {

// Words of PTRACE_PEEKUSER behind the general registers (asm/ptrace.h: ARG0, PC, BADVADDR). It counts words, not bytes.
constexpr u64 general_words = 32, first_argument_word = 32, pc_word = 33, bad_address_word = 34;

u64* user_word(UserContext& context, u64 index) {
    if (index < general_words) return &context.regs[index];
    if (index == first_argument_word) return &context.original_a0;
    if (index == pc_word) return &context.regs[0];
    if (index == bad_address_word) return &context.bad_address;
    return nullptr;
}

} // namespace

Result<u64> read_user_area(UserContext& context, u64 index) {
    if (index == 0) return 0; // $r0, in whose place we keep the pc
    const u64* word = user_word(context, index);
    if (!word) return error(Errno::EIO);
    return *word;
}

Result<void> write_user_area(UserContext& context, u64 index, u64 value) {
    if (index == 0) return {};
    u64* word = user_word(context, index);
    if (!word) return error(Errno::EIO);
    *word = value;
    return {};
}

} // namespace linnet::arch
