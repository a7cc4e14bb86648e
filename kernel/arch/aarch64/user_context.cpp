// Edits of the user registers, and who owns the CPU's FPSIMD registers.
//
// fp_live_ set: the CPU's registers are newer than fp_state_ (user code has run since). A context's registers are
// loaded on a CPU while CpuState::fp_owner there is the context and fp_cpu_ is that CPU; both must agree, so neither a
// freed context nor one that has run elsewhere meanwhile is mistaken.
#include "debug_registers.hpp"

#include <arch/cpu.hpp>
#include <arch/trap.hpp>
#include <arch/user_context.hpp>
#include <arch_impl/registers.hpp>
#include <cstring>
#include <utility>

extern "C" {
void arch_save_sve_of(linnet::arch::UserContext* context); // from the context switch
void arch_save_fpsimd(linnet::abi::user_fpsimd_state* state);
void arch_load_fpsimd(const linnet::abi::user_fpsimd_state* state);
}

namespace linnet::arch {

TrapReason arch_run_user(UserContext* context) asm("arch_run_user"); // vectors.S

namespace {
constexpr u64 psr_mode_mask = 0x1f; // 0 is EL0t, AArch64
constexpr u64 psr_daif = 0x3c0;
constexpr u64 psr_single_step = 1 << 21;
constexpr u64 psr_user_bits = abi::PSR_NZCV_BITS | abi::PSR_DIT_BIT | abi::PSR_SSBS_BIT;
} // namespace

UserContext::~UserContext() { delete debug_; }

Result<void> UserContext::create() { return {}; }

/// Neither a tracer's steps nor its breakpoints are inherited.
void UserContext::copy_from(const UserContext& other) {
    InterruptState state = save_and_disable_interrupts();
    regs_ = other.regs_;
    original_x0_ = other.original_x0_;
    syscall_number_ = other.syscall_number_;
    in_syscall_ = other.in_syscall_;
    result_set_ = other.result_set_;
    tls_ = other.tls_;
    if (other.fp_live_)
        arch_save_fpsimd(&fp_state_);
    else
        fp_state_ = other.fp_state_;
    extended_state_changed();
    restore_interrupts(state);
    // The call that makes a thread has left it FPSIMD's registers only.
    sve_on_ = false;
    sve_.vector_bytes = other.sve_.vector_bytes;
    sve_.bytes_after_exec = other.sve_.bytes_after_exec;
    sve_.is_inherited = other.sve_.is_inherited;
}

void UserContext::reset_for_exec(VirtAddr entry, VirtAddr stack) {
    regs_ = {};
    regs_.pc = entry.value;
    regs_.sp = stack.value;
    tls_ = 0;
    original_x0_ = 0;
    mark_not_syscall();
    set_fault(0, 0);
    set_has_breakpoints(false);
    delete std::exchange(debug_, nullptr);
    InterruptState state = save_and_disable_interrupts();
    extended_state_changed();
    restore_interrupts(state);
    fp_state_ = {};
    sve_on_ = false;
    sve_.begin_program();
}

Result<void> UserContext::from_user_regs(const abi::linux_user_regs& regs) {
    if (regs.pstate & (psr_mode_mask | psr_daif)) return error(Errno::EINVAL);
    regs_ = regs;
    regs_.pstate &= psr_user_bits;
    return {};
}

std::span<u8> UserContext::save_extended_state() {
    InterruptState state = save_and_disable_interrupts();
    if (fp_live_) {
        arch_save_fpsimd(&fp_state_);
        if (sve_on_) save_sve();
        fp_live_ = false;
    }
    restore_interrupts(state);
    return {reinterpret_cast<u8*>(&fp_state_), sizeof fp_state_};
}

void UserContext::extended_state_changed() {
    fp_live_ = false;
    fp_cpu_ = ~0u;
}

void UserContext::load_extended_state() {
    CpuHeader& cpu = *current_thread()->cpu;
    if (cpu.state.fp_owner != this || fp_cpu_ != cpu.number) {
        arch_load_fpsimd(&fp_state_);
        if (sve_on_) {
            open_sve(sve_.vector_bytes);
            cpu.state.mode |= cpu_mode_sve;
            arch_load_sve(sve_.image.get());
        } else if (cpu.state.mode & cpu_mode_sve) {
            close_sve();
            cpu.state.mode &= static_cast<u8>(~cpu_mode_sve);
        }
        cpu.state.fp_owner = this;
        fp_cpu_ = cpu.number;
    }
    fp_live_ = true;
}

/// Who has used SVE and comes from a call goes on with registers that are cleared, rather than trap again.
void UserContext::settle_sve(CpuState& cpu) {
    if (sve_on_ || !(cpu.mode & cpu_mode_sve)) return;
    arch_clear_sve();
    sve_on_ = true;
}

void UserContext::save_sve() { arch_save_sve(sve_.image.get()); }

Result<void> UserContext::turn_on_sve() {
    if (most_sve_bytes() == 0) return error(Errno::EINVAL);
    save_extended_state();
    TRY(sve_.make_image());
    sve_.take_low_parts(fp_state_.vregs);
    sve_on_ = true;
    InterruptState state = save_and_disable_interrupts();
    extended_state_changed();
    restore_interrupts(state);
    return {};
}

Result<long> UserContext::vector_length() const { return sve_.status(sve_.vector_bytes); }

Result<long> UserContext::set_vector_length(u64 wanted) {
    save_extended_state();
    const SveState::Change change = TRY(sve_.change(wanted));
    if (change.is_now) sve_on_ = false; // the image was of another length
    InterruptState state = save_and_disable_interrupts();
    extended_state_changed();
    restore_interrupts(state);
    return sve_.status(change.told);
}

TrapReason enter_user(UserContext& context) {
    context.load_extended_state();
    CpuState& cpu = current_thread()->cpu->state;
    if ((context.debug_mode() | cpu.mode) == 0) [[likely]]
        return arch_run_user(&context);
    context.settle_sve(cpu);
    if ((context.debug_mode() | (cpu.mode & ~cpu_mode_sve)) == 0) return arch_run_user(&context);
    // Set and cleared on the way in, with interrupts off; on the way out the thread may already be on another CPU. The
    // kernel itself is never stepped.
    load_debug_state(context, cpu);
    if (!context.single_step()) return arch_run_user(&context);
    context.begin_step();
    TrapReason reason = arch_run_user(&context);
    context.end_step();
    return reason;
}

void UserContext::begin_step() { regs_.pstate |= psr_single_step; }
void UserContext::end_step() { regs_.pstate &= ~psr_single_step; }

} // namespace linnet::arch

extern "C" void arch_save_sve_of(linnet::arch::UserContext* context) { context->save_sve(); }
