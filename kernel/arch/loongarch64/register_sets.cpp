// LoongArch: general registers, FP, what the CPU says of itself, LSX and LASX (struct user_pt_regs, user_fp_state,
// user_lsx_state, user_lasx_state), of binary translation (user_lbt_state), and breakpoints and watchpoints
// (user_watch_state_v2).
#include "debug_set.hpp"

#include <abi/linux/elf.hpp>
#include <arch/register_sets.hpp>

namespace linnet::arch {
namespace {

constexpr usize register_count = 32;

struct FloatingPointSet {
    u64 registers[register_count];
    u64 fcc;
    u32 fcsr;
    u32 padding;
};
static_assert(sizeof(FloatingPointSet) == 272);

usize floating_point_size() { return sizeof(FloatingPointSet); }
void read_floating_point(UserContext& of, std::span<u8> to) {
    (void)of.save_extended_state();
    FloatingPointSet out{};
    for (usize i = 0; i < register_count; ++i) out.registers[i] = of.extended.registers[i][0];
    out.fcc = of.extended.fcc;
    out.fcsr = static_cast<u32>(of.extended.fcsr);
    __builtin_memcpy(to.data(), &out, sizeof out);
}

bool always_used(const UserContext&) { return true; }
usize floating_point_note_size(std::span<const u8>) { return __builtin_offsetof(FloatingPointSet, padding); }

constexpr u32 cpucfg_words = 64;
usize cpucfg_size() { return cpucfg_words * sizeof(u32); }
void read_cpucfg(UserContext&, std::span<u8> to) {
    for (u32 i = 0; i < cpucfg_words; ++i) {
        const u32 word = cpucfg(i);
        __builtin_memcpy(to.data() + i * sizeof word, &word, sizeof word);
    }
}

bool cpu_has(unsigned feature_bit) { return cpucfg(2) >> feature_bit & 1; }
constexpr unsigned lsx_bit = 6, lasx_bit = 7;
constexpr usize lsx_bytes = 16, lasx_bytes = 32;

/// What a unit that the thread never used would hold shows as ones, as on Linux.
void read_vectors(UserContext& of, std::span<u8> to, usize bytes) {
    (void)of.save_extended_state();
    const usize used = of.units & csr::euen_lasx ? lasx_bytes : of.units & csr::euen_lsx ? lsx_bytes : sizeof(u64);
    const usize known = used < bytes ? used : bytes;
    for (usize i = 0; i < register_count; ++i) {
        u8* out = to.data() + i * bytes;
        __builtin_memset(out, 0xff, bytes);
        __builtin_memcpy(out, of.extended.registers[i], known);
    }
}
usize lsx_size() { return cpu_has(lsx_bit) ? register_count * lsx_bytes : 0; }
void read_lsx(UserContext& of, std::span<u8> to) { read_vectors(of, to, lsx_bytes); }
usize lasx_size() { return cpu_has(lasx_bit) ? register_count * lasx_bytes : 0; }
void read_lasx(UserContext& of, std::span<u8> to) { read_vectors(of, to, lasx_bytes); }

usize translation_size() { return sizeof(TranslationState); }
void read_translation(UserContext& of, std::span<u8> to) {
    __builtin_memcpy(to.data(), &of.translation, sizeof of.translation);
}

usize debug_set_size() { return sizeof(DebugSet); }
/// QEMU's CPU has no registers for breakpoints and watchpoints, and we use none: their number, and all else, is 0.
void read_debug_set(UserContext&, std::span<u8> to) { __builtin_memset(to.data(), 0, to.size()); }

constexpr RegisterSet sets[] = {
    {"CORE", abi::NT_PRSTATUS, general_set_size, read_general_set},
    {"CORE", abi::NT_PRFPREG, floating_point_size, read_floating_point, always_used, floating_point_note_size},
    {"LINUX", abi::NT_LOONGARCH_CPUCFG, cpucfg_size, read_cpucfg},
    {"LINUX", abi::NT_LOONGARCH_LSX, lsx_size, read_lsx},
    {"LINUX", abi::NT_LOONGARCH_LASX, lasx_size, read_lasx},
    {"LINUX", abi::NT_LOONGARCH_LBT, translation_size, read_translation},
    {"LINUX", abi::NT_LOONGARCH_HW_BREAK, debug_set_size, read_debug_set},
    {"LINUX", abi::NT_LOONGARCH_HW_WATCH, debug_set_size, read_debug_set},
};

} // namespace

std::span<const RegisterSet> register_sets() { return sets; }

} // namespace linnet::arch
