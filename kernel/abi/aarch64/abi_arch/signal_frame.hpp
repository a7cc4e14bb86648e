// AArch64's signal frame (asm/sigcontext.h, asm/ucontext.h). The frame lies at the handler's sp; records of variable
// kind follow the registers in `reserved` and end with a record of magic 0. Above the frame lies a frame record (x29,
// x30), so that unwinders walk on.
#pragma once

#include <abi/linux/signal.hpp>
#include <abi_arch/user_regs.hpp>

namespace linnet::abi {

struct aarch64_ctx {
    u32 magic;
    u32 size; // this header included
};
inline constexpr u32 FPSIMD_MAGIC = 0x46508001, ESR_MAGIC = 0x45535201, EXTRA_MAGIC = 0x45585401,
                     SVE_MAGIC = 0x53564501;

struct fpsimd_context {
    aarch64_ctx head;
    u32 fpsr;
    u32 fpcr;
    u64 vregs[32][2];
};
static_assert(sizeof(fpsimd_context) == 528 && __builtin_offsetof(fpsimd_context, vregs) == 16);

struct esr_context {
    aarch64_ctx head;
    u64 esr;
};
static_assert(sizeof(esr_context) == 16);

/// The registers follow if SVE was on: Z0–Z31, P0–P15, FFR.
struct sve_context {
    aarch64_ctx head;
    u16 vl; // bytes
    u16 flags;
    u16 reserved[2];
};
static_assert(sizeof(sve_context) == 16);

/// The next to last record where room is short: further ones lie behind the last, and end with one more of magic 0.
struct extra_context {
    aarch64_ctx head;
    u64 datap;
    u32 size;
    u32 reserved[3];
};
static_assert(sizeof(extra_context) == 32);

struct sigcontext {
    u64 fault_address;
    u64 regs[31];
    u64 sp;
    u64 pc;
    u64 pstate;
    u64 padding;
    // alignas(16) u8 reserved[4096] follows
};
inline constexpr usize sigcontext_reserved_size = 4096;
static_assert(sizeof(sigcontext) == 288 && __builtin_offsetof(sigcontext, sp) == 256);

/// Up to the records.
struct ucontext {
    u64 uc_flags;
    u64 uc_link;
    stack_t uc_stack;
    u64 uc_sigmask;
    u8 unused[120]; // room for a mask of 1024 signals
    u64 padding;    // uc_mcontext is 16-byte aligned
    sigcontext uc_mcontext;
};
static_assert(__builtin_offsetof(ucontext, uc_stack) == 16 && __builtin_offsetof(ucontext, uc_sigmask) == 40);
static_assert(__builtin_offsetof(ucontext, uc_mcontext) == 176 && sizeof(ucontext) == 464);

struct rt_sigframe {
    user_siginfo_t info;
    ucontext uc;
    u8 reserved[sigcontext_reserved_size];
};
static_assert(__builtin_offsetof(rt_sigframe, uc) == 128 && __builtin_offsetof(rt_sigframe, reserved) == 592);
static_assert(sizeof(rt_sigframe) == 4688 && sizeof(rt_sigframe) % 16 == 0);

struct frame_record {
    u64 fp;
    u64 lr;
};

} // namespace linnet::abi
