// Traps decoded (RISC-V privileged specification, scause): user exceptions into TrapReason, kernel exceptions
// into the exception table or a kernel fault, interrupts to their hooks.
#include <abi/linux/signal.hpp>
#include <arch/hooks.hpp>
#include <arch/kernel_probe.hpp>
#include <arch/page.hpp>
#include <arch/time.hpp>
#include <arch/user_context.hpp>
#include <lib/format.hpp>
#include <lib/hit_way.hpp>

#include "../common/exception_table.hpp"
#include "trap_frame.hpp"

// What runs before a probe's breakpoint is known for one can't be probed itself.
#pragma clang section text = ".text.noprobe"

namespace linnet::arch {

namespace {

enum class Cause : u64 {
    InstructionMisaligned = 0,
    InstructionAccess = 1,
    IllegalInstruction = 2,
    Breakpoint = 3,
    LoadMisaligned = 4,
    LoadAccess = 5,
    StoreMisaligned = 6,
    StoreAccess = 7,
    InstructionPage = 12,
    LoadPage = 13,
    StorePage = 15,
};

const char* cause_name(u64 cause) {
    switch (static_cast<Cause>(cause)) {
    case Cause::InstructionMisaligned:
        return "misaligned instruction";
    case Cause::InstructionAccess:
        return "instruction access fault";
    case Cause::IllegalInstruction:
        return "illegal instruction";
    case Cause::Breakpoint:
        return "breakpoint";
    case Cause::LoadMisaligned:
        return "misaligned load";
    case Cause::LoadAccess:
        return "load access fault";
    case Cause::StoreMisaligned:
        return "misaligned store";
    case Cause::StoreAccess:
        return "store access fault";
    case Cause::InstructionPage:
        return "page fault on fetch";
    case Cause::LoadPage:
        return "page fault on load";
    case Cause::StorePage:
        return "page fault on store";
    }
    return "unknown exception";
}

void handle_interrupt(u64 number) {
    switch (number) {
    case csr::interrupt_software:
        LINNET_CLEAR_CSR(sip, u64{1} << csr::interrupt_software);
        hooks::ipi();
        break;
    case csr::interrupt_timer:
        set_timer_deadline(~u64{0}); // one shot: the line stays up until the deadline is moved
        hooks::timer_interrupt();
        break;
    case csr::interrupt_external:
        hooks::interrupt(0);
        break;
    default:
        break; // none other is enabled
    }
}

constexpr TrapReason page_fault(u64 address, Access access) {
    return {.kind = TrapReason::Kind::PageFault, .access = access, .address = {address}};
}

/// Linux gives the pc as si_addr for all of these.
TrapReason user_fault(const UserContext& context, int signal, int code) {
    return {
        .kind = TrapReason::Kind::UserFault, .signal = static_cast<u8>(signal), .code = code, .address = context.pc()};
}

TrapReason decode(UserContext& context, u64 cause, u64 value) {
    switch (static_cast<Cause>(cause)) {
    case Cause::InstructionPage:
        return page_fault(value, Access::Execute);
    case Cause::LoadPage:
        return page_fault(value, Access::Read);
    case Cause::StorePage:
        return page_fault(value, Access::Write);
    case Cause::InstructionMisaligned:
    case Cause::LoadMisaligned:
    case Cause::StoreMisaligned:
        return user_fault(context, abi::SIGBUS, abi::BUS_ADRALN);
    case Cause::InstructionAccess:
    case Cause::LoadAccess:
    case Cause::StoreAccess:
        return user_fault(context, abi::SIGSEGV, abi::SEGV_ACCERR);
    case Cause::Breakpoint:
        return user_fault(context, abi::SIGTRAP, abi::TRAP_BRKPT);
    case Cause::IllegalInstruction:
        // The first use of the FP or vector unit is an illegal instruction too: run it again with the unit
        // on.
        if (context.turn_on_next_unit()) return {.kind = TrapReason::Kind::Interrupt};
        return user_fault(context, abi::SIGILL, abi::ILL_ILLOPC);
    }
    return user_fault(context, abi::SIGILL, abi::ILL_ILLTRP);
}

std::string_view describe(const TrapFrame& frame, std::span<char> buffer) {
    static constexpr const char* names[32] = {"pc", "ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "s0", "s1", "a0",
                                              "a1", "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5",
                                              "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"};
    usize used = 0;
    for (usize i = 0; i < 32; ++i)
        used +=
            format_into(buffer.subspan(used), "{} {016x}{}", names[i], frame.regs[i], i % 4 == 3 ? "\n" : " ").size();
    used +=
        format_into(buffer.subspan(used), "sstatus {x} scause {x} stval {x}\n", frame.status, frame.cause, frame.value)
            .size();
    return {buffer.data(), used};
}

[[noreturn]] void report_fault(const char* what, const TrapFrame& frame) {
    char registers[1024];
    hooks::kernel_fault(what, {frame.value}, frame.regs[0], frame.regs[8], describe(frame, registers));
}

bool is_page_fault(Cause cause) {
    return cause == Cause::InstructionPage || cause == Cause::LoadPage || cause == Cause::StorePage;
}

/// An exception in kernel code. Only instructions of the exception table may cause one.
HIT_WAY_ENDS void handle_exception(TrapFrame& frame) {
    auto cause = static_cast<Cause>(frame.cause);
    const u64 fix_up = find_fix_up(frame.regs[0]);
    if (fix_up == 0) report_fault(cause_name(frame.cause), frame);
    VirtAddr address{frame.value};
    if (is_page_fault(cause) && address < user_address_end) {
        if (frame.status & csr::sstatus_spie) enable_interrupts();
        bool resolved = hooks::kernel_page_fault(address, cause == Cause::StorePage ? Access::Write : Access::Read);
        disable_interrupts();
        if (resolved) return;
    }
    frame.regs[0] = fix_up;
}

HIT_WAY_ENDS void handle_kernel_interrupt(TrapFrame& frame) {
    {
        InterruptedCode here(frame.regs[0], frame.regs[8]);
        handle_interrupt(frame.cause & ~csr::interrupt_bit);
    }
    if (frame.status & csr::sstatus_spie) hooks::preemption_point();
}

} // namespace

} // namespace linnet::arch

using namespace linnet;
using namespace linnet::arch;

/// Named for the assembly; a TrapReason comes back in a0 and a1.
TrapReason user_trap(UserContext* context, u64 cause, u64 value) asm("arch_user_trap");

TrapReason user_trap(UserContext* context, u64 cause, u64 value) {
    TrapReason reason{.kind = TrapReason::Kind::Interrupt};
    if (cause & csr::interrupt_bit)
        handle_interrupt(cause & ~csr::interrupt_bit);
    else
        reason = decode(*context, cause, value);
    enable_interrupts();
    return reason;
}

/// Where the trap came from is known by the entry (and by sstatus.SPP): this is kernel code.
extern "C" HIT_WAY_BEGINS void arch_kernel_trap(TrapFrame* frame) {
    if (frame->cause & csr::interrupt_bit) return handle_kernel_interrupt(*frame);
    const KernelTrap trap{{frame->regs}, &frame->status};
    if (frame->cause == static_cast<u64>(Cause::Breakpoint) && hooks::kernel_breakpoint(trap)) return;
    hooks::kernel_fault_in_probe(trap);
    handle_exception(*frame);
}

extern "C" [[noreturn]] void arch_kernel_stack_overflow(TrapFrame* frame) {
    report_fault("kernel stack overflow", *frame);
}
