// Breakpoints and watchpoints of user code in the CPU's debug registers (Arm ARM D2, "Self-hosted debug"), as a tracer
// sets them through the register sets NT_ARM_HW_BREAK and NT_ARM_HW_WATCH (ptrace(2), PTRACE_SETREGSET).
#pragma once

#include <arch/thread.hpp>
#include <arch/user_context.hpp>
#include <span>

namespace linnet::arch {

enum class DebugKind : u8 { Break, Watch };

/// What a thread has been given; made when it first is.
struct DebugRegisters {
    struct Slot {
        u64 address = 0; // as the tracer gave it, plus the first byte its mask named
        u8 length = 4;   // bytes, 1 to 8
        u8 access;       // what of DBGWCR.LSC; 0: execution
        bool is_known = false;
        bool enabled = false;
    };
    static constexpr unsigned most = 16;
    Slot breakpoints[most], watchpoints[most];

    DebugRegisters();
    std::span<Slot, most> of(DebugKind kind) { return kind == DebugKind::Break ? breakpoints : watchpoints; }
};

usize debug_set_size();
/// Fills `to` with struct user_hwdebug_state of asm/ptrace.h.
void read_debug_set(UserContext& context, DebugKind kind, std::span<u8> to);
/// Sets slot by slot what `from`, the beginning of that structure, holds; those before a bad one stay set, as on Linux.
/// The thread does not run. EINVAL: not user memory, no such mask, half an address. ENOSPC: the CPU has fewer. ENOMEM.
Result<void> write_debug_set(UserContext& context, DebugKind kind, std::span<const u8> from);

/// Makes the CPU single-step and watch as the context wants it. Interrupts are off.
void load_debug_state(const UserContext& context, CpuState& cpu);

} // namespace linnet::arch
