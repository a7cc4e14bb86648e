// Exceptions decoded: syndrome → TrapReason for user code; page faults, interrupts and bugs of kernel code.
// The 64 fault status codes and the exception classes are those of Arm ARM D24.2.40 (ESR_EL1); the signals and si_codes
// are those that Linux's user-space ABI gives them (sigaction(2)).
#include "../common/exception_table.hpp"
#include "id_registers.hpp"

#include <abi/linux/signal.hpp>
#include <arch/cpu.hpp>
#include <arch/hooks.hpp>
#include <arch/kernel_probe.hpp>
#include <arch/page.hpp>
#include <arch/user_context.hpp>
#include <arch_impl/registers.hpp>
#include <lib/format.hpp>
#include <lib/hit_way.hpp>

using namespace linnet;
using namespace linnet::arch;

extern "C" {
void arch_kernel_exception(TrapFrame* frame, u64 syndrome, u64 address);
void arch_kernel_interrupt(TrapFrame* frame);
[[noreturn]] void arch_stack_overflow(TrapFrame* frame, u64 syndrome, u64 address);
[[noreturn]] void arch_unexpected_exception(TrapFrame* frame, u64 syndrome, u64 address);
}
// Called by vectors.S; TrapReason isn't a C type, so the names are given this way.
TrapReason arch_user_exception(UserContext* context, u64 syndrome, u64 address) asm("arch_user_exception");
TrapReason arch_user_interrupt() asm("arch_user_interrupt");

// What runs before a probe's breakpoint is known for one can't be probed itself.
#pragma clang section text = ".text.noprobe"

namespace {

constexpr u64 psr_irq_masked = 1 << 7;

enum ExceptionClass : u32 {
    ec_unknown = 0x00,
    ec_wait = 0x01,
    ec_fp_trapped = 0x07,
    ec_branch_target = 0x0d,
    ec_illegal_state = 0x0e,
    ec_svc = 0x15,
    ec_system_register = 0x18,
    ec_sve_trapped = 0x19,
    ec_pointer_authentication = 0x1c,
    ec_instruction_abort_user = 0x20,
    ec_instruction_abort_kernel = 0x21,
    ec_pc_alignment = 0x22,
    ec_data_abort_user = 0x24,
    ec_data_abort_kernel = 0x25,
    ec_sp_alignment = 0x26,
    ec_fp_exception = 0x2c,
    ec_breakpoint_user = 0x30,
    ec_step_user = 0x32,
    ec_watchpoint_user = 0x34,
    ec_brk = 0x3c,
};

constexpr u32 exception_class(u64 syndrome) { return static_cast<u32>(syndrome >> 26) & 0x3f; }

/// What a fault status code means for user code: a page fault for mm, or a signal at once.
struct FaultStatus {
    u8 signal = abi::SIGKILL;
    u8 code = abi::SI_KERNEL;
    const char* name = "reserved fault status";
};
constexpr u8 page_fault = 0;

constexpr auto fault_statuses = [] {
    struct Table {
        FaultStatus entry[64];
    } table{};
    auto set = [&](unsigned first, unsigned last, u8 signal, int code, const char* name) {
        for (unsigned i = first; i <= last; ++i) table.entry[i] = {signal, static_cast<u8>(code), name};
    };
    set(0x00, 0x03, abi::SIGKILL, abi::SI_KERNEL, "address size fault");
    set(0x04, 0x07, page_fault, 0, "translation fault");
    set(0x08, 0x0b, page_fault, 0, "access flag fault");
    set(0x0c, 0x0f, page_fault, 0, "permission fault");
    set(0x10, 0x10, abi::SIGBUS, abi::BUS_OBJERR, "synchronous external abort");
    set(0x11, 0x11, abi::SIGSEGV, 9, "tag check fault"); // SEGV_MTESERR
    set(0x13, 0x17, abi::SIGKILL, abi::SI_KERNEL, "external abort on a table walk");
    set(0x18, 0x18, abi::SIGBUS, abi::BUS_OBJERR, "memory parity or ECC error");
    set(0x1b, 0x1f, abi::SIGKILL, abi::SI_KERNEL, "parity or ECC error on a table walk");
    set(0x21, 0x21, abi::SIGBUS, abi::BUS_ADRALN, "alignment fault");
    set(0x22, 0x2c, abi::SIGKILL, abi::SI_KERNEL, "fault of a table walk");
    set(0x2b, 0x2b, page_fault, 0, "translation fault, level -1");
    set(0x30, 0x30, abi::SIGKILL, abi::SI_KERNEL, "TLB conflict abort");
    set(0x31, 0x31, abi::SIGKILL, abi::SI_KERNEL, "unsupported atomic update of a descriptor");
    set(0x34, 0x34, abi::SIGKILL, abi::SI_KERNEL, "lockdown fault");
    set(0x35, 0x35, abi::SIGBUS, abi::BUS_OBJERR, "unsupported exclusive or atomic access");
    return table;
}();

const FaultStatus& fault_status(u64 syndrome) { return fault_statuses.entry[syndrome & 0x3f]; }

/// Without the tag in the top byte (TBI0); kernel addresses keep theirs.
u64 untagged(u64 address) { return static_cast<u64>(static_cast<i64>(address << 8) >> 8); }

Access access_of_data_abort(u64 syndrome) {
    constexpr u64 write_not_read = 1 << 6, cache_maintenance = 1 << 8;
    // DC and IC operations report WnR = 1 but need only the right to read.
    return (syndrome & write_not_read) && !(syndrome & cache_maintenance) ? Access::Write : Access::Read;
}

TrapReason user_fault(int signal, int code, u64 address) {
    return {TrapReason::Kind::UserFault, Access::Read, static_cast<u8>(signal), code, {address}};
}

TrapReason decode_abort(u64 syndrome, u64 address, Access access) {
    constexpr u64 address_not_valid = 1 << 10; // FnV, only with an external abort
    const FaultStatus& status = fault_status(syndrome);
    if (status.signal == page_fault) return {TrapReason::Kind::PageFault, access, 0, 0, {untagged(address)}};
    bool has_address = (syndrome & 0x3f) != 0x10 || !(syndrome & address_not_valid);
    return user_fault(status.signal, status.code, has_address ? untagged(address) : 0);
}

/// FPE_* from the flags of a trapped floating-point exception.
int floating_point_code(u64 syndrome) {
    constexpr u64 flags_valid = 1 << 23;
    if (!(syndrome & flags_valid)) return abi::FPE_FLTUNK;
    if (syndrome & 1) return abi::FPE_FLTINV;
    if (syndrome & 2) return abi::FPE_FLTDIV;
    if (syndrome & 4) return abi::FPE_FLTOVF;
    if (syndrome & 8) return abi::FPE_FLTUND;
    if (syndrome & 16) return abi::FPE_FLTRES;
    return abi::FPE_FLTUNK;
}

[[noreturn]] void report_kernel_fault(std::string_view what, const TrapFrame& frame, u64 syndrome, u64 address) {
    disable_interrupts();
    char text[1100];
    usize used = 0;
    auto add = [&](std::string_view piece) {
        for (char c : piece)
            if (used < sizeof text) text[used++] = c;
    };
    format_to(add, "pc {016x}  lr {016x}  sp {016x}  pstate {08x}\n", frame.pc, frame.x[30], frame.sp, frame.pstate);
    format_to(add, "esr {08x}  far {016x}  ttbr0 {016x}\n", syndrome, address, READ_SYSTEM_REGISTER(ttbr0_el1));
    for (unsigned i = 0; i < 30; ++i)
        format_to(add, "x{}{} {016x}{}", i, i < 10 ? " " : "", frame.x[i], i % 3 == 2 ? "\n" : "  ");
    hooks::kernel_fault(what, {address}, frame.pc, frame.x[29], {text, used});
}

/// An abort of kernel code. True: continue at frame.pc. Only the instructions of the exception table may touch user
/// memory; another that does is a bug, even where a page is mapped and PAN refuses it.
bool handle_kernel_abort(TrapFrame& frame, u64 syndrome, u64 address, Access access) {
    const u64 fix_up = find_fix_up(frame.pc);
    if (fix_up == 0) return false;
    if (fault_status(syndrome).signal == page_fault && address < user_address_end.value) {
        if (!(frame.pstate & psr_irq_masked)) enable_interrupts();
        if (hooks::kernel_page_fault({address}, access)) return true;
    }
    frame.pc = fix_up;
    return true;
}

} // namespace

TrapReason arch_user_exception(UserContext* context, u64 syndrome, u64 address) {
    u64 pc = context->pc().value;
    context->set_fault(untagged(address), 0);
    switch (exception_class(syndrome)) {
    case ec_instruction_abort_user:
        context->set_fault(untagged(address), syndrome);
        return decode_abort(syndrome, address, Access::Execute);
    case ec_data_abort_user:
        context->set_fault(untagged(address), syndrome);
        return decode_abort(syndrome, address, access_of_data_abort(syndrome));
    case ec_unknown:
        if (emulate_undefined(*context)) return {};
        break;
    case ec_system_register:
        if (emulate_system_register(*context, syndrome)) return {};
        break;
    case ec_sve_trapped:
        if (const Result<void> on = context->turn_on_sve(); on)
            return {};
        else if (on.error() == Errno::ENOMEM)
            return user_fault(abi::SIGKILL, abi::SI_KERNEL, 0);
        break;
    case ec_wait:
        context->set_pc({pc + 4});
        return {};
    case ec_pc_alignment:
        return user_fault(abi::SIGBUS, abi::BUS_ADRALN, address);
    case ec_sp_alignment:
        return user_fault(abi::SIGBUS, abi::BUS_ADRALN, context->sp().value);
    case ec_fp_exception:
        return user_fault(abi::SIGFPE, floating_point_code(syndrome), pc);
    case ec_pointer_authentication:
        return user_fault(abi::SIGILL, abi::ILL_ILLOPN, pc);
    case ec_step_user:
        return user_fault(abi::SIGTRAP, abi::TRAP_TRACE, pc);
    case ec_breakpoint_user:
        return user_fault(abi::SIGTRAP, abi::TRAP_HWBKPT, pc);
    case ec_watchpoint_user:
        return user_fault(abi::SIGTRAP, abi::TRAP_HWBKPT, untagged(address));
    case ec_brk:
        return user_fault(abi::SIGTRAP, abi::TRAP_BRKPT, pc);
    default:
        break;
    }
    context->set_fault(0, syndrome);
    return user_fault(abi::SIGILL, abi::ILL_ILLOPC, pc);
}

TrapReason arch_user_interrupt() {
    hooks::interrupt(0);
    enable_interrupts();
    return {};
}

extern "C" void arch_kernel_interrupt(TrapFrame* frame) {
    {
        InterruptedCode here(frame->pc, frame->x[29]);
        hooks::interrupt(0);
    }
    hooks::preemption_point();
}

namespace {

HIT_WAY_ENDS void handle_kernel_exception(TrapFrame* frame, u64 syndrome, u64 address) {
    switch (exception_class(syndrome)) {
    case ec_data_abort_kernel:
        if (handle_kernel_abort(*frame, syndrome, address, access_of_data_abort(syndrome))) return;
        report_kernel_fault(fault_status(syndrome).name, *frame, syndrome, address);
    case ec_instruction_abort_kernel:
        report_kernel_fault("instruction abort", *frame, syndrome, address);
    case ec_brk:
        report_kernel_fault("breakpoint instruction", *frame, syndrome, frame->pc);
    case ec_unknown:
        report_kernel_fault("undefined instruction", *frame, syndrome, frame->pc);
    case ec_sp_alignment:
        report_kernel_fault("misaligned stack pointer", *frame, syndrome, frame->sp);
    case ec_pc_alignment:
        report_kernel_fault("misaligned program counter", *frame, syndrome, frame->pc);
    default:
        report_kernel_fault("unexpected synchronous exception", *frame, syndrome, address);
    }
}

} // namespace

extern "C" HIT_WAY_BEGINS void arch_kernel_exception(TrapFrame* frame, u64 syndrome, u64 address) {
    const KernelTrap trap{{frame->x}, &frame->pstate};
    if (exception_class(syndrome) == ec_brk && hooks::kernel_breakpoint(trap)) return;
    hooks::kernel_fault_in_probe(trap);
    handle_kernel_exception(frame, syndrome, address);
}

extern "C" void arch_stack_overflow(TrapFrame* frame, u64 syndrome, u64 address) {
    report_kernel_fault("kernel stack overflow", *frame, syndrome, address);
}

extern "C" void arch_unexpected_exception(TrapFrame* frame, u64 syndrome, u64 address) {
    report_kernel_fault("unexpected interrupt or system error", *frame, syndrome, address);
}
