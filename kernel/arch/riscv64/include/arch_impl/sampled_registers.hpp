// RISC-V: registers in samples (arch/sampled_registers.hpp): PC, then x1 to x31.
#pragma once

#include <abi_arch/user_regs.hpp>
#include <lib/types.hpp>

namespace linnet::arch {

inline constexpr u64 sampled_registers = (u64{1} << 32) - 1;
inline u64 sampled_register(const abi::linux_user_regs& regs, unsigned number) {
    u64 words[32];
    static_assert(sizeof words == sizeof regs);
    __builtin_memcpy(words, &regs, sizeof words);
    return words[number];
}

} // namespace linnet::arch
