// LoongArch's signal frame (asm/sigcontext.h, asm/ucontext.h): what a handler finds at its stack pointer.
// Records with the FP or vector registers follow, each behind a header; one with magic 0 ends the list.
#pragma once

#include <abi/linux/signal.hpp>

namespace linnet::abi {

struct sctx_info {
    u32 magic;
    u32 size; // distance to the next header
    u64 padding;
};
static_assert(sizeof(sctx_info) == 16);
inline constexpr u32 FPU_CTX_MAGIC = 0x46505501, LSX_CTX_MAGIC = 0x53580001, LASX_CTX_MAGIC = 0x41535801;

/// Behind a record's header: 32 registers of 8, 16 or 32 bytes, then these.
struct fpu_context_flags {
    u64 fcc;
    u32 fcsr;
};

struct alignas(16) sigcontext {
    u64 sc_pc;
    u64 sc_regs[32];
    u32 sc_flags;
};
inline constexpr u32 SC_USED_FP = 1, SC_ADDRERR_RD = 1u << 30, SC_ADDRERR_WR = 1u << 31;
static_assert(sizeof(sigcontext) == 272 && __builtin_offsetof(sigcontext, sc_flags) == 264);

struct ucontext {
    u64 uc_flags;
    u64 uc_link;
    stack_t uc_stack;
    u64 uc_sigmask;
    u8 unused[120]; // room for a mask of 1024 signals
    sigcontext uc_mcontext;
};
static_assert(__builtin_offsetof(ucontext, uc_stack) == 16 && __builtin_offsetof(ucontext, uc_sigmask) == 40);
static_assert(__builtin_offsetof(ucontext, uc_mcontext) == 176);

struct rt_sigframe {
    user_siginfo_t rs_info;
    ucontext rs_uctx;
};
static_assert(__builtin_offsetof(rt_sigframe, rs_uctx) == 128 && sizeof(rt_sigframe) == 576);

} // namespace linnet::abi
