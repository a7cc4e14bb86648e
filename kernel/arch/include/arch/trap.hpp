// Contract: how user code is entered and why it came back. Portable code never sees a vector, cause or syndrome.
#pragma once

#include <arch/thread.hpp>
#include <lib/address.hpp>

namespace linnet::arch {

enum class Access : u8 { Read, Write, Execute };

/// Why enter_user() returned. 16 bytes, returned in registers.
struct TrapReason {
    enum class Kind : u8 {
        Syscall,   // number and arguments in the UserContext
        PageFault, // address, access; nothing else is known until mm has looked
        UserFault, // a synchronous exception: signal, code (si_code), address (si_addr)
        Interrupt, // already handled
    };
    Kind kind = Kind::Interrupt;
    Access access = Access::Read;
    u8 signal = 0;
    i32 code = 0;
    VirtAddr address{};
};
static_assert(sizeof(TrapReason) == 16);

/// Runs user code from `context` until it traps. Called with interrupts disabled on the owner's kernel stack; returns
/// with interrupts enabled. FP/vector registers are loaded here if another thread's are in the CPU. An interrupt from
/// user code has been handled (hooks::interrupt) before the return.
TrapReason enter_user(UserContext& context);

} // namespace linnet::arch

#include <arch_impl/trap.hpp>
