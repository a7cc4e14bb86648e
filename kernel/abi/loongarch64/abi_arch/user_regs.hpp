// LoongArch's general register set as ptrace(2) and core files show it (asm/ptrace.h, struct user_pt_regs).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

struct linux_user_regs {
    u64 regs[32];
    u64 orig_a0, csr_era, csr_badv;
    u64 reserved[10];
};
static_assert(sizeof(linux_user_regs) == 360);

} // namespace linnet::abi
