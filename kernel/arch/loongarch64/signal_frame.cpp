// Linux's LoongArch signal frame (layout: abi_arch/signal_frame.hpp). The frame lies at the handler's sp;
// behind it, when a unit has been used, one record with the registers of the widest, and an end header.
#include "../common/frame_parts.hpp"
#include <abi_arch/signal_frame.hpp>
#include <arch/signal_frame.hpp>
#include <arch/usercopy.hpp>
#include <cstring>

namespace linnet::arch {

namespace {

using abi::fpu_context_flags;
using abi::rt_sigframe;
using abi::sctx_info;

constexpr u64 record_alignment = 32; // of the registers, as the widest unit wants it

/// A kind of record: its magic, the unit, and how many words of each register it has.
struct RecordKind {
    u32 magic;
    u64 unit;
    usize words;
    usize flags_place() const { return 32 * words * sizeof(u64); }
    usize size() const {
        return sizeof(sctx_info) + align_up(flags_place() + sizeof(fpu_context_flags), record_alignment);
    }
};
constexpr RecordKind kinds[] = {{abi::LASX_CTX_MAGIC, csr::euen_lasx, 4},
                                {abi::LSX_CTX_MAGIC, csr::euen_lsx, 2},
                                {abi::FPU_CTX_MAGIC, csr::euen_fp, 1}};

/// The widest unit in use; null when none is.
const RecordKind* kind_of(const UserContext& context) {
    for (const RecordKind& kind : kinds)
        if (context.units & kind.unit) return &kind;
    return nullptr;
}

Result<void> write_user(u64 to, const void* from, usize size) {
    if (!is_user_range({to}, size)) return error(Errno::EFAULT);
    if (arch_copy_to_user(reinterpret_cast<void*>(to), from, size) != 0) return error(Errno::EFAULT);
    return {};
}

Result<void> read_user(void* to, u64 from, usize size) {
    if (!is_user_range({from}, size)) return error(Errno::EFAULT);
    if (arch_copy_from_user(to, reinterpret_cast<const void*>(from), size) != 0) return error(Errno::EFAULT);
    return {};
}

/// Words of a user array that lies register by register, each as wide as the record's unit makes it.
template <usize Words>
bool store_registers(u64 to, const u64 (&from)[32][4]) {
    UserWindow window;
    for (usize i = 0; i < 32; ++i)
        if (!store_user_words<Words>(reinterpret_cast<u64*>(to) + i * Words, from[i])) return false;
    return true;
}
template <usize Words>
bool load_registers(u64 (&to)[32][4], u64 from) {
    UserWindow window;
    for (usize i = 0; i < 32; ++i)
        if (!load_user_words<Words>(to[i], reinterpret_cast<const u64*>(from) + i * Words)) return false;
    return true;
}

/// By way of memory: pages may have to be found.
Result<void> store_record_body(UserContext& context, const RecordKind& kind, u64 body) {
    context.save_extended_state();
    const auto& registers = context.extended.registers;
    const bool stored = kind.words == 4   ? store_registers<4>(body, registers)
                        : kind.words == 2 ? store_registers<2>(body, registers)
                                          : store_registers<1>(body, registers);
    auto* flags = reinterpret_cast<fpu_context_flags*>(body + kind.flags_place());
    UserWindow window;
    if (!stored || !store_user(&flags->fcc, context.extended.fcc) ||
        !store_user(&flags->fcsr, static_cast<u32>(context.extended.fcsr)))
        return error(Errno::EFAULT);
    return {};
}

Result<void> write_record(UserContext& context, const RecordKind& kind, u64 place) {
    if (!is_user_range({place}, kind.size())) return error(Errno::EFAULT);
    const sctx_info header{kind.magic, static_cast<u32>(kind.size()), 0};
    const u64 body = place + sizeof header;
    if (!context.store_live_to_user(body)) TRY(store_record_body(context, kind, body));
    UserWindow window;
    if (!store_user_object(reinterpret_cast<sctx_info*>(place), header)) return error(Errno::EFAULT);
    return {};
}

Result<void> load_record_body(UserContext& context, const RecordKind& kind, u64 body, u64 fcc, u32 fcsr) {
    // Memory becomes the truth before anything is read into it, so a switch on the way can't store registers over it.
    context.save_extended_state();
    context.turn_on_unit(kind.unit); // false: it is on already, or the CPU lacks it
    if (!(context.units & kind.unit)) return error(Errno::EINVAL);
    auto& registers = context.extended.registers;
    const bool loaded = kind.words == 4   ? load_registers<4>(registers, body)
                        : kind.words == 2 ? load_registers<2>(registers, body)
                                          : load_registers<1>(registers, body);
    context.extended.fcc = fcc;
    context.extended.fcsr = fcsr;
    context.extended_state_changed();
    return loaded ? Result<void>{} : error(Errno::EFAULT);
}

Result<void> read_record(UserContext& context, const RecordKind& kind, u64 body) {
    if (!is_user_range({body}, kind.size())) return error(Errno::EFAULT);
    const auto* flags = reinterpret_cast<const fpu_context_flags*>(body + kind.flags_place());
    u64 fcc = 0;
    u32 fcsr = 0;
    {
        UserWindow window;
        if (!load_user(fcc, &flags->fcc) || !load_user(fcsr, &flags->fcsr)) return error(Errno::EFAULT);
    }
    fcsr = settable_fcsr(fcsr);
    // A narrower record than what is in use leaves the rest of the registers as it is, which takes their image.
    if (kind_of(context) == &kind && context.load_live_from_user(body, fcc, fcsr)) return {};
    return load_record_body(context, kind, body, fcc, fcsr);
}

/// Every record has to be one we know; anything else means that the frame isn't ours.
Result<void> read_records(UserContext& context, u64 place) {
    for (unsigned count = 0; count < 4; ++count) {
        sctx_info header;
        TRY(read_user(&header, place, sizeof header));
        if (header.magic == 0) {
            if (header.size != 0) return error(Errno::EINVAL);
            return {};
        }
        const RecordKind* found = nullptr;
        for (const RecordKind& kind : kinds)
            if (kind.magic == header.magic) found = &kind;
        if (!found || header.size < sizeof header + found->flags_place() + sizeof(fpu_context_flags))
            return error(Errno::EINVAL);
        TRY(read_record(context, *found, place + sizeof header));
        place += header.size;
    }
    return error(Errno::EINVAL);
}

/// Which kind of access faulted, for the handler of a page fault.
u32 fault_flags(const UserContext& context, const SignalDelivery& delivery) {
    bool is_page_fault = delivery.signal == abi::SIGSEGV && delivery.info &&
                         (delivery.info->si_code == abi::SEGV_MAPERR || delivery.info->si_code == abi::SEGV_ACCERR);
    if (!is_page_fault) return 0;
    return context.last_fault == Access::Write ? abi::SC_ADDRERR_WR : abi::SC_ADDRERR_RD;
}

/// What Linux doesn't write stays as it is: the room for larger masks.
bool store_frame(rt_sigframe& to, const UserContext& context, const SignalDelivery& delivery) {
    abi::sigcontext& machine = to.rs_uctx.uc_mcontext;
    const u32 flags = (context.units != 0 ? abi::SC_USED_FP : 0) | fault_flags(context, delivery);
    UserWindow window;
    return store_signal_info(&to.rs_info, *delivery.info) && store_user(&to.rs_uctx.uc_flags, u64{0}) &&
           store_user(&to.rs_uctx.uc_link, u64{0}) &&
           store_user_object(&to.rs_uctx.uc_stack, delivery.alternate_stack) &&
           store_user(&to.rs_uctx.uc_sigmask, delivery.blocked_mask) && store_user(&machine.sc_pc, context.regs[0]) &&
           store_user(&machine.sc_regs[0], u64{0}) && store_user_words<31>(machine.sc_regs + 1, context.regs + 1) &&
           store_user(&machine.sc_flags, flags);
}

/// On false some of the registers have been taken, as on Linux.
LINNET_TRUSTS_NO_ADDRESS bool load_frame(const rt_sigframe& from, UserContext& context, SignalReturn& result,
                                         u32& flags) {
    const abi::sigcontext& machine = from.rs_uctx.uc_mcontext;
    UserWindow window;
    return load_user(flags, &machine.sc_flags) && load_user_words<31>(context.regs + 1, machine.sc_regs + 1) &&
           load_user(context.regs[0], &machine.sc_pc) && load_user(result.blocked_mask, &from.rs_uctx.uc_sigmask) &&
           load_user_object(result.alternate_stack, &from.rs_uctx.uc_stack);
}

} // namespace

Result<void> push_signal_frame(UserContext& context, const SignalDelivery& delivery) {
    const RecordKind* kind = kind_of(context);
    usize records = (kind ? kind->size() : 0) + sizeof(sctx_info);
    usize size = sizeof(rt_sigframe) + records + record_alignment;
    if (delivery.stack_top.value < size) return error(Errno::EFAULT);
    // The registers behind frame and header shall be aligned.
    constexpr usize before_registers = sizeof(rt_sigframe) + sizeof(sctx_info);
    u64 registers = align_down(delivery.stack_top.value - records, record_alignment);
    u64 place = registers - before_registers;

    if (!is_user_range({place}, size)) return error(Errno::EFAULT);
    if (!store_frame(*reinterpret_cast<rt_sigframe*>(place), context, delivery)) return error(Errno::EFAULT);
    u64 record = place + sizeof(rt_sigframe);
    if (kind) {
        TRY(write_record(context, *kind, record));
        record += kind->size();
    }
    constexpr sctx_info end{};
    TRY(write_user(record, &end, sizeof end));

    // handler(signal, siginfo_t*, ucontext_t*), returning to the vDSO's trampoline
    context.regs[1] = delivery.vdso_trampoline.value;
    context.regs[3] = place;
    context.regs[4] = static_cast<u64>(delivery.signal);
    context.regs[5] = place + __builtin_offsetof(rt_sigframe, rs_info);
    context.regs[6] = place + __builtin_offsetof(rt_sigframe, rs_uctx);
    context.regs[0] = delivery.handler.value;
    context.mark_not_syscall();
    return {};
}

LINNET_TRUSTS_NO_ADDRESS Result<SignalReturn> pop_signal_frame(UserContext& context) {
    u64 place = context.sp().value;
    if (!is_user_range({place}, sizeof(rt_sigframe))) return error(Errno::EFAULT);
    SignalReturn result;
    u32 flags = 0;
    if (!load_frame(*reinterpret_cast<const rt_sigframe*>(place), context, result, flags)) return error(Errno::EFAULT);
    if (flags & abi::SC_USED_FP) TRY(read_records(context, place + sizeof(rt_sigframe)));
    context.mark_not_syscall();
    return result;
}

usize minimum_signal_stack() { return sizeof(rt_sigframe) + kinds[0].size() + sizeof(sctx_info) + record_alignment; }

} // namespace linnet::arch
