// Linux's signal frame (SEMANTICS S1, S4–S9, S14; layout in abi_arch/signal_frame.hpp). From the stack's top down: the
// red zone, the XSAVE or FXSAVE image at a multiple of 64, and rt_sigframe with rsp mod 16 = 8, as after a call.
#include "../common/frame_parts.hpp"
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

/// `to` is user memory, and the window open.
bool store_registers(abi::sigcontext& to, const UserContext& context) {
    const UserRegisters& r = context.registers;
    const u64 flags = context.stepping ? r.rflags & ~rflags_trap : r.rflags;
    constexpr u64 selectors_at = offsetof(abi::sigcontext, cs);
    static_assert(offsetof(abi::sigcontext, ss) == selectors_at + 6);
    const u64 selectors = (r.cs & 0xffff) | (r.ss & 0xffff) << 48; // cs, gs, fs, ss
    return store_user(&to.r8, r.r8) && store_user(&to.r9, r.r9) && store_user(&to.r10, r.r10) &&
           store_user(&to.r11, r.r11) && store_user(&to.r12, r.r12) && store_user(&to.r13, r.r13) &&
           store_user(&to.r14, r.r14) && store_user(&to.r15, r.r15) && store_user(&to.di, r.rdi) &&
           store_user(&to.si, r.rsi) && store_user(&to.bp, r.rbp) && store_user(&to.bx, r.rbx) &&
           store_user(&to.dx, r.rdx) && store_user(&to.ax, r.rax) && store_user(&to.cx, r.rcx) &&
           store_user(&to.sp, r.rsp) && store_user(&to.ip, r.rip) && store_user(&to.flags, flags) &&
           store_user(reinterpret_cast<u64*>(&to.cs), selectors) && store_user(&to.err, context.fault_error) &&
           store_user(&to.trapno, context.fault_vector) && store_user(&to.cr2, context.fault_address) &&
           clear_user_words<sizeof(to.reserved1) / sizeof(u64)>(to.reserved1);
}

/// `in` is user memory, and the window open. On false some of the registers have been taken.
LINNET_TRUSTS_NO_ADDRESS bool load_registers(UserContext& context, const abi::sigcontext& in) {
    UserRegisters& r = context.registers;
    u64 flags;
    const bool loaded = load_user(r.r8, &in.r8) && load_user(r.r9, &in.r9) && load_user(r.r10, &in.r10) &&
                        load_user(r.r11, &in.r11) && load_user(r.r12, &in.r12) && load_user(r.r13, &in.r13) &&
                        load_user(r.r14, &in.r14) && load_user(r.r15, &in.r15) && load_user(r.rdi, &in.di) &&
                        load_user(r.rsi, &in.si) && load_user(r.rbp, &in.bp) && load_user(r.rbx, &in.bx) &&
                        load_user(r.rdx, &in.dx) && load_user(r.rax, &in.ax) && load_user(r.rcx, &in.cx) &&
                        load_user(r.rsp, &in.sp) && load_user(r.rip, &in.ip) && load_user(flags, &in.flags);
    if (!loaded) return false;
    // Everything else of rflags, and the segments, stay the kernel's.
    r.rflags = (r.rflags & ~restored_flags) | (flags & restored_flags);
    if (context.stepping) r.rflags |= rflags_trap;
    context.original_rax = -1;
    return true;
}

constexpr usize xsave_header_at = 512, xsave_header_words = 8;

/// What the kernel writes itself of an XSAVE image of `size` bytes at `to`, the CPU writes the rest: the words for
/// software, an empty header as XSAVE wants it, and the second magic.
bool prepare_image(u64 to, usize size) {
    abi::fpx_sw_bytes software;
    __builtin_memcpy(&software, initial_extended_state().data() + abi::fpx_sw_bytes_offset, sizeof(software));
    UserWindow window;
    return store_user_object(reinterpret_cast<abi::fpx_sw_bytes*>(to + abi::fpx_sw_bytes_offset), software) &&
           clear_user_words<xsave_header_words>(reinterpret_cast<u64*>(to + xsave_header_at)) &&
           store_user(reinterpret_cast<u32*>(to + size), abi::FP_XSTATE_MAGIC2);
}

Result<void> write_image(UserContext& context, VirtAddr to) {
    if (!is_user_range(to, image_size_in_frame())) return error(Errno::EFAULT);
    if (cpu_features().xsave) {
        if (!prepare_image(to.value, initial_extended_state().size())) return error(Errno::EFAULT);
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
LINNET_TRUSTS_NO_ADDRESS Result<ImageExtent> judge_image(VirtAddr from) {
    if (!cpu_features().xsave) return ImageExtent{};
    const usize whole = initial_extended_state().size();
    constexpr usize least = 512 + 64; // with the XSAVE header
    if (!is_user_range(from, whole + sizeof(u32))) return error(Errno::EFAULT);
    const auto& software = *reinterpret_cast<const abi::fpx_sw_bytes*>(from.value + abi::fpx_sw_bytes_offset);
    u32 magic1, magic2, extended_size, size;
    u64 components;
    UserWindow window;
    if (!load_user(magic1, &software.magic1) || !load_user(extended_size, &software.extended_size) ||
        !load_user(components, &software.xfeatures) || !load_user(size, &software.xstate_size))
        return error(Errno::EFAULT);
    if (magic1 != abi::FP_XSTATE_MAGIC1 || size < least || size > whole || size > extended_size) return ImageExtent{};
    if (!load_user(magic2, reinterpret_cast<const u32*>(from.value + size))) return error(Errno::EFAULT);
    if (magic2 != abi::FP_XSTATE_MAGIC2) return ImageExtent{};
    return ImageExtent{size, components};
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

/// Everything but the FP image, whose place is `image`.
bool store_frame(abi::rt_sigframe& to, const UserContext& context, const SignalDelivery& delivery, u64 image) {
    u64 flags = abi::UC_SIGCONTEXT_SS | abi::UC_STRICT_RESTORE_SS;
    if (cpu_features().xsave) flags |= abi::UC_FP_XSTATE;
    UserWindow window;
    return store_user(&to.pretcode, delivery.restorer.value) && store_user(&to.uc.uc_flags, flags) &&
           store_user(&to.uc.uc_link, u64{0}) && store_user_object(&to.uc.uc_stack, delivery.alternate_stack) &&
           store_registers(to.uc.uc_mcontext, context) &&
           store_user(&to.uc.uc_mcontext.oldmask, delivery.blocked_mask) &&
           store_user(&to.uc.uc_mcontext.fpstate, image) && store_user(&to.uc.uc_sigmask, delivery.blocked_mask) &&
           store_signal_info(&to.info, *delivery.info);
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

    if (!is_user_range({base}, sizeof(abi::rt_sigframe))) return error(Errno::EFAULT);
    TRY(write_image(context, {image}));
    if (!store_frame(*reinterpret_cast<abi::rt_sigframe*>(base), context, delivery, image)) return error(Errno::EFAULT);
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

LINNET_TRUSTS_NO_ADDRESS Result<SignalReturn> pop_signal_frame(UserContext& context) {
    // The handler's ret has taken the return address off.
    const VirtAddr base = context.sp() - offsetof(abi::rt_sigframe, uc);
    if (!is_user_range(base, sizeof(abi::rt_sigframe))) return error(Errno::EFAULT);
    const auto& uc = reinterpret_cast<const abi::rt_sigframe*>(base.value)->uc;
    u64 image;
    SignalReturn result;
    {
        UserWindow window;
        if (!load_registers(context, uc.uc_mcontext) || !load_user(image, &uc.uc_mcontext.fpstate) ||
            !load_user(result.blocked_mask, &uc.uc_sigmask) || !load_user_object(result.alternate_stack, &uc.uc_stack))
            return error(Errno::EFAULT);
    }
    if (image != 0) {
        TRY(read_image(context, {image}));
    } else {
        std::span<u8> own = context.save_extended_state();
        __builtin_memcpy(own.data(), initial_extended_state().data(), own.size());
        context.extended_state_changed();
    }
    return result;
}

usize minimum_signal_stack() {
    // The frame, the image, and what aligning them may take.
    return sizeof(abi::rt_sigframe) + 16 + image_size_in_frame() + image_alignment;
}

} // namespace linnet::arch
