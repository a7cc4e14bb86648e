// x86_64 registers as NT_PRSTATUS, PTRACE_GETREGS and core files carry them (struct user_regs_struct of <sys/user.h>).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

struct linux_user_regs {
    u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    u64 orig_rax, rip, cs, eflags, rsp, ss;
    u64 fs_base, gs_base, ds, es, fs, gs;
};
static_assert(sizeof(linux_user_regs) == 27 * 8);
static_assert(__builtin_offsetof(linux_user_regs, orig_rax) == 15 * 8);
static_assert(__builtin_offsetof(linux_user_regs, fs_base) == 21 * 8);

} // namespace linnet::abi
