// RISC-V: the registers of user code.
//
// FP and vector registers: `status` holds the FS and VS fields of sstatus as user code left them. Off: never
// used, the registers are all zero. Clean: memory is right (the CPU's registers too, on the CPU that
// `extended_cpu` names while it remembers this context as owner). Dirty: only this CPU's registers are right;
// the context switch saves them.
#pragma once

#include <arch_impl/csr.hpp>

namespace linnet::arch {

/// The D extension's state, as NT_PRFPREG shows it.
struct FloatingPointState {
    u64 registers[32];
    u32 fcsr;
    u32 reserved;
};
static_assert(sizeof(FloatingPointState) == 264);

/// The V extension's state; the registers' bytes follow it.
struct VectorState {
    u64 vstart, vl, vtype, vcsr;
    u8* bytes() { return reinterpret_cast<u8*>(this + 1); }
    const u8* bytes() const { return reinterpret_cast<const u8*>(this + 1); }
};

/// Bytes of one vector register, 0 without V.
usize vector_register_bytes();

class UserContext {
public:
    UserContext() = default;
    ~UserContext();
    UserContext(const UserContext&) = delete;
    UserContext& operator=(const UserContext&) = delete;

    Result<void> create();
    void copy_from(const UserContext& view);
    void reset_for_exec(VirtAddr entry, VirtAddr stack);

    VirtAddr pc() const { return {regs[0]}; }
    void set_pc(VirtAddr address) { regs[0] = address.value; }
    VirtAddr frame_pointer() const { return {regs[8]}; }
    static constexpr i64 frame_record_offset = -16;
    VirtAddr sp() const { return {regs[2]}; }
    void set_sp(VirtAddr address) { regs[2] = address.value; }
    VirtAddr tls() const { return {regs[4]}; }
    void set_tls(VirtAddr address) { regs[4] = address.value; }

    // a7 is register 17, a0 register 10. The original a0 survives in original_a0.
    long syscall_number() const { return static_cast<long>(regs[17]); }
    void set_syscall_number(long number) { regs[17] = static_cast<u64>(number); }
    u64 syscall_argument(unsigned index) const { return index == 0 ? original_a0 : regs[10 + index]; }
    void set_syscall_argument(unsigned index, u64 value) { (index == 0 ? original_a0 : regs[10 + index]) = value; }
    long syscall_result() const { return static_cast<long>(regs[10]); }
    void set_syscall_result(long result) { regs[10] = static_cast<u64>(result); }
    void restart_syscall() {
        regs[10] = original_a0;
        regs[0] -= ecall_size;
        mark_not_syscall();
    }
    void restart_as(long number) {
        restart_syscall();
        set_next_call(number);
    }
    void set_next_call(long number) { regs[17] = static_cast<u64>(number); }
    static constexpr bool sets_back_early = true;
    void mark_not_syscall() { came_by_syscall = 0; }
    bool in_syscall() const { return came_by_syscall != 0; }
    void announce_syscall() {}
    /// The architecture has no single-step; ptrace(2) answers EIO here as on Linux.
    void set_single_step(bool) {}

    abi::linux_user_regs to_user_regs() const;
    Result<void> from_user_regs(const abi::linux_user_regs& values);
    std::span<u8> save_extended_state();
    /// The architecture, as we know it, has no protection keys.
    static unsigned protection_key_count() { return 0; }
    void set_protection_key_rights(unsigned, u32) {}
    Result<bool> may_read_counter() const { return error(Errno::EINVAL); }
    Result<void> set_may_read_counter(bool) { return error(Errno::EINVAL); }
    Result<long> vector_length() const { return error(Errno::EINVAL); }
    Result<long> set_vector_length(u64) { return error(Errno::EINVAL); }
    void extended_state_changed();

    // ---- of the RISC-V folder ----
    static constexpr u64 ecall_size = 4;
    static constexpr u32 no_cpu = ~u32{0};
    static constexpr u64 initial_status =
        csr::sstatus_spie | csr::sstatus_user_64bit; // U-mode, interrupts on, units off

    u64 unit_state(unsigned shift) const { return (status >> shift) & 3; }
    void set_unit_state(unsigned shift, u64 state) { status = (status & ~(u64{3} << shift)) | (state << shift); }

    /// Turns on the FP or vector unit that user code has not used yet; false when there is none left.
    bool turn_on_next_unit();
    /// Makes memory right: stores dirty registers. Interrupts are off and this is the running thread's
    /// context.
    void store_dirty_units();

    u64 regs[32] = {}; // [0] is pc, [n] is xn
    u64 status = initial_status;
    u64 original_a0 = 0;
    u32 came_by_syscall = 0;
    u32 extended_cpu = no_cpu;
    u64 padding = 0;
    FloatingPointState fp{};
    VectorState* vector = nullptr; // owned; null without V
};

} // namespace linnet::arch
