// RISC-V's general register set as ptrace(2) and core files show it (asm/ptrace.h, struct user_regs_struct).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

struct linux_user_regs {
    u64 pc, ra, sp, gp, tp, t0, t1, t2, s0, s1, a0, a1, a2, a3, a4, a5, a6, a7, s2, s3, s4, s5, s6, s7, s8, s9, s10,
        s11, t3, t4, t5, t6;
};
static_assert(sizeof(linux_user_regs) == 256);

} // namespace linnet::abi
