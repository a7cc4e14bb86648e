// Contract: building and restoring the Linux signal frame of the architecture (SEMANTICS.md S1–S8, S14; layouts in
// abi/<arch>/abi_arch/signal_frame.hpp, every offset static_asserted).
#pragma once

#include <abi/linux/signal.hpp>
#include <arch/user_context.hpp>

namespace linnet::arch {

/// What a handler's frame is built from; filled by process/signal.
struct SignalDelivery {
    int signal = 0;
    const abi::siginfo_t* info = nullptr;
    VirtAddr handler{};
    u64 action_flags = 0;            // SA_SIGINFO, SA_RESTORER …
    VirtAddr restorer{};             // sa_restorer; x86_64 requires it
    VirtAddr vdso_trampoline{};      // __vdso_rt_sigreturn, for the architectures without sa_restorer
    u64 blocked_mask = 0;            // uc_sigmask: restored by sigreturn
    abi::stack_t alternate_stack{};  // uc_stack
    VirtAddr stack_top{};            // where the frame goes below: the alternate stack's end, or the current sp
    bool on_alternate_stack = false; // entering the alternate stack now: no red zone to skip
};

/// What sigreturn takes back from a frame.
struct SignalReturn {
    u64 blocked_mask = 0;
    abi::stack_t alternate_stack{};
};

/// Writes the frame (registers, extended state, siginfo, ucontext) and points `context` at the handler. EFAULT when the
/// stack can't be written: the caller forces SIGSEGV. Uses mm's user copies through arch/usercopy.hpp; no locks held.
Result<void> push_signal_frame(UserContext& context, const SignalDelivery& delivery);

/// Reads the frame at the context's sp and restores registers, taking only what user code may set. EFAULT or EINVAL:
/// the caller forces SIGSEGV.
Result<SignalReturn> pop_signal_frame(UserContext& context);

/// Size of the largest frame, for AT_MINSIGSTKSZ.
usize minimum_signal_stack();

} // namespace linnet::arch
