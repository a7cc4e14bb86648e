// struct user_pt_regs of AArch64 (asm/ptrace.h; the register set NT_PRSTATUS), struct user_fpsimd_state (NT_PRFPREG)
// and the hardware capability bits of the auxiliary vector (asm/hwcap.h).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

struct linux_user_regs {
    u64 regs[31];
    u64 sp;
    u64 pc;
    u64 pstate;
};
static_assert(sizeof(linux_user_regs) == 272);

struct alignas(16) user_fpsimd_state {
    u64 vregs[32][2];
    u32 fpsr;
    u32 fpcr;
    u32 reserved[2];
};
static_assert(sizeof(user_fpsimd_state) == 528);
static_assert(__builtin_offsetof(user_fpsimd_state, fpsr) == 512);

inline constexpr u64 PSR_SSBS_BIT = 1 << 12, PSR_DIT_BIT = 1 << 24, PSR_NZCV_BITS = 0xf000'0000;

inline constexpr u64 HWCAP_FP = 1 << 0, HWCAP_ASIMD = 1 << 1, HWCAP_AES = 1 << 3, HWCAP_PMULL = 1 << 4,
                     HWCAP_SHA1 = 1 << 5, HWCAP_SHA2 = 1 << 6, HWCAP_CRC32 = 1 << 7, HWCAP_ATOMICS = 1 << 8,
                     HWCAP_FPHP = 1 << 9, HWCAP_ASIMDHP = 1 << 10, HWCAP_CPUID = 1 << 11, HWCAP_ASIMDRDM = 1 << 12,
                     HWCAP_JSCVT = 1 << 13, HWCAP_FCMA = 1 << 14, HWCAP_LRCPC = 1 << 15, HWCAP_DCPOP = 1 << 16,
                     HWCAP_SHA3 = 1 << 17, HWCAP_SM3 = 1 << 18, HWCAP_SM4 = 1 << 19, HWCAP_ASIMDDP = 1 << 20,
                     HWCAP_SHA512 = 1 << 21, HWCAP_SVE = 1 << 22, HWCAP_ASIMDFHM = 1 << 23, HWCAP_DIT = 1 << 24,
                     HWCAP_USCAT = 1 << 25, HWCAP_ILRCPC = 1 << 26, HWCAP_FLAGM = 1 << 27, HWCAP_SSBS = 1 << 28,
                     HWCAP_SB = 1 << 29;
inline constexpr u64 HWCAP2_SVE2 = 1 << 1, HWCAP2_SVEAES = 1 << 2, HWCAP2_SVEPMULL = 1 << 3, HWCAP2_SVEBITPERM = 1 << 4,
                     HWCAP2_SVESHA3 = 1 << 5, HWCAP2_SVESM4 = 1 << 6, HWCAP2_SVEI8MM = 1 << 9,
                     HWCAP2_SVEF32MM = 1 << 10, HWCAP2_SVEF64MM = 1 << 11, HWCAP2_SVEBF16 = 1 << 12;
inline constexpr u64 HWCAP2_DCPODP = 1 << 0, HWCAP2_FLAGM2 = 1 << 7, HWCAP2_FRINT = 1 << 8, HWCAP2_I8MM = 1 << 13,
                     HWCAP2_BF16 = 1 << 14, HWCAP2_RNG = 1 << 16;

} // namespace linnet::abi
