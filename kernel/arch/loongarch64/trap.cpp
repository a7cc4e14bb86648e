// Traps decoded (LoongArch Reference Manual, table of exception codes): user exceptions into TrapReason,
// kernel exceptions into the exception table or a kernel fault, interrupts to their hooks.
#include <abi/linux/signal.hpp>
#include <arch/cpu.hpp>
#include <arch/hooks.hpp>
#include <arch/kernel_probe.hpp>
#include <arch/page.hpp>
#include <arch/time.hpp>
#include <arch/user_context.hpp>
#include <arch/usercopy.hpp>
#include <lib/format.hpp>
#include <lib/hit_way.hpp>

#include "../common/exception_table.hpp"
#include "trap_frame.hpp"

extern "C" const char arch_idle_begin[], arch_idle_end[]; // switch.S

// What runs before a probe's breakpoint is known for one can't be probed itself.
#pragma clang section text = ".text.noprobe"

namespace linnet::arch {

namespace {

enum class Code : u64 {
    Interrupt = 0,
    LoadInvalid = 1,
    StoreInvalid = 2,
    FetchInvalid = 3,
    Modification = 4,
    NotReadable = 5,
    NotExecutable = 6,
    Privilege = 7,
    Address = 8, // subcode 0: fetch, 1: memory access
    Alignment = 9,
    Bounds = 10,
    Syscall = 11,
    Breakpoint = 12,
    UnknownInstruction = 13,
    PrivilegedInstruction = 14,
    FpOff = 15,
    LsxOff = 16,
    LasxOff = 17,
    FpException = 18,
};

Code code_of(u64 status) { return static_cast<Code>(status >> csr::estat_code_shift & csr::estat_code_mask); }

const char* code_name(Code code) {
    switch (code) {
    case Code::LoadInvalid:
        return "page fault on load";
    case Code::StoreInvalid:
        return "page fault on store";
    case Code::FetchInvalid:
        return "page fault on fetch";
    case Code::Modification:
        return "store to a clean page";
    case Code::NotReadable:
        return "load from an unreadable page";
    case Code::NotExecutable:
        return "fetch from a page without execute permission";
    case Code::Privilege:
        return "access to a page of higher privilege";
    case Code::Address:
        return "address error";
    case Code::Alignment:
        return "misaligned access";
    case Code::Bounds:
        return "bounds check";
    case Code::Syscall:
        return "system call";
    case Code::Breakpoint:
        return "breakpoint";
    case Code::UnknownInstruction:
        return "illegal instruction";
    case Code::PrivilegedInstruction:
        return "privileged instruction";
    case Code::FpOff:
    case Code::LsxOff:
    case Code::LasxOff:
        return "use of a unit that is off";
    case Code::FpException:
        return "floating-point exception";
    case Code::Interrupt:
        break;
    }
    return "unknown exception";
}

void handle_interrupts(u64 status) {
    u64 pending = status & csr::estat_interrupts & LINNET_READ_CSR(LINNET_CSR_ECFG);
    if (pending & csr::interrupt_ipi) {
        iocsr_write32(csr::iocsr_ipi_clear, iocsr_read32(csr::iocsr_ipi_status));
        asm volatile("dbar 0" : : : "memory"); // see what the sender wrote before
        hooks::ipi();
    }
    if (pending & csr::interrupt_timer) {
        LINNET_WRITE_CSR(LINNET_CSR_TICLR, 1);
        hooks::timer_interrupt();
    }
    for (unsigned line = csr::first_hardware_interrupt; line <= csr::last_hardware_interrupt; ++line)
        if (pending & u64{1} << line) hooks::interrupt(line);
}

/// Drops the page's entry from the TLB: the refill handler puts invalid ones there, and marks change only in
/// the tables.
void forget_entry(u64 address) {
    u64 asid = LINNET_READ_CSR(LINNET_CSR_ASID) & csr::asid_mask;
    asm volatile("invtlb 6, %0, %1" : : "r"(asid), "r"(address) : "memory");
}

/// The access that a page exception is about, if it is one. Privilege exceptions don't tell; mm refuses those
/// addresses whatever the access.
std::optional<Access> page_access(Code code) {
    switch (code) {
    case Code::LoadInvalid:
    case Code::NotReadable:
    case Code::Privilege:
        return Access::Read;
    case Code::StoreInvalid:
    case Code::Modification:
        return Access::Write;
    case Code::FetchInvalid:
    case Code::NotExecutable:
        return Access::Execute;
    default:
        return {};
    }
}

TrapReason user_fault(int signal, int code, u64 address) {
    return {.kind = TrapReason::Kind::UserFault, .signal = static_cast<u8>(signal), .code = code, .address = {address}};
}

/// Signals without a place and a reason, as Linux sends them for instructions that it refuses.
TrapReason refused_instruction() { return user_fault(abi::SIGILL, abi::SI_KERNEL, 0); }

/// The instruction that trapped, 0 when it can't be read any more. Turns interrupts on: the page may have to
/// be got again.
u32 trapping_instruction(const UserContext& context) {
    enable_interrupts();
    u32 instruction = 0;
    u64 pc = context.pc().value;
    if (pc % sizeof instruction != 0 || !is_user_range({pc}, sizeof instruction)) return 0;
    return arch_load_user_u32(&instruction, reinterpret_cast<const u32*>(pc)) == 0 ? instruction : 0;
}

/// The code in a break instruction tells what it is for; compilers plant two of them behind integer
/// arithmetic.
TrapReason breakpoint(const UserContext& context) {
    constexpr u32 code_mask = 0x7fff, overflow = 6, division_by_zero = 7, break_opcode = 0x54;
    u64 pc = context.pc().value;
    const u32 instruction = trapping_instruction(context);
    // A probe's may have been taken away meanwhile.
    if (instruction >> 15 != break_opcode) return user_fault(abi::SIGTRAP, abi::TRAP_BRKPT, pc);
    switch (instruction & code_mask) {
    case overflow:
        return user_fault(abi::SIGFPE, abi::FPE_INTOVF, pc);
    case division_by_zero:
        return user_fault(abi::SIGFPE, abi::FPE_INTDIV, pc);
    default:
        return user_fault(abi::SIGTRAP, abi::TRAP_BRKPT, pc);
    }
}

/// All bound-checking instructions name the address that they check in the same field.
TrapReason bounds_check(const UserContext& context) {
    u32 checked_register = trapping_instruction(context) >> 5 & 31;
    u64 address = checked_register != 0 ? context.regs[checked_register] : 0;
    return user_fault(abi::SIGSEGV, abi::SEGV_BNDERR, address);
}

/// si_code of an arithmetic exception, from the cause bits of FCSR (inexact 24, underflow, overflow,
/// division, invalid 28). Causes whose enable bit (0 … 4, in the same order) is set would be raised again by
/// the next load of FCSR.
int fp_code(UserContext& context) {
    context.save_extended_state();
    u64 enables = context.extended.fcsr & 0x1f, causes = context.extended.fcsr >> 24 & enables;
    context.extended.fcsr &= ~(enables << 24);
    context.extended_state_changed();
    if (causes & 16) return abi::FPE_FLTINV;
    if (causes & 8) return abi::FPE_FLTDIV;
    if (causes & 4) return abi::FPE_FLTOVF;
    if (causes & 2) return abi::FPE_FLTUND;
    return abi::FPE_FLTRES;
}

TrapReason decode(UserContext& context, u64 status, u64 address) {
    constexpr TrapReason again{.kind = TrapReason::Kind::Interrupt};
    Code code = code_of(status);
    if (auto access = page_access(code)) {
        forget_entry(address);
        context.last_fault = *access;
        context.bad_address = address;
        return {.kind = TrapReason::Kind::PageFault, .access = *access, .address = {address}};
    }
    switch (code) {
    case Code::Address:
        context.bad_address = address;
        return user_fault(abi::SIGBUS, abi::BUS_ADRERR, address);
    case Code::Alignment:
        context.bad_address = address;
        return user_fault(abi::SIGBUS, abi::BUS_ADRALN, address);
    case Code::Bounds:
        return bounds_check(context);
    case Code::Breakpoint:
        return breakpoint(context);
    case Code::FpOff:
        return context.turn_on_unit(csr::euen_fp) ? again : refused_instruction();
    case Code::LsxOff:
        return context.turn_on_unit(csr::euen_lsx) ? again : refused_instruction();
    case Code::LasxOff:
        return context.turn_on_unit(csr::euen_lasx) ? again : refused_instruction();
    case Code::FpException:
        return user_fault(abi::SIGFPE, fp_code(context), context.pc().value);
    default:
        return refused_instruction();
    }
}

std::string_view describe(const TrapFrame& frame, std::span<char> buffer) {
    static constexpr const char* names[32] = {"pc", "ra", "tp", "sp", "a0", "a1", "a2", "a3", "a4", "a5", "a6",
                                              "a7", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "r21",
                                              "fp", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"};
    usize used = 0;
    for (usize i = 0; i < 32; ++i)
        used +=
            format_into(buffer.subspan(used), "{} {016x}{}", names[i], frame.regs[i], i % 4 == 3 ? "\n" : " ").size();
    used += format_into(buffer.subspan(used), "prmd {x} estat {x} badv {x}\n", frame.previous_mode, frame.status,
                        frame.address)
                .size();
    return {buffer.data(), used};
}

[[noreturn]] void report_fault(const char* what, const TrapFrame& frame) {
    char registers[1024];
    hooks::kernel_fault(what, {frame.address}, frame.regs[0], frame.regs[22], describe(frame, registers));
}

/// An exception in kernel code. Only instructions of the exception table may cause one.
HIT_WAY_ENDS void handle_exception(TrapFrame& frame) {
    Code code = code_of(frame.status);
    const u64 fix_up = find_fix_up(frame.regs[0]);
    if (fix_up == 0) report_fault(code_name(code), frame);
    auto access = page_access(code);
    VirtAddr address{frame.address};
    if (access && address < user_address_end) {
        forget_entry(address.value);
        if (frame.previous_mode & csr::prmd_pie) enable_interrupts();
        bool resolved = hooks::kernel_page_fault(address, *access);
        disable_interrupts();
        if (resolved) return;
    }
    frame.regs[0] = fix_up;
}

HIT_WAY_ENDS void handle_kernel_interrupts(TrapFrame& frame) {
    {
        InterruptedCode here(frame.regs[0], frame.regs[22]);
        handle_interrupts(frame.status);
    }
    auto idle_begin = reinterpret_cast<u64>(arch_idle_begin), idle_end = reinterpret_cast<u64>(arch_idle_end);
    if (frame.regs[0] >= idle_begin && frame.regs[0] < idle_end) frame.regs[0] = idle_end;
    if (frame.previous_mode & csr::prmd_pie) hooks::preemption_point();
}

} // namespace

} // namespace linnet::arch

using namespace linnet;
using namespace linnet::arch;

/// Named for the assembly; a TrapReason comes back in a0 and a1.
TrapReason user_trap(UserContext* context, u64 status, u64 address) asm("arch_user_trap");

TrapReason user_trap(UserContext* context, u64 status, u64 address) {
    TrapReason reason{.kind = TrapReason::Kind::Interrupt};
    if (code_of(status) == Code::Interrupt)
        handle_interrupts(status);
    else
        reason = decode(*context, status, address);
    enable_interrupts();
    return reason;
}

extern "C" HIT_WAY_BEGINS void arch_kernel_trap(TrapFrame* frame) {
    if (code_of(frame->status) == Code::Interrupt) return handle_kernel_interrupts(*frame);
    const KernelTrap trap{{frame->regs}, &frame->previous_mode};
    if (code_of(frame->status) == Code::Breakpoint && hooks::kernel_breakpoint(trap)) return;
    hooks::kernel_fault_in_probe(trap);
    handle_exception(*frame);
}

extern "C" [[noreturn]] void arch_kernel_stack_overflow(TrapFrame* frame) {
    report_fault("kernel stack overflow", *frame);
}
