// Contract: the registers of user code as one plain object. Fork, exec, signal delivery, sigreturn, ptrace and restart
// are edits of it, made only while the thread is in the kernel.
//
// <arch_impl/user_context.hpp> defines class UserContext with the members of the concept below, public inherited or
// own.
#pragma once

#include <abi_arch/user_regs.hpp> // struct linux_user_regs: user_regs_struct / user_pt_regs of NT_PRSTATUS
#include <arch/trap.hpp>
#include <lib/result.hpp>
#include <span>

#include <arch_impl/user_context.hpp>

namespace linnet::arch {

template <typename C>
concept UserContextContract =
    requires(C context, const C view, VirtAddr address, unsigned index, long result, abi::linux_user_regs regs) {
        { context.create() } -> std::same_as<Result<void>>; // allocates the extended (FP/vector) state; once
        { context.copy_from(view) } -> std::same_as<void>;  // whole user state of the current thread (fork, clone)
        { context.reset_for_exec(address, address) } -> std::same_as<void>; // entry, sp; all else as execve leaves it
        { view.pc() } -> std::same_as<VirtAddr>;
        { context.set_pc(address) };
        { view.sp() } -> std::same_as<VirtAddr>;
        // What compilers keep it in, and how far from there {the caller's, the return address} lie.
        { view.frame_pointer() } -> std::same_as<VirtAddr>;
        { C::frame_record_offset } -> std::convertible_to<i64>;
        { context.set_sp(address) };
        { view.tls() } -> std::same_as<VirtAddr>; // fs base, tpidr_el0, tp, tp
        { context.set_tls(address) };
        { view.syscall_number() } -> std::same_as<long>; // as user code or the tracer last set it
        { context.set_syscall_number(result) };
        { view.syscall_argument(index) } -> std::same_as<u64>; // 0 … 5
        { context.set_syscall_argument(index, u64{}) };
        { context.set_syscall_result(result) }; // value or -errno
        { view.syscall_result() } -> std::same_as<long>;
        // Executes it again: original number and first argument, pc back on the syscall instruction.
        { context.restart_syscall() };
        { context.restart_as(result) };    // the same with another number (restart_syscall)
        { context.set_next_call(result) }; // the number that the next system call's instruction means
        // Whether tracers find a call that is to be restarted set back already, as on Linux.
        { C::sets_back_early } -> std::convertible_to<bool>;
        { context.mark_not_syscall() };              // sigreturn, exec: nothing to restart
        { view.in_syscall() } -> std::same_as<bool>; // came by a syscall not yet marked otherwise
        // A tracer is about to see the call: its result is what Linux shows there until there is one.
        { context.announce_syscall() };
        { context.set_single_step(true) };
        { view.to_user_regs() } -> std::same_as<abi::linux_user_regs>;
        { context.from_user_regs(regs) } -> std::same_as<Result<void>>; // takes only what user code may set
        // Live registers to memory; the raw memory image.
        { context.save_extended_state() } -> std::same_as<std::span<u8>>;
        { context.extended_state_changed() }; // memory image is now the truth (after a restore)
        // Protection keys (pkeys(7)): how many user pages may carry; 1 when this CPU lacks them, 0 when the
        // architecture does. What the current thread is denied through one: PKEY_DISABLE_*.
        { C::protection_key_count() } -> std::same_as<unsigned>;
        { context.set_protection_key_rights(index, index) };
        // Whether user code may read the time counter itself (PR_SET_TSC); EINVAL where that can't be forbidden. Who
        // reads it all the same gets SIGSEGV. Of the current thread.
        { view.may_read_counter() } -> std::same_as<Result<bool>>;
        { context.set_may_read_counter(true) } -> std::same_as<Result<void>>;
        // PR_SVE_GET_VL and PR_SVE_SET_VL of prctl(2), of the current thread. EINVAL where vectors have one length.
        { view.vector_length() } -> std::same_as<Result<long>>;
        { context.set_vector_length(u64{}) } -> std::same_as<Result<long>>;
    };
static_assert(UserContextContract<UserContext>);

} // namespace linnet::arch
