// AArch64: registers in samples (arch/sampled_registers.hpp): x0 to x30, SP, PC.
#pragma once

#include <abi_arch/user_regs.hpp>
#include <lib/types.hpp>

namespace linnet::arch {

inline constexpr u64 sampled_registers = (u64{1} << 33) - 1;
inline u64 sampled_register(const abi::linux_user_regs& regs, unsigned number) {
    if (number == 31) return regs.sp;
    return number == 32 ? regs.pc : regs.regs[number];
}

} // namespace linnet::arch
