// x86_64: registers in samples (arch/sampled_registers.hpp). Of the segments only CS and SS.
#pragma once

#include <abi_arch/user_regs.hpp>
#include <lib/types.hpp>

namespace linnet::arch {

inline constexpr u64 sampled_registers = 0xff'0fff;
inline u64 sampled_register(const abi::linux_user_regs& regs, unsigned number) {
    const u64* const places[24] = {&regs.rax, &regs.rbx, &regs.rcx, &regs.rdx,    &regs.rsi, &regs.rdi,
                                   &regs.rbp, &regs.rsp, &regs.rip, &regs.eflags, &regs.cs,  &regs.ss,
                                   nullptr,   nullptr,   nullptr,   nullptr,      &regs.r8,  &regs.r9,
                                   &regs.r10, &regs.r11, &regs.r12, &regs.r13,    &regs.r14, &regs.r15};
    return *places[number];
}

} // namespace linnet::arch
