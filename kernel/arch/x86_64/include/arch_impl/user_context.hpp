// x86_64: the registers of user code. entry.S stores into UserRegisters directly: the task state's rsp0 is its end, so
// an exception or interrupt from user code pushes its frame there, and the syscall entry writes the same words.
#pragma once

#include <abi_arch/user_regs.hpp>
#include <arch/thread.hpp>
#include <atomic>
#include <lib/address.hpp>
#include <lib/result.hpp>
#include <span>

namespace linnet::arch {

struct DebugRegisters;

/// In the order of entry.S; also the frame of a trap from kernel code, on the kernel stack.
struct UserRegisters {
    u64 r15 = 0, r14 = 0, r13 = 0, r12 = 0, rbp = 0, rbx = 0, r11 = 0, r10 = 0, r9 = 0, r8 = 0, rax = 0, rcx = 0,
        rdx = 0, rsi = 0, rdi = 0;
    u64 vector = 0, error = 0;
    u64 rip = 0, cs = 0x33, rflags = 0x202, rsp = 0, ss = 0x2b;
};
static_assert(sizeof(UserRegisters) == 22 * 8);

/// alignas: the CPU aligns rsp0 to 16 bytes before it pushes.
class alignas(16) UserContext {
public:
    UserContext() = default;
    ~UserContext();
    UserContext(const UserContext&) = delete;
    UserContext& operator=(const UserContext&) = delete;

    Result<void> create();
    void copy_from(const UserContext& other);
    void reset_for_exec(VirtAddr entry, VirtAddr stack);

    VirtAddr pc() const { return {registers.rip}; }
    void set_pc(VirtAddr address) { registers.rip = address.value; }
    VirtAddr frame_pointer() const { return {registers.rbp}; }
    static constexpr i64 frame_record_offset = 0;
    VirtAddr sp() const { return {registers.rsp}; }
    void set_sp(VirtAddr address) { registers.rsp = address.value; }
    VirtAddr tls() const;
    void set_tls(VirtAddr address);
    /// The GS base of user code (arch_prctl(2)).
    VirtAddr gs() const;
    void set_gs(VirtAddr address);

    long syscall_number() const { return original_rax; }
    void set_syscall_number(long number) { original_rax = number; }
    u64 syscall_argument(unsigned index) const {
        const UserRegisters& r = registers;
        switch (index) {
        case 0:
            return r.rdi;
        case 1:
            return r.rsi;
        case 2:
            return r.rdx;
        case 3:
            return r.r10;
        case 4:
            return r.r8;
        default:
            return r.r9;
        }
    }
    void set_syscall_argument(unsigned index, u64 value) {
        UserRegisters& r = registers;
        u64* const places[] = {&r.rdi, &r.rsi, &r.rdx, &r.r10, &r.r8, &r.r9};
        *places[index] = value;
    }
    void set_syscall_result(long result) { registers.rax = static_cast<u64>(result); }
    long syscall_result() const { return static_cast<long>(registers.rax); }
    void restart_syscall() { restart_as(original_rax); }
    void restart_as(long number) {
        set_next_call(number);
        registers.rip -= 2; // the length of `syscall`
    }
    void set_next_call(long number) { registers.rax = static_cast<u64>(number); }
    static constexpr bool sets_back_early = false;
    void mark_not_syscall() { original_rax = -1; }
    bool in_syscall() const { return original_rax >= 0; }
    void announce_syscall() { set_syscall_result(-static_cast<long>(Errno::ENOSYS)); }
    void set_single_step(bool on);

    abi::linux_user_regs to_user_regs() const;
    Result<void> from_user_regs(const abi::linux_user_regs& regs);
    std::span<u8> save_extended_state();
    static unsigned protection_key_count();
    /// Of the current thread, in its PKRU register.
    void set_protection_key_rights(unsigned key, u32 denied);
    Result<bool> may_read_counter() const { return !counter_is_denied; }
    Result<void> set_may_read_counter(bool may);
    Result<long> vector_length() const { return error(Errno::EINVAL); }
    Result<long> set_vector_length(u64) { return error(Errno::EINVAL); }
    void extended_state_changed();

    /// Signal frames' quick way: the live registers straight to and from user memory. False: go by the memory image.
    bool save_extended_state_to(VirtAddr frame_image);
    bool load_extended_state_from(VirtAddr frame_image, u64 components);
    /// Memory has been changed: the next entry to user code loads all of it. The thread does not run.
    void forget_live_state();
    /// A handler starts with FP and vector registers as a program does.
    void make_extended_state_initial();

    UserRegisters registers;
    i64 original_rax = -1;          // as orig_rax of ptrace: the number, or -1 outside a syscall
    u8 registers_newer = 0;         // live registers of the CPU (see CpuState::live_context) are newer than this object
    bool stepping = false;          // the trap flag in rflags is the tracer's, not the program's own
    bool counter_is_denied = false; // CR4.TSD: rdtsc and rdtscp are general protection faults
    u64 fs_base = 0;
    u64 gs_base = 0;
    u64 fault_address = 0; // of the last fault, for the signal frame: cr2, err, trapno
    u64 fault_error = 0;
    u64 fault_vector = 0;
    DebugRegisters* debug = nullptr; // of a tracer (debug_registers.hpp); owned
    u64 debug_status = 0;            // DR6 of the last debug exception, its fixed bits inverted
    std::atomic<CpuHeader*> live_cpu{nullptr};
    void* allocation = nullptr;
    u8* image = nullptr; // XSAVE standard format or FXSAVE, 64-byte aligned

    // All data is public: assembly shares it, and offsets are defined only for standard-layout classes.
};

} // namespace linnet::arch
