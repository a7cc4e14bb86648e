// RISC-V's signal frame (asm/sigcontext.h, asm/ucontext.h): what a handler finds at its stack pointer.
// Extension records (vector state) follow the frame; their list begins in the last words of the
// floating-point area.
#pragma once

#include <abi/linux/signal.hpp>
#include <abi_arch/user_regs.hpp>

namespace linnet::abi {

struct riscv_ctx_hdr {
    u32 magic;
    u32 size; // of the whole record, this header included
};
inline constexpr u32 RISCV_V_MAGIC = 0x53465457, END_MAGIC = 0, END_HDR_SIZE = 0;

/// The record behind a header with RISCV_V_MAGIC; `datap` points to the 32 registers behind it.
struct alignas(16) riscv_v_ext_state {
    u64 vstart, vl, vtype, vcsr, vlenb, datap;
};
static_assert(sizeof(riscv_v_ext_state) == 48);

struct alignas(16) riscv_q_ext_state {
    u64 f[64];
    u32 fcsr;
    u32 reserved[3];
};
static_assert(sizeof(riscv_q_ext_state) == 528);

struct alignas(16) riscv_extra_ext_header {
    u32 padding[129];
    u32 reserved; // must be 0
    riscv_ctx_hdr hdr;
};
static_assert(sizeof(riscv_extra_ext_header) == 528 && __builtin_offsetof(riscv_extra_ext_header, hdr) == 520);

struct alignas(16) sigcontext {
    linux_user_regs sc_regs;
    union {
        struct {
            u64 f[32]; // the D state begins like the Q state; fcsr follows
            u32 fcsr;
        } d;
        riscv_q_ext_state q;
        riscv_extra_ext_header extra;
    };
};
static_assert(sizeof(sigcontext) == 784 && __builtin_offsetof(sigcontext, d) == 256);
static_assert(__builtin_offsetof(sigcontext, d.fcsr) == 512);

struct ucontext {
    u64 uc_flags;
    u64 uc_link;
    stack_t uc_stack;
    u64 uc_sigmask;
    u8 unused[120]; // room for a mask of 1024 signals
    sigcontext uc_mcontext;
};
static_assert(__builtin_offsetof(ucontext, uc_stack) == 16 && __builtin_offsetof(ucontext, uc_sigmask) == 40);
static_assert(__builtin_offsetof(ucontext, uc_mcontext) == 176 && sizeof(ucontext) == 960);

struct rt_sigframe {
    user_siginfo_t info;
    ucontext uc;
};
static_assert(__builtin_offsetof(rt_sigframe, uc) == 128 && sizeof(rt_sigframe) == 1088);

} // namespace linnet::abi
