// The signal frame of x86_64 Linux (asm/sigcontext.h, asm/ucontext.h; the order on the stack is the kernel's ABI that
// unwinders rely on): return address, ucontext, siginfo, and above them, 64-byte aligned, the FXSAVE or XSAVE image.
#pragma once

#include <abi/linux/signal.hpp>

namespace linnet::abi {

inline constexpr u64 UC_FP_XSTATE = 1, UC_SIGCONTEXT_SS = 2, UC_STRICT_RESTORE_SS = 4;
inline constexpr u32 FP_XSTATE_MAGIC1 = 0x46505853, FP_XSTATE_MAGIC2 = 0x46505845;

struct sigcontext {
    u64 r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip, flags;
    u16 cs, gs, fs, ss;
    u64 err, trapno, oldmask, cr2;
    u64 fpstate; // user address of the FP image, 0: none
    u64 reserved1[8];
};
static_assert(sizeof(sigcontext) == 256);
static_assert(__builtin_offsetof(sigcontext, ip) == 128);
static_assert(__builtin_offsetof(sigcontext, cs) == 144);
static_assert(__builtin_offsetof(sigcontext, err) == 152);
static_assert(__builtin_offsetof(sigcontext, fpstate) == 184);

struct ucontext_t {
    u64 uc_flags;
    u64 uc_link;
    stack_t uc_stack;
    sigcontext uc_mcontext;
    u64 uc_sigmask;
};
static_assert(sizeof(ucontext_t) == 304);
static_assert(__builtin_offsetof(ucontext_t, uc_mcontext) == 40);
static_assert(__builtin_offsetof(ucontext_t, uc_sigmask) == 296);

struct rt_sigframe {
    u64 pretcode;
    ucontext_t uc;
    user_siginfo_t info;
};
static_assert(sizeof(rt_sigframe) == 440);
static_assert(__builtin_offsetof(rt_sigframe, uc) == 8);
static_assert(__builtin_offsetof(rt_sigframe, info) == 312);

/// In bytes 464 to 511 of the FXSAVE area, which the hardware leaves to software.
struct fpx_sw_bytes {
    u32 magic1;        // FP_XSTATE_MAGIC1: an XSAVE image follows
    u32 extended_size; // of the image and the second magic
    u64 xfeatures;
    u32 xstate_size; // of the image; FP_XSTATE_MAGIC2 lies behind it
    u32 padding[7];
};
static_assert(sizeof(fpx_sw_bytes) == 48);
inline constexpr usize fpx_sw_bytes_offset = 464;

} // namespace linnet::abi
