// LoongArch: the registers of user code.
//
// FP and vector registers: `units` says which units (bits of EUEN) user code has used; the others are off,
// and their registers zero. The hardware has no dirty state: `live` is set when user code is entered with a
// unit on, and while it is set only this CPU's registers are right; the context switch stores them and clears
// it. The registers then stay usable on the CPU that `extended_cpu` names while it remembers this context as
// owner.
#pragma once

#include <arch_impl/csr.hpp>

namespace linnet::arch {

/// Each register has 32 bytes, of which the widest unit in use fills 8, 16 or 32.
struct ExtendedState {
    u64 registers[32][4];
    u64 fcc; // eight condition flags, a byte each
    u64 fcsr;
};
static_assert(sizeof(ExtendedState) == 1040);

/// struct user_lbt_state of asm/ptrace.h: what binary translation adds. Debuggers can set and read it on any CPU; it is
/// loaded into none, for QEMU's has no such unit.
struct TranslationState {
    u64 scratch[4];
    u32 flags, top;
};
static_assert(sizeof(TranslationState) == 40);

/// What user code may set of its FP control and status register: enables, rounding mode, flags and causes. A cause with
/// its enable bit set would be raised in the kernel, when the register is loaded.
constexpr u32 settable_fcsr(u32 wanted) {
    const u32 enables = wanted & 0x1f;
    return wanted & (0x1f | 3u << 8 | 0x1fu << 16 | (0x1fu & ~enables) << 24);
}

class UserContext {
public:
    UserContext() = default;
    UserContext(const UserContext&) = delete;
    UserContext& operator=(const UserContext&) = delete;

    Result<void> create() { return {}; }
    void copy_from(const UserContext& view);
    void reset_for_exec(VirtAddr entry, VirtAddr stack);

    VirtAddr pc() const { return {regs[0]}; }
    void set_pc(VirtAddr address) { regs[0] = address.value; }
    VirtAddr frame_pointer() const { return {regs[22]}; }
    static constexpr i64 frame_record_offset = -16;
    VirtAddr sp() const { return {regs[3]}; }
    void set_sp(VirtAddr address) { regs[3] = address.value; }
    VirtAddr tls() const { return {regs[2]}; }
    void set_tls(VirtAddr address) { regs[2] = address.value; }

    // a7 is register 11, a0 register 4. The original a0 survives in original_a0.
    long syscall_number() const { return static_cast<long>(regs[11]); }
    void set_syscall_number(long number) { regs[11] = static_cast<u64>(number); }
    u64 syscall_argument(unsigned index) const { return index == 0 ? original_a0 : regs[4 + index]; }
    void set_syscall_argument(unsigned index, u64 value) { (index == 0 ? original_a0 : regs[4 + index]) = value; }
    long syscall_result() const { return static_cast<long>(regs[4]); }
    void set_syscall_result(long result) { regs[4] = static_cast<u64>(result); }
    void restart_syscall() {
        regs[4] = original_a0;
        regs[0] -= syscall_size;
        mark_not_syscall();
    }
    void restart_as(long number) {
        restart_syscall();
        set_next_call(number);
    }
    void set_next_call(long number) { regs[11] = static_cast<u64>(number); }
    static constexpr bool sets_back_early = false;
    void mark_not_syscall() { came_by_syscall = 0; }
    bool in_syscall() const { return came_by_syscall != 0; }
    void announce_syscall() { regs[4] = static_cast<u64>(-static_cast<long>(Errno::ENOSYS)); }
    /// Stepping needs the watchpoint unit, which we leave alone; ptrace(2) answers EIO.
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

    // ---- of the LoongArch folder ----
    static constexpr u64 syscall_size = 4;
    static constexpr u32 no_cpu = ~u32{0};

    /// Turns a unit of EUEN on, and the narrower ones it contains; false when the CPU lacks it or it is on
    /// already.
    bool turn_on_unit(u64 unit);
    /// Makes memory right: stores live registers. Interrupts are off and this is the running thread's
    /// context.
    void store_live_units();
    /// Writes the running thread's registers to user memory as a signal frame has them: each as wide as the widest unit
    /// in use makes it, then the condition flags and FCSR. False when they are in memory only, or when a page is
    /// missing; part has been written then.
    bool store_live_to_user(u64 to) const;
    /// Loads the registers from there, and the flags. False as above; any of the registers may have been loaded then.
    bool load_live_from_user(u64 from, u64 fcc, u32 fcsr);

    u64 regs[32] = {}; // [0] is pc, [n] is $rn
    u64 units = 0;
    u64 original_a0 = 0;
    u32 came_by_syscall = 0;
    u32 extended_cpu = no_cpu;
    u64 live = 0;
    Access last_fault = Access::Read; // a signal frame tells whether a store faulted
    u64 bad_address = 0;              // of the last exception that was about one; debuggers see it
    ExtendedState extended{};
    TranslationState translation{};
};

} // namespace linnet::arch
