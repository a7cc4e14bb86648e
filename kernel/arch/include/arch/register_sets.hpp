// Contract: the register sets of a thread as core files (elf(5)) and ptrace(2), PTRACE_GETREGSET, show them. Each
// architecture lists its own in register_sets.cpp, in the order in which Linux writes them into core files.
#pragma once

#include <arch/user_context.hpp>
#include <span>
#include <string_view>

namespace linnet::arch {

struct RegisterSet {
    std::string_view note_name; // "CORE" or "LINUX"
    u32 type;                   // NT_*
    /// Bytes on this CPU; 0 where it has no such registers.
    usize (*size)();
    /// Fills `to`, which has just that size. Of the current thread, or of one that has been switched out and stays so:
    /// registers that live in the CPU are stored first.
    void (*read)(UserContext& of, std::span<u8> to);
    /// Whether a thread has such registers yet.
    bool (*is_used)(const UserContext& by) = [](const UserContext&) { return true; };
    /// How much of what `read` has filled in core files show, as Linux leaves out what says nothing.
    usize (*note_size)(std::span<const u8> filled) = [](std::span<const u8> filled) { return filled.size(); };
};

/// The first is always the general one, NT_PRSTATUS: struct user_regs_struct (user_pt_regs on AArch64).
std::span<const RegisterSet> register_sets();

/// Stores what the CPU holds of the current thread's registers, so that others can read them as long as it stays in
/// the kernel.
inline void store_live_registers(UserContext& context) {
    (void)context.to_user_regs(); // bases of segments
    (void)context.save_extended_state();
}

/// What is common to all architectures.
inline usize general_set_size() { return sizeof(abi::linux_user_regs); }
inline void read_general_set(UserContext& of, std::span<u8> to) {
    const abi::linux_user_regs regs = of.to_user_regs();
    __builtin_memcpy(to.data(), &regs, sizeof regs);
}

} // namespace linnet::arch
