// The registers of AArch64 user code, the system-call bookkeeping, and the FPSIMD registers beside them.
#pragma once

#include <abi_arch/user_regs.hpp>
#include <arch_impl/asm_offsets.hpp>
#include <arch_impl/sve.hpp>
#include <arch_impl/thread.hpp>
#include <lib/address.hpp>
#include <lib/result.hpp>
#include <span>

namespace linnet::arch {

struct DebugRegisters;

/// What of debugging by the CPU a context wants, bits of debug_mode().
inline constexpr u8 debug_step = 1, debug_breakpoints = 2;

/// Layout known to vectors.S and context_switch.S by asm_offsets.hpp. FPSIMD registers may be newer in the CPU than in
/// `fp_state_`: exactly while `fp_live_` is set.
class UserContext {
public:
    UserContext() = default;
    ~UserContext();
    UserContext(const UserContext&) = delete;
    UserContext& operator=(const UserContext&) = delete;

    Result<void> create();
    void copy_from(const UserContext& other);
    void reset_for_exec(VirtAddr entry, VirtAddr stack);

    VirtAddr pc() const { return {regs_.pc}; }
    void set_pc(VirtAddr pc) { regs_.pc = pc.value; }
    VirtAddr frame_pointer() const { return {regs_.regs[29]}; }
    static constexpr i64 frame_record_offset = 0;
    VirtAddr sp() const { return {regs_.sp}; }
    void set_sp(VirtAddr sp) { regs_.sp = sp.value; }
    VirtAddr tls() const { return {tls_}; }
    void set_tls(VirtAddr tls) { tls_ = tls.value; }

    long syscall_number() const { return syscall_number_; }
    void set_syscall_number(long number) { syscall_number_ = number; }
    u64 syscall_argument(unsigned index) const { return index == 0 && result_set_ ? original_x0_ : regs_.regs[index]; }
    void set_syscall_argument(unsigned index, u64 value) {
        regs_.regs[index] = value;
        if (index == 0) original_x0_ = value;
    }
    void set_syscall_result(long result) {
        regs_.regs[0] = static_cast<u64>(result);
        result_set_ = true;
    }
    long syscall_result() const { return static_cast<long>(regs_.regs[0]); }
    void restart_syscall() {
        regs_.regs[0] = original_x0_;
        regs_.pc -= 4;
        mark_not_syscall();
    }
    void restart_as(long number) {
        restart_syscall();
        set_next_call(number);
    }
    void set_next_call(long number) { regs_.regs[8] = static_cast<u64>(number); }
    static constexpr bool sets_back_early = true;
    void mark_not_syscall() {
        in_syscall_ = false;
        syscall_number_ = -1;
    }
    bool in_syscall() const { return in_syscall_; }
    /// What the trap entry does at a system call.
    void begin_syscall() {
        original_x0_ = regs_.regs[0];
        syscall_number_ = static_cast<long>(regs_.regs[8]);
        in_syscall_ = true;
        result_set_ = false;
    }
    void announce_syscall() {}

    void set_single_step(bool on) { set_debug_mode(debug_step, on); }
    bool single_step() const { return debug_mode_ & debug_step; }
    void set_has_breakpoints(bool on) { set_debug_mode(debug_breakpoints, on); }
    u8 debug_mode() const { return debug_mode_; }

    abi::linux_user_regs to_user_regs() const { return regs_; }
    /// In place, for signal frames; pstate is not to be written.
    abi::linux_user_regs& user_regs() { return regs_; }
    const abi::linux_user_regs& user_regs() const { return regs_; }
    Result<void> from_user_regs(const abi::linux_user_regs& regs);

    std::span<u8> save_extended_state();
    /// The architecture, as we know it, has no protection keys.
    static unsigned protection_key_count() { return 0; }
    void set_protection_key_rights(unsigned, u32) {}
    Result<bool> may_read_counter() const { return error(Errno::EINVAL); }
    Result<void> set_may_read_counter(bool) { return error(Errno::EINVAL); }
    void extended_state_changed();
    abi::user_fpsimd_state& fpsimd() { return fp_state_; }
    Result<long> vector_length() const;
    Result<long> set_vector_length(u64 wanted);

    /// Address and syndrome of the last fault, for the signal frame; the syndrome is 0 when there was none.
    u64 fault_address() const { return fault_address_; }
    u64 fault_syndrome() const { return fault_syndrome_; }
    void set_fault(u64 address, u64 syndrome) {
        fault_address_ = address;
        fault_syndrome_ = syndrome;
    }

    /// Makes the CPU's FPSIMD and SVE registers this context's, ready to run. Interrupts off.
    void load_extended_state();
    /// Opens or closes SVE for what runs now, on a CPU where it is open. Interrupts off.
    void settle_sve(CpuState& cpu);

    // Memory is the truth for all of these (save_extended_state(), extended_state_changed()).
    SveState& sve() { return sve_; }
    const SveState& sve() const { return sve_; }
    [[nodiscard]] bool is_sve_on() const { return sve_on_; }
    /// User code has used it for the first time since a system call: vectors begin as FPSIMD has left them. ENOMEM,
    /// EINVAL without SVE.
    Result<void> turn_on_sve();
    /// The low 128 bits of vectors stay.
    void turn_off_sve() { sve_on_ = false; }
    /// The image has been made anew.
    void turn_sve_back_on() { sve_on_ = true; }
    /// To the image.
    void save_sve();
    /// Around one entry to user code that must trap after one instruction.
    void begin_step();
    void end_step();

    /// What a tracer has set (debug_registers.hpp), if any.
    DebugRegisters*& debug() { return debug_; }
    const DebugRegisters* debug() const { return debug_; }

private:
    friend struct UserContextLayout;

    void set_debug_mode(u8 bit, bool on) { debug_mode_ = static_cast<u8>(on ? debug_mode_ | bit : debug_mode_ & ~bit); }

    abi::linux_user_regs regs_{};
    u64 original_x0_ = 0;
    long syscall_number_ = -1;
    u64 tls_ = 0;
    bool in_syscall_ = false;
    bool result_set_ = false;
    bool sve_on_ = false; // the vectors are longer than FPSIMD's; cleared with the flags of the call before
    bool reserved_ = false;
    bool fp_live_ = false;
    u8 debug_mode_ = 0;
    u32 fp_cpu_ = ~0u; // the CPU that loaded fp_state_ last, if CpuState::fp_owner there agrees
    u64 fault_address_ = 0;
    u64 fault_syndrome_ = 0;
    abi::user_fpsimd_state fp_state_{};
    DebugRegisters* debug_ = nullptr; // owned
    SveState sve_;
};

} // namespace linnet::arch
