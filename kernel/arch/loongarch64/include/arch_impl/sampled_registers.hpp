// LoongArch: registers in samples (arch/sampled_registers.hpp): PC, then $r1 to $r31.
#pragma once

#include <abi_arch/user_regs.hpp>
#include <lib/types.hpp>

namespace linnet::arch {

inline constexpr u64 sampled_registers = (u64{1} << 32) - 1;
inline u64 sampled_register(const abi::linux_user_regs& regs, unsigned number) {
    return number == 0 ? regs.csr_era : regs.regs[number];
}

} // namespace linnet::arch
