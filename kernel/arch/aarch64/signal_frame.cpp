// Builds and restores Linux's AArch64 signal frame. The frame is written in parts: whole, with its 4 KiB of record
// space, it would be a third of a kernel stack.
#include "../common/frame_parts.hpp"
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

/// Everything but the records. What Linux doesn't write stays as it is: the room for larger masks.
bool store_frame(abi::rt_sigframe& to, const UserContext& context, const SignalDelivery& delivery) {
    const abi::linux_user_regs& regs = context.user_regs();
    abi::sigcontext& machine = to.uc.uc_mcontext;
    static_assert(offsetof(abi::sigcontext, pstate) - offsetof(abi::sigcontext, regs) + sizeof(u64) == sizeof regs);
    UserWindow window;
    return store_signal_info(&to.info, *delivery.info) && store_user(&to.uc.uc_flags, u64{0}) &&
           store_user(&to.uc.uc_link, u64{0}) && store_user_object(&to.uc.uc_stack, delivery.alternate_stack) &&
           store_user(&to.uc.uc_sigmask, delivery.blocked_mask) &&
           store_user(&machine.fault_address, context.fault_address()) &&
           store_user_words<sizeof regs / sizeof(u64)>(machine.regs, regs.regs);
}

bool store_records(u64 address, UserContext& context) {
    context.save_extended_state();
    const abi::user_fpsimd_state& fp = context.fpsimd();
    auto& record = *reinterpret_cast<abi::fpsimd_context*>(address);
    UserWindow window;
    if (!store_user(&record.head.magic, abi::FPSIMD_MAGIC) ||
        !store_user(&record.head.size, static_cast<u32>(sizeof record)) || !store_user(&record.fpsr, fp.fpsr) ||
        !store_user(&record.fpcr, fp.fpcr) || !store_user_words<64>(record.vregs[0], fp.vregs[0]))
        return false;
    address += sizeof record;
    if (context.fault_syndrome() != 0) {
        const abi::esr_context syndrome{{abi::ESR_MAGIC, sizeof syndrome}, context.fault_syndrome()};
        if (!store_user_object(reinterpret_cast<abi::esr_context*>(address), syndrome)) return false;
        address += sizeof syndrome;
    }
    return store_user(reinterpret_cast<u64*>(address), u64{0}); // the last record: no magic, no size
}

Result<void> load_fpsimd(u64 address, UserContext& context) {
    const auto& record = *reinterpret_cast<const abi::fpsimd_context*>(address);
    context.extended_state_changed(); // from here on memory is the truth
    abi::user_fpsimd_state& fp = context.fpsimd();
    UserWindow window;
    if (!load_user_words<64>(fp.vregs[0], record.vregs[0]) || !load_user(fp.fpsr, &record.fpsr) ||
        !load_user(fp.fpcr, &record.fpcr))
        return error(Errno::EFAULT);
    return {};
}

/// Walks the records. As on Linux the FPSIMD record must be there, once, and an unknown one is refused.
Result<void> load_records(u64 address, UserContext& context) {
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
            TRY(load_fpsimd(address + at, context));
        } else if (head.magic != abi::ESR_MAGIC) {
            return error(Errno::EINVAL);
        }
        at += head.size;
    }
    return error(Errno::EINVAL);
}

} // namespace

Result<void> push_signal_frame(UserContext& context, const SignalDelivery& delivery) {
    const u64 record = align_down(delivery.stack_top.value, stack_alignment) - sizeof(abi::frame_record);
    const u64 frame = record - sizeof(abi::rt_sigframe);
    if (frame > delivery.stack_top.value) return error(Errno::EFAULT); // wrapped
    if (!is_user_range({frame}, sizeof(abi::rt_sigframe) + sizeof(abi::frame_record))) return error(Errno::EFAULT);
    abi::linux_user_regs& regs = context.user_regs();
    if (!put(record, abi::frame_record{regs.regs[29], regs.regs[30]}) ||
        !store_frame(*reinterpret_cast<abi::rt_sigframe*>(frame), context, delivery) ||
        !store_records(frame + frame_records, context))
        return error(Errno::EFAULT);

    const bool has_restorer = delivery.action_flags & abi::SA_RESTORER;
    regs.regs[0] = static_cast<u64>(delivery.signal);
    regs.regs[1] = frame + frame_info;
    regs.regs[2] = frame + frame_context;
    regs.regs[29] = record;
    regs.regs[30] = has_restorer ? delivery.restorer.value : delivery.vdso_trampoline.value;
    regs.sp = frame;
    regs.pc = delivery.handler.value;
    return {};
}

Result<SignalReturn> pop_signal_frame(UserContext& context) {
    const u64 frame = context.sp().value;
    if (frame % stack_alignment != 0 || !is_user_range({frame}, sizeof(abi::rt_sigframe))) return error(Errno::EFAULT);
    const auto& uc = reinterpret_cast<const abi::rt_sigframe*>(frame)->uc;
    SignalReturn result;
    abi::linux_user_regs regs;
    {
        UserWindow window;
        if (!load_user_words<sizeof regs / sizeof(u64)>(regs.regs, uc.uc_mcontext.regs) ||
            !load_user(result.blocked_mask, &uc.uc_sigmask) || !load_user_object(result.alternate_stack, &uc.uc_stack))
            return error(Errno::EFAULT);
    }
    TRY(load_records(frame + frame_records, context));
    TRY(context.from_user_regs(regs));
    context.mark_not_syscall();
    return result;
}

usize minimum_signal_stack() {
    return sizeof(abi::rt_sigframe) + sizeof(abi::frame_record) + stack_alignment; // the last for an unaligned sp
}

} // namespace linnet::arch
