// Linux's signal frame (SEMANTICS S1, S4–S9, S14; layout in abi_arch/signal_frame.hpp). From the stack's top down: the
// red zone, the XSAVE or FXSAVE image at a multiple of 64, and rt_sigframe with rsp mod 16 = 8, as after a call.
#include "extended_state.hpp"
#include "features.hpp"
#include <abi_arch/signal_frame.hpp>
#include <arch/signal_frame.hpp>
#include <arch/usercopy.hpp>
#include <arch_impl/registers.hpp>

namespace linnet::arch {
namespace {

constexpr u64 red_zone = 128;
constexpr u64 image_alignment = 64;
/// Flags that sigreturn restores.
constexpr u64 restored_flags = 0x5'0dd5;

Result<void> copy_out(VirtAddr to, const void* from, usize size) {
    if (!is_user_range(to, size)) return error(Errno::EFAULT);
    if (arch_copy_to_user(reinterpret_cast<void*>(to.value), from, size) != 0) return error(Errno::EFAULT);
    return {};
}

Result<void> copy_in(void* to, VirtAddr from, usize size) {
    if (!is_user_range(from, size)) return error(Errno::EFAULT);
    if (arch_copy_from_user(to, reinterpret_cast<const void*>(from.value), size) != 0) return error(Errno::EFAULT);
    return {};
}

/// Bytes the FP image takes in a frame: XSAVE's is followed by the second magic.
usize image_size_in_frame() {
    usize size = initial_extended_state().size();
    return cpu_features().xsave ? size + sizeof(abi::FP_XSTATE_MAGIC2) : size;
}

void fill_registers(abi::sigcontext& out, const UserContext& context) {
    const UserRegisters& r = context.registers;
    out.r8 = r.r8, out.r9 = r.r9, out.r10 = r.r10, out.r11 = r.r11, out.r12 = r.r12, out.r13 = r.r13, out.r14 = r.r14;
    out.r15 = r.r15, out.di = r.rdi, out.si = r.rsi, out.bp = r.rbp, out.bx = r.rbx, out.dx = r.rdx, out.ax = r.rax;
    out.cx = r.rcx, out.sp = r.rsp, out.ip = r.rip;
    out.flags = context.stepping ? r.rflags & ~rflags_trap : r.rflags;
    out.cs = static_cast<u16>(r.cs), out.ss = static_cast<u16>(r.ss), out.gs = out.fs = 0;
    for (u64& word : out.reserved1) word = 0;
    out.err = context.fault_error, out.trapno = context.fault_vector, out.cr2 = context.fault_address;
}

void take_registers(UserContext& context, const abi::sigcontext& in) {
    UserRegisters& r = context.registers;
    r.r8 = in.r8, r.r9 = in.r9, r.r10 = in.r10, r.r11 = in.r11, r.r12 = in.r12, r.r13 = in.r13, r.r14 = in.r14;
    r.r15 = in.r15, r.rdi = in.di, r.rsi = in.si, r.rbp = in.bp, r.rbx = in.bx, r.rdx = in.dx, r.rax = in.ax;
    r.rcx = in.cx, r.rsp = in.sp, r.rip = in.ip;
    // Everything else of rflags, and the segments, stay the kernel's.
    r.rflags = (r.rflags & ~restored_flags) | (in.flags & restored_flags);
    if (context.stepping) r.rflags |= rflags_trap;
    context.original_rax = -1;
}

/// What is written of the frame at once; siginfo follows, from where it is. Every field is set, as it has no padding.
struct FrameHead {
    u64 pretcode;
    abi::ucontext_t uc;
};
static_assert(sizeof(FrameHead) == offsetof(abi::rt_sigframe, info));

/// The part of an XSAVE image that the kernel writes itself when the CPU writes the rest.
struct ImageFrame {
    abi::fpx_sw_bytes software;
    u8 header[64]; // zero, as XSAVE wants it
};
static_assert(sizeof(ImageFrame) == 112);

Result<void> write_image(UserContext& context, VirtAddr to) {
    std::span<const u8> initial = initial_extended_state();
    if (cpu_features().xsave) {
        ImageFrame frame{};
        __builtin_memcpy(&frame.software, initial.data() + abi::fpx_sw_bytes_offset, sizeof(frame.software));
        TRY(copy_out(to + abi::fpx_sw_bytes_offset, &frame, sizeof(frame)));
        TRY(copy_out(to + initial.size(), &abi::FP_XSTATE_MAGIC2, sizeof(abi::FP_XSTATE_MAGIC2)));
        if (!is_user_range(to, initial.size())) return error(Errno::EFAULT);
        if (context.save_extended_state_to(to)) return {};
    }
    // A page of it isn't there yet: by the memory image, with copies that may wait for pages.
    std::span<u8> image = context.save_extended_state();
    return copy_out(to, image.data(), image.size());
}

/// How much of the frame's FP image may be believed, as Linux decides: without both magics only the FXSAVE part.
struct ImageExtent {
    usize size = 512;
    u64 components = 3;
};
Result<ImageExtent> judge_image(VirtAddr from) {
    if (!cpu_features().xsave) return ImageExtent{};
    abi::fpx_sw_bytes software;
    TRY(copy_in(&software, from + abi::fpx_sw_bytes_offset, sizeof(software)));
    usize whole = initial_extended_state().size();
    constexpr usize least = 512 + 64; // with the XSAVE header
    if (software.magic1 != abi::FP_XSTATE_MAGIC1 || software.xstate_size < least || software.xstate_size > whole ||
        software.xstate_size > software.extended_size)
        return ImageExtent{};
    u32 magic2;
    TRY(copy_in(&magic2, from + software.xstate_size, sizeof(magic2)));
    if (magic2 != abi::FP_XSTATE_MAGIC2) return ImageExtent{};
    return ImageExtent{software.xstate_size, software.xfeatures};
}

Result<void> read_image(UserContext& context, VirtAddr from) {
    ImageExtent extent = TRY(judge_image(from));
    usize whole = initial_extended_state().size();
    if (cpu_features().xsave && extent.size == whole && from.value % image_alignment == 0 &&
        is_user_range(from, whole) && context.load_extended_state_from(from, extent.components))
        return {};
    // A page is missing, or the image is not what the CPU takes: copied, put right and loaded by the next entry.
    // Memory becomes the truth before it is touched: were the thread to lose the CPU halfway, nothing is stored over
    // it, and it is loaded only by the next entry to user code.
    std::span<u8> image = context.save_extended_state();
    context.extended_state_changed();
    Result<void> copied = copy_in(image.data(), from, extent.size);
    if (extent.size == 512) {
        // No header in the frame: x87 and SSE come from it, the rest becomes initial.
        if (image.size() > 512) {
            u64 present = 3;
            __builtin_memcpy(image.data() + 512, &present, sizeof(present));
        }
    }
    sanitise_image(image, extent.size == image.size() ? extent.components : extent.components & 3);
    return copied;
}

} // namespace

Result<void> push_signal_frame(UserContext& context, const SignalDelivery& delivery) {
    // There is no other way back on x86_64 (Linux refuses too).
    if (!(delivery.action_flags & abi::SA_RESTORER)) return error(Errno::EFAULT);
    u64 sp = delivery.stack_top.value;
    if (!delivery.on_alternate_stack) sp -= red_zone;
    u64 image = align_down(sp - image_size_in_frame(), image_alignment);
    u64 base = align_down(image - sizeof(abi::rt_sigframe), u64{16}) - 8;
    if (base > sp) return error(Errno::EFAULT); // wrapped

    FrameHead head;
    head.pretcode = delivery.restorer.value;
    head.uc.uc_flags = abi::UC_SIGCONTEXT_SS | abi::UC_STRICT_RESTORE_SS;
    if (cpu_features().xsave) head.uc.uc_flags |= abi::UC_FP_XSTATE;
    head.uc.uc_link = 0;
    head.uc.uc_stack = delivery.alternate_stack;
    fill_registers(head.uc.uc_mcontext, context);
    head.uc.uc_mcontext.oldmask = delivery.blocked_mask;
    head.uc.uc_mcontext.fpstate = image;
    head.uc.uc_sigmask = delivery.blocked_mask;
    TRY(write_image(context, {image}));
    TRY(copy_out({base}, &head, sizeof(head)));
    TRY(copy_out({base + offsetof(abi::rt_sigframe, info)}, delivery.info, sizeof(*delivery.info)));
    context.make_extended_state_initial();

    UserRegisters& r = context.registers;
    r.rdi = static_cast<u64>(delivery.signal);
    r.rsi = base + offsetof(abi::rt_sigframe, info);
    r.rdx = base + offsetof(abi::rt_sigframe, uc);
    r.rax = 0;
    r.rip = delivery.handler.value;
    r.rsp = base;
    r.rflags &= ~(rflags_direction | rflags_resume | rflags_trap);
    if (context.stepping) r.rflags |= rflags_trap;
    context.mark_not_syscall();
    return {};
}

Result<SignalReturn> pop_signal_frame(UserContext& context) {
    // The handler's ret has taken the return address off.
    VirtAddr base = context.sp() - offsetof(abi::rt_sigframe, uc);
    abi::ucontext_t uc;
    TRY(copy_in(&uc, base + offsetof(abi::rt_sigframe, uc), sizeof(uc)));
    if (uc.uc_mcontext.fpstate != 0) {
        TRY(read_image(context, {uc.uc_mcontext.fpstate}));
    } else {
        std::span<u8> image = context.save_extended_state();
        __builtin_memcpy(image.data(), initial_extended_state().data(), image.size());
        context.extended_state_changed();
    }
    take_registers(context, uc.uc_mcontext);
    return SignalReturn{uc.uc_sigmask, uc.uc_stack};
}

usize minimum_signal_stack() {
    // The frame, the image, and what aligning them may take.
    return sizeof(abi::rt_sigframe) + 16 + image_size_in_frame() + image_alignment;
}

} // namespace linnet::arch
