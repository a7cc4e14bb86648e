// Linux's RISC-V signal frame (layout: abi_arch/signal_frame.hpp). The frame lies at the handler's sp; behind
// it, when the vector unit has been used, a record with the vector registers and an end header.
#include <abi_arch/signal_frame.hpp>
#include <algorithm>
#include <arch/signal_frame.hpp>
#include <arch/usercopy.hpp>
#include <cstring>

#include "../common/frame_parts.hpp"
#include "isa.hpp"

namespace linnet::arch {

namespace {

using abi::riscv_ctx_hdr;
using abi::riscv_v_ext_state;
using abi::rt_sigframe;

constexpr usize header_place = __builtin_offsetof(rt_sigframe, uc.uc_mcontext.extra.hdr);
constexpr u64 stack_alignment = 16;

usize vector_bytes() { return 32 * vector_register_bytes(); }
usize vector_record_size() { return sizeof(riscv_ctx_hdr) + sizeof(riscv_v_ext_state) + vector_bytes(); }

bool has_vector_record(const UserContext& context) {
    return context.vector && context.unit_state(csr::sstatus_vs_shift) != csr::unit_off;
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

/// The record's header takes the place of the frame's end header; its state follows the frame.
Result<void> write_vector_record(const UserContext& context, u64 frame) {
    u64 state_place = frame + header_place + sizeof(riscv_ctx_hdr);
    riscv_ctx_hdr header{abi::RISCV_V_MAGIC, static_cast<u32>(vector_record_size())};
    const VectorState& vector = *context.vector;
    riscv_v_ext_state state{.vstart = vector.vstart,
                            .vl = vector.vl,
                            .vtype = vector.vtype,
                            .vcsr = vector.vcsr,
                            .vlenb = vector_register_bytes(),
                            .datap = state_place + sizeof state};
    riscv_ctx_hdr end{abi::END_MAGIC, abi::END_HDR_SIZE};
    TRY(write_user(frame + header_place, &header, sizeof header));
    TRY(write_user(state_place, &state, sizeof state));
    TRY(write_user(state.datap, vector.bytes(), vector_bytes()));
    return write_user(state.datap + vector_bytes(), &end, sizeof end);
}

/// vtype's illegal bit and lengths that don't fit are the hardware's business: vsetvl makes them legal or
/// marks them.
Result<void> read_vector_record(UserContext& context, u64 state_place, u32 size) {
    if (!context.vector || size != vector_record_size()) return error(Errno::EINVAL);
    riscv_v_ext_state state;
    TRY(read_user(&state, state_place, sizeof state));
    TRY(read_user(context.vector->bytes(), state.datap, vector_bytes()));
    context.vector->vstart = state.vstart;
    context.vector->vl = state.vl;
    context.vector->vtype = state.vtype;
    context.vector->vcsr = state.vcsr;
    if (context.unit_state(csr::sstatus_vs_shift) == csr::unit_off)
        context.set_unit_state(csr::sstatus_vs_shift, csr::unit_clean);
    return {};
}

/// Every record has to be one we know; anything else means that the frame isn't ours.
Result<void> read_records(UserContext& context, u64 frame) {
    u64 place = frame + header_place;
    for (bool vector_seen = false;;) {
        riscv_ctx_hdr header;
        TRY(read_user(&header, place, sizeof header));
        if (header.magic == abi::END_MAGIC) {
            if (header.size != abi::END_HDR_SIZE) return error(Errno::EINVAL);
            return {};
        }
        if (header.magic != abi::RISCV_V_MAGIC || vector_seen) return error(Errno::EINVAL);
        TRY(read_vector_record(context, place + sizeof header, header.size));
        vector_seen = true;
        place += header.size;
    }
}

/// What Linux doesn't write stays as it is: the room for larger masks and FP registers.
bool store_frame(rt_sigframe& to, const UserContext& context, const SignalDelivery& delivery) {
    auto& machine = to.uc.uc_mcontext;
    UserWindow window;
    return store_signal_info(&to.info, *delivery.info) && store_user(&to.uc.uc_flags, u64{0}) &&
           store_user(&to.uc.uc_link, u64{0}) && store_user_object(&to.uc.uc_stack, delivery.alternate_stack) &&
           store_user(&to.uc.uc_sigmask, delivery.blocked_mask) &&
           store_user_words<32>(reinterpret_cast<u64*>(&machine.sc_regs), context.regs) &&
           store_user_words<32>(machine.d.f, context.fp.registers) && store_user(&machine.d.fcsr, context.fp.fcsr) &&
           store_user(&machine.extra.reserved, u32{0}) && store_user(&machine.extra.hdr.magic, abi::END_MAGIC) &&
           store_user(&machine.extra.hdr.size, abi::END_HDR_SIZE);
}

/// On false some of the registers have been taken, as on Linux.
LINNET_TRUSTS_NO_ADDRESS bool load_frame(const rt_sigframe& from, UserContext& context, SignalReturn& result,
                                         u32& reserved) {
    const auto& machine = from.uc.uc_mcontext;
    UserWindow window;
    return load_user(reserved, &machine.extra.reserved) &&
           load_user_words<32>(context.regs, reinterpret_cast<const u64*>(&machine.sc_regs)) &&
           load_user_words<32>(context.fp.registers, machine.d.f) && load_user(context.fp.fcsr, &machine.d.fcsr) &&
           load_user(result.blocked_mask, &from.uc.uc_sigmask) &&
           load_user_object(result.alternate_stack, &from.uc.uc_stack);
}

} // namespace

Result<void> push_signal_frame(UserContext& context, const SignalDelivery& delivery) {
    context.save_extended_state();
    bool with_vector = has_vector_record(context);
    usize size = sizeof(rt_sigframe) + (with_vector ? vector_record_size() + sizeof(riscv_ctx_hdr) : 0);
    size = align_up(size, stack_alignment);
    if (delivery.stack_top.value < size) return error(Errno::EFAULT);
    u64 place = align_down(delivery.stack_top.value - size, stack_alignment);

    if (!is_user_range({place}, size)) return error(Errno::EFAULT);
    if (!store_frame(*reinterpret_cast<rt_sigframe*>(place), context, delivery)) return error(Errno::EFAULT);
    if (with_vector) TRY(write_vector_record(context, place));

    // handler(signal, siginfo_t*, ucontext_t*), returning to the vDSO's trampoline
    context.regs[1] = delivery.vdso_trampoline.value;
    context.regs[2] = place;
    context.regs[10] = static_cast<u64>(delivery.signal);
    context.regs[11] = place + __builtin_offsetof(rt_sigframe, info);
    context.regs[12] = place + __builtin_offsetof(rt_sigframe, uc);
    context.regs[0] = delivery.handler.value;
    context.mark_not_syscall();
    return {};
}

LINNET_TRUSTS_NO_ADDRESS Result<SignalReturn> pop_signal_frame(UserContext& context) {
    // Memory becomes the truth before anything is read into it, so a switch on the way can't store registers
    // over it.
    context.save_extended_state();
    u64 place = context.sp().value;
    if (!is_user_range({place}, sizeof(rt_sigframe))) return error(Errno::EFAULT);
    SignalReturn result;
    u32 reserved = 0;
    const bool loaded = load_frame(*reinterpret_cast<const rt_sigframe*>(place), context, result, reserved);
    context.extended_state_changed();
    if (!loaded) return error(Errno::EFAULT);
    if (reserved != 0) return error(Errno::EINVAL);
    TRY(read_records(context, place));
    context.mark_not_syscall();
    return result;
}

usize minimum_signal_stack() {
    usize vector = vector_bytes() != 0 ? vector_record_size() + sizeof(riscv_ctx_hdr) : 0;
    return align_up(sizeof(rt_sigframe) + vector, stack_alignment);
}

} // namespace linnet::arch
