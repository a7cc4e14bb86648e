// Contract: what ptrace(2) writes into a tracee's registers. The thread is stopped, its memory image the truth; what is
// written is cut down to what user code could have by itself, or refused.
#pragma once

#include <arch/user_context.hpp>

#include <arch_impl/tracing.hpp>

namespace linnet::arch {

/// The unit that parts of a register set (arch/register_sets.hpp) are read and written by.
usize register_set_unit(u32 type);
/// Sets the registers of a whole set, of which the first `given` bytes are new. EIO or EINVAL: values that user code
/// could not have, or nothing that can be set; ENOSPC: more breakpoints than the CPU has; ENOMEM.
Result<void> write_register_set(UserContext& context, u32 type, std::span<const u8> from, usize given);

/// The set that one of the architecture's own requests moves (PTRACE_GETREGS …); type 0: it isn't one.
struct RegisterRequest {
    u32 type = 0;
    bool is_write = false;
};
RegisterRequest register_request(long request);

/// The word of struct user that one of the architecture's own requests moves, by a code (x86_64: PTRACE_ARCH_PRCTL with
/// the codes of arch_prctl(2)). EIO: it isn't such a request; EINVAL: no such code.
struct WordRequest {
    u64 offset;
    bool is_write;
};
Result<WordRequest> word_request(long request, u64 code);

/// Words of the architecture's struct user (PTRACE_PEEKUSER). EIO: none is there.
Result<u64> read_user_area(UserContext& context, u64 offset);
Result<void> write_user_area(UserContext& context, u64 offset, u64 value);

/// Whether user code can be run by single instructions.
inline constexpr bool can_single_step = detail::can_single_step;
/// AUDIT_ARCH_* of linux/audit.h (PTRACE_GET_SYSCALL_INFO).
inline constexpr u32 audit_architecture = detail::audit_architecture;
/// Requests PTRACE_SYSEMU and PTRACE_SYSEMU_SINGLESTEP; 0: the architecture has none.
inline constexpr long emulate_request = detail::emulate_request, emulate_step_request = detail::emulate_step_request;

} // namespace linnet::arch
