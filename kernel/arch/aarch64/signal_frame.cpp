// Builds and restores Linux's AArch64 signal frame. The frame is written in parts: whole, with its 4 KiB of record
// space, it would be a third of a kernel stack.
#include <abi_arch/signal_frame.hpp>
#include <arch/signal_frame.hpp>
#include <arch/usercopy.hpp>
#include <cstring>

namespace linnet::arch {

namespace {

constexpr u64 frame_info = __builtin_offsetof(abi::rt_sigframe, info);
constexpr u64 frame_context = __builtin_offsetof(abi::rt_sigframe, uc);
constexpr u64 frame_records = __builtin_offsetof(abi::rt_sigframe, reserved);
constexpr u64 stack_alignment = 16;

template <typename T>
bool put(u64 address, const T& value) {
    return is_user_range({address}, sizeof value) &&
           arch_copy_to_user(reinterpret_cast<void*>(address), &value, sizeof value) == 0;
}
template <typename T>
bool get(u64 address, T& value) {
    return is_user_range({address}, sizeof value) &&
           arch_copy_from_user(&value, reinterpret_cast<const void*>(address), sizeof value) == 0;
}

bool put_context(u64 address, UserContext& context, const SignalDelivery& delivery) {
    abi::ucontext uc;
    std::memset(&uc, 0, sizeof uc);
    abi::linux_user_regs regs = context.to_user_regs();
    uc.uc_stack = delivery.alternate_stack;
    uc.uc_sigmask = delivery.blocked_mask;
    uc.uc_mcontext.fault_address = context.fault_address();
    std::memcpy(uc.uc_mcontext.regs, regs.regs, sizeof regs.regs);
    uc.uc_mcontext.sp = regs.sp;
    uc.uc_mcontext.pc = regs.pc;
    uc.uc_mcontext.pstate = regs.pstate;
    return put(address, uc);
}

bool put_records(u64 address, UserContext& context) {
    context.save_extended_state();
    const abi::user_fpsimd_state& fp = context.fpsimd();
    abi::fpsimd_context record{{abi::FPSIMD_MAGIC, sizeof record}, fp.fpsr, fp.fpcr, {}};
    std::memcpy(record.vregs, fp.vregs, sizeof record.vregs);
    if (!put(address, record)) return false;
    address += sizeof record;
    if (context.fault_syndrome() != 0) {
        abi::esr_context syndrome{{abi::ESR_MAGIC, sizeof syndrome}, context.fault_syndrome()};
        if (!put(address, syndrome)) return false;
        address += sizeof syndrome;
    }
    return put(address, abi::aarch64_ctx{0, 0});
}

Result<void> get_fpsimd(u64 address, UserContext& context) {
    abi::fpsimd_context record;
    if (!get(address, record)) return error(Errno::EFAULT);
    context.extended_state_changed();
    abi::user_fpsimd_state& fp = context.fpsimd();
    std::memcpy(fp.vregs, record.vregs, sizeof fp.vregs);
    fp.fpsr = record.fpsr;
    fp.fpcr = record.fpcr;
    return {};
}

/// Walks the records. As on Linux the FPSIMD record must be there, once, and an unknown one is refused.
Result<void> get_records(u64 address, UserContext& context) {
    bool have_fpsimd = false;
    for (u64 at = 0; at + sizeof(abi::aarch64_ctx) <= abi::sigcontext_reserved_size;) {
        abi::aarch64_ctx head;
        if (!get(address + at, head)) return error(Errno::EFAULT);
        if (head.magic == 0) {
            if (head.size != 0 || !have_fpsimd) return error(Errno::EINVAL);
            return {};
        }
        if (head.size < sizeof head || head.size % 16 != 0 || head.size > abi::sigcontext_reserved_size - at)
            return error(Errno::EINVAL);
        if (head.magic == abi::FPSIMD_MAGIC) {
            if (have_fpsimd || head.size != sizeof(abi::fpsimd_context)) return error(Errno::EINVAL);
            have_fpsimd = true;
            TRY(get_fpsimd(address + at, context));
        } else if (head.magic != abi::ESR_MAGIC) {
            return error(Errno::EINVAL);
        }
        at += head.size;
    }
    return error(Errno::EINVAL);
}

} // namespace

Result<void> push_signal_frame(UserContext& context, const SignalDelivery& delivery) {
    u64 record = align_down(delivery.stack_top.value, stack_alignment) - sizeof(abi::frame_record);
    u64 frame = record - sizeof(abi::rt_sigframe);
    if (frame > delivery.stack_top.value) return error(Errno::EFAULT); // wrapped
    abi::linux_user_regs regs = context.to_user_regs();
    bool written = put(record, abi::frame_record{regs.regs[29], regs.regs[30]}) &&
                   put_context(frame + frame_context, context, delivery) &&
                   put_records(frame + frame_records, context) &&
                   (!delivery.info || put(frame + frame_info, *delivery.info));
    if (!written) return error(Errno::EFAULT);

    bool has_restorer = delivery.action_flags & abi::SA_RESTORER;
    regs.regs[0] = static_cast<u64>(delivery.signal);
    regs.regs[1] = frame + frame_info;
    regs.regs[2] = frame + frame_context;
    regs.regs[29] = record;
    regs.regs[30] = has_restorer ? delivery.restorer.value : delivery.vdso_trampoline.value;
    regs.sp = frame;
    regs.pc = delivery.handler.value;
    return context.from_user_regs(regs);
}

Result<SignalReturn> pop_signal_frame(UserContext& context) {
    u64 frame = context.sp().value;
    abi::ucontext uc;
    if (frame % stack_alignment != 0) return error(Errno::EFAULT);
    if (!get(frame + frame_context, uc)) return error(Errno::EFAULT);
    TRY(get_records(frame + frame_records, context));
    abi::linux_user_regs regs;
    std::memcpy(regs.regs, uc.uc_mcontext.regs, sizeof regs.regs);
    regs.sp = uc.uc_mcontext.sp;
    regs.pc = uc.uc_mcontext.pc;
    regs.pstate = uc.uc_mcontext.pstate;
    TRY(context.from_user_regs(regs));
    context.mark_not_syscall();
    return SignalReturn{uc.uc_sigmask, uc.uc_stack};
}

usize minimum_signal_stack() {
    return sizeof(abi::rt_sigframe) + sizeof(abi::frame_record) + stack_alignment; // the last for an unaligned sp
}

} // namespace linnet::arch
