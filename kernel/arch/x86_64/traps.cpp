// Decodes exceptions (Intel SDM vol. 3, chapter 6) into TrapReason for user code, and handles those of kernel code:
// interrupts, user copies, and what must not happen.
#include "../common/exception_table.hpp"
#include "debug_registers.hpp"
#include "local_apic.hpp"
#include "timer.hpp"
#include <abi/linux/signal.hpp>
#include <arch/fault_watch.hpp>
#include <arch/hooks.hpp>
#include <arch/kernel_probe.hpp>
#include <arch/page.hpp>
#include <arch/platform.hpp>
#include <arch/user_context.hpp>
#include <arch_impl/registers.hpp>
#include <arch_impl/vectors.hpp>
#include <lib/format.hpp>
#include <lib/hit_way.hpp>

// What runs before a probe's breakpoint is known for one can't be probed itself.
#pragma clang section text = ".text.noprobe"

namespace linnet::arch {
namespace {

using Kind = TrapReason::Kind;

enum Exception : u64 {
    divide_error = 0,
    debug = 1,
    nmi = 2,
    breakpoint = 3,
    overflow = 4,
    bound_range = 5,
    invalid_opcode = 6,
    device_not_available = 7,
    double_fault = 8,
    coprocessor_overrun = 9,
    invalid_tss = 10,
    segment_not_present = 11,
    stack_fault = 12,
    general_protection = 13,
    page_fault = 14,
    reserved_15 = 15,
    x87_error = 16,
    alignment_check = 17,
    machine_check = 18,
    simd_error = 19,
    exception_count = 32,
};

constexpr std::string_view exception_names[] = {
    "divide error",
    "debug exception",
    "NMI",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid opcode",
    "device not available",
    "double fault (kernel stack overflow?)",
    "coprocessor overrun",
    "invalid TSS",
    "segment not present",
    "stack fault",
    "general protection fault",
    "page fault",
    "reserved exception",
    "x87 error",
    "alignment check",
    "machine check",
    "SIMD error",
};

// Page-fault error code bits.
constexpr u64 fault_write = 1u << 1, fault_reserved_bit = 1u << 3, fault_fetch = 1u << 4, fault_key = 1u << 5;

Access access_of(u64 error) {
    if (error & fault_fetch) return Access::Execute;
    return (error & fault_write) ? Access::Write : Access::Read;
}

[[noreturn]] void report_kernel_fault(std::string_view what, VirtAddr address, const UserRegisters& r) {
    char text[768];
    auto registers =
        format_into(text,
                    "rip {016x} rsp {016x} rflags {08x} error {x}\nrax {016x} rbx {016x} rcx {016x} rdx {016x}\n"
                    "rsi {016x} rdi {016x} rbp {016x} r8  {016x}\nr9  {016x} r10 {016x} r11 {016x} r12 {016x}\n"
                    "r13 {016x} r14 {016x} r15 {016x} cr2 {016x}\ncr3 {016x} cr4 {016x}\n",
                    r.rip, r.rsp, r.rflags, r.error, r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.r8, r.r9, r.r10,
                    r.r11, r.r12, r.r13, r.r14, r.r15, read_cr2(), read_cr3(), read_cr4());
    hooks::kernel_fault(what, address, r.rip, r.rbp, registers);
}

void handle_interrupt(u64 vector) {
    switch (vector) {
    case vector_timer:
        local_apic_eoi();
        if (timer_expired()) hooks::timer_interrupt();
        return;
    case vector_ipi:
        local_apic_eoi();
        hooks::ipi();
        return;
    case vector_apic_error:
        local_apic_eoi();
        return;
    case vector_spurious:
        return; // no acknowledgement (SDM vol. 3, 11.9)
    default:
        if (vector >= vector_device_first) hooks::interrupt(static_cast<u32>(vector));
        // The masked 8259s can still raise a spurious interrupt, which needs nothing.
    }
}

TrapReason user_fault(int signal, int code, u64 address = 0) {
    return {Kind::UserFault, Access::Read, static_cast<u8>(signal), code, {address}};
}

/// si_code of an FP exception from its unmasked status bits; the order is Linux's.
int fp_error_code(u32 raised) {
    if (raised & 0x01) return abi::FPE_FLTINV;
    if (raised & 0x04) return abi::FPE_FLTDIV;
    if (raised & 0x08) return abi::FPE_FLTOVF;
    if (raised & 0x12) return abi::FPE_FLTUND; // underflow or denormal operand
    if (raised & 0x20) return abi::FPE_FLTRES;
    return 0;
}

TrapReason decode_x87_error(u64 pc) {
    u16 control, status;
    asm volatile("fnstcw %0\n\tfnstsw %1" : "=m"(control), "=m"(status));
    int code = fp_error_code(status & ~control & 0x3f);
    return code ? user_fault(abi::SIGFPE, code, pc) : TrapReason{}; // spurious: run on
}

TrapReason decode_simd_error(u64 pc) {
    u32 mxcsr;
    asm volatile("stmxcsr %0" : "=m"(mxcsr));
    int code = fp_error_code(~(mxcsr >> 7) & mxcsr & 0x3f);
    return code ? user_fault(abi::SIGFPE, code, pc) : TrapReason{};
}

TrapReason decode_debug(UserContext& context) {
    return user_fault(abi::SIGTRAP, note_debug_exception(context), context.registers.rip);
}

TrapReason decode_page_fault(UserContext& context, u64 address) {
    u64 error = context.registers.error;
    if (error & fault_reserved_bit)
        report_kernel_fault("reserved bit set in a page-table entry", {address}, context.registers);
    context.fault_address = address;
    // Kernel addresses are no business of mm's: nothing is mapped there for user code.
    if (address >= user_address_end.value) return user_fault(abi::SIGSEGV, abi::SEGV_MAPERR, address);
    // Only a present page can be refused by its key, so there is nothing for mm to look up.
    if (error & fault_key) return user_fault(abi::SIGSEGV, abi::SEGV_PKUERR, address);
    return {Kind::PageFault, access_of(error), 0, 0, {address}};
}

/// si_code and si_addr as Linux fills them; SI_KERNEL with address 0 where it says no more.
TrapReason decode_exception(UserContext& context) {
    u64 pc = context.registers.rip;
    switch (context.registers.vector) {
    case divide_error:
        return user_fault(abi::SIGFPE, abi::FPE_INTDIV, pc);
    case debug:
        return decode_debug(context);
    case breakpoint:
        return user_fault(abi::SIGTRAP, abi::SI_KERNEL);
    case invalid_opcode:
        return user_fault(abi::SIGILL, abi::ILL_ILLOPN, pc);
    case coprocessor_overrun:
        return user_fault(abi::SIGFPE, abi::SI_KERNEL);
    case segment_not_present:
    case stack_fault:
        return user_fault(abi::SIGBUS, abi::SI_KERNEL);
    case reserved_15:
        return {};
    case x87_error:
        return decode_x87_error(pc);
    case alignment_check:
        return user_fault(abi::SIGBUS, abi::BUS_ADRALN);
    case simd_error:
        return decode_simd_error(pc);
    default:
        return user_fault(abi::SIGSEGV, abi::SI_KERNEL);
    }
}

bool handle_kernel_page_fault(UserRegisters& frame, uintptr_t fix_up, u64 address) {
    if (frame.error & fault_reserved_bit)
        report_kernel_fault("reserved bit set in a page-table entry", {address}, frame);
    if (fix_up == 0 || address >= user_address_end.value || (frame.error & fault_key)) return false;
    // With interrupts off nobody may sleep for a page: the copy fails.
    if (!(frame.rflags & rflags_interrupt)) return false;
    enable_interrupts();
    bool resolved = hooks::kernel_page_fault({address}, access_of(frame.error));
    disable_interrupts();
    return resolved;
}

HIT_WAY_ENDS void handle_kernel_exception(UserRegisters& frame) {
    // A double fault is mostly a page fault that found no stack to report on.
    bool has_address = frame.vector == page_fault || frame.vector == double_fault;
    u64 address = has_address ? read_cr2() : 0;
    if (frame.vector == page_fault) tell_of_page_fault({address, frame.rip, frame.error, true});
    uintptr_t fix_up = 0;
    if (frame.vector == page_fault || frame.vector == general_protection) fix_up = find_fix_up(frame.rip);
    if (frame.vector == page_fault && handle_kernel_page_fault(frame, fix_up, address)) return;
    if (fix_up) {
        frame.rip = fix_up;
        return;
    }
    bool named = frame.vector < std::size(exception_names);
    report_kernel_fault(named ? exception_names[frame.vector] : "unknown exception", {address}, frame);
}

} // namespace

/// A trap from user code, its registers in `context`, on the kernel stack that enter_user() left. Interrupts are off.
TrapReason user_trap(UserContext& context) asm("arch_user_trap");
TrapReason user_trap(UserContext& context) {
    u64 vector = context.registers.vector;
    if (vector == page_fault) {
        u64 address = read_cr2();
        context.fault_vector = vector;
        context.fault_error = context.registers.error;
        tell_of_page_fault({address, context.registers.rip, context.registers.error, false});
        return decode_page_fault(context, address);
    }
    if (vector >= exception_count) {
        handle_interrupt(vector);
        return {};
    }
    context.fault_vector = vector;
    context.fault_error = context.registers.error;
    return decode_exception(context);
}

namespace {

KernelTrap trap_of(UserRegisters& frame) { return {{reinterpret_cast<u64*>(&frame)}, &frame.rflags}; }

HIT_WAY_ENDS void handle_kernel_interrupt(UserRegisters& frame) {
    {
        InterruptedCode here(frame.rip, frame.rbp);
        handle_interrupt(frame.vector);
    }
    hooks::preemption_point();
}

/// Only a broken machine or its operator sends one; Linux carries on too.
HIT_WAY_ENDS void ignore_nmi() { early_print("NMI ignored\n"); }

} // namespace

/// A trap from kernel code, or one with a stack of its own.
extern "C" HIT_WAY_BEGINS void arch_kernel_trap(UserRegisters& frame) {
    if (frame.vector >= exception_count) return handle_kernel_interrupt(frame);
    if (frame.vector == nmi) return ignore_nmi();
    if (frame.vector == debug) {
        // Kernel code sets no breakpoints: a watchpoint of the program's, delayed past the syscall instruction or hit
        // by a copy.
        clear_debug_status();
        return;
    }
    hooks::kernel_fault_in_probe(trap_of(frame));
    handle_kernel_exception(frame);
}

/// A breakpoint in kernel code.
extern "C" HIT_WAY_BEGINS void arch_kernel_breakpoint(UserRegisters& frame) {
    const KernelTrap trap = trap_of(frame);
    if (hooks::kernel_breakpoint(trap)) return;
    hooks::kernel_fault_in_probe(trap);
    handle_kernel_exception(frame);
}

/// A function has returned to arch_kernel_return_entry.
extern "C" HIT_WAY_BEGINS void arch_kernel_return(UserRegisters& frame) {
    if (!hooks::kernel_return(trap_of(frame))) handle_kernel_exception(frame);
}

} // namespace linnet::arch
