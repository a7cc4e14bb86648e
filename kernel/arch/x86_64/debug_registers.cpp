// A watchpoint stays in the CPU while the kernel runs for its thread: where the kernel itself touches what is watched
// the exception is swallowed (traps.cpp), as on Linux.
#include "debug_registers.hpp"

#include <abi/linux/signal.hpp>
#include <arch/usercopy.hpp>
#include <arch_impl/registers.hpp>
#include <new>

namespace linnet::arch {
namespace {

constexpr unsigned count = 4, status_register = 6, control_register = 7;
constexpr u64 status_fixed = 0xffff'0ff0; // the bits of DR6 that read as 1
constexpr u64 status_step = 1 << 14, status_hits = (1 << count) - 1;
constexpr u64 control_fixed = 1 << 10;

/// What DR7 says of one breakpoint. Local and global are the same to user code.
struct Breakpoint {
    enum Kind : u8 { Execute, Write, Port, ReadWrite };
    bool enabled;
    Kind kind;
    u64 length;
};
Breakpoint breakpoint_of(u64 control, unsigned number) {
    constexpr u8 lengths[] = {1, 2, 8, 4};
    const u64 bits = control >> (16 + 4 * number);
    return {.enabled = (control >> (2 * number) & 3) != 0,
            .kind = static_cast<Breakpoint::Kind>(bits & 3),
            .length = lengths[bits >> 2 & 3]};
}

Result<void> check(const Breakpoint& breakpoint, u64 address) {
    if (breakpoint.kind == Breakpoint::Port) return error(Errno::EINVAL);
    if (breakpoint.kind == Breakpoint::Execute && breakpoint.length != 1) return error(Errno::EINVAL);
    if (!is_user_range({address}, breakpoint.length) || address % breakpoint.length != 0) return error(Errno::EINVAL);
    return {};
}

Result<void> set_control(DebugRegisters& debug, u64 control) {
    for (unsigned i = 0; i < count; ++i) {
        const Breakpoint wanted = breakpoint_of(control, i);
        if (wanted.enabled || debug.is_known[i]) TRY(check(wanted, debug.address[i]));
    }
    for (unsigned i = 0; i < count; ++i) debug.is_known[i] |= breakpoint_of(control, i).enabled;
    debug.control = control;
    return {};
}

Result<void> set_address(DebugRegisters& debug, unsigned number, u64 address) {
    constexpr Breakpoint fresh{false, Breakpoint::Write, 1};
    TRY(check(debug.is_known[number] ? breakpoint_of(debug.control, number) : fresh, address));
    debug.is_known[number] = true;
    debug.address[number] = address;
    return {};
}

/// Of the tracer's word only what concerns the four.
u64 effective_control(u64 asked) {
    u64 control = control_fixed;
    for (unsigned i = 0; i < count; ++i)
        if (breakpoint_of(asked, i).enabled) control |= (u64{1} << (2 * i)) | (asked & (u64{15} << (16 + 4 * i)));
    return control == control_fixed ? 0 : control;
}

} // namespace

u64 read_debug_register(const UserContext& context, unsigned number) {
    if (number == status_register) return context.debug_status ^ status_fixed;
    if (!context.debug) return 0;
    if (number == control_register) return context.debug->control;
    return number < count ? context.debug->address[number] : 0;
}

Result<void> write_debug_register(UserContext& context, unsigned number, u64 value) {
    if (number == status_register) {
        context.debug_status = value ^ status_fixed;
        return {};
    }
    if (number >= count && number != control_register) return error(Errno::EIO);
    if (!context.debug) {
        context.debug = new (std::nothrow) DebugRegisters;
        if (!context.debug) return error(Errno::ENOMEM);
    }
    DebugRegisters& debug = *context.debug;
    TRY(number == control_register ? set_control(debug, value) : set_address(debug, number, value));
    context.forget_live_state();
    return {};
}

void load_debug_registers(const UserContext& context, CpuState& cpu) {
    const u64 control = context.debug ? effective_control(context.debug->control) : 0;
    asm volatile("mov %0, %%dr7" ::"r"(u64{0})); // nothing in between
    cpu.has_breakpoints = control != 0;
    if (control == 0) return;
    const u64(&address)[count] = context.debug->address;
    asm volatile("mov %0, %%dr0" ::"r"(address[0]));
    asm volatile("mov %0, %%dr1" ::"r"(address[1]));
    asm volatile("mov %0, %%dr2" ::"r"(address[2]));
    asm volatile("mov %0, %%dr3" ::"r"(address[3]));
    asm volatile("mov %0, %%dr7" ::"r"(control));
}

int note_debug_exception(UserContext& context) {
    u64 status;
    asm volatile("mov %%dr6, %0" : "=r"(status));
    clear_debug_status();
    u64 hits = 0;
    for (unsigned i = 0; context.debug && i < count; ++i) {
        const Breakpoint breakpoint = breakpoint_of(context.debug->control, i);
        if (!breakpoint.enabled || !(status >> i & 1)) continue;
        hits |= u64{1} << i;
        // It came before the instruction, which is to run when the program goes on.
        if (breakpoint.kind == Breakpoint::Execute) context.registers.rflags |= rflags_resume;
    }
    context.debug_status = (status & status_step) | hits;
    if (status & status_step) return abi::TRAP_TRACE;
    return hits & status_hits ? abi::TRAP_HWBKPT : abi::TRAP_BRKPT;
}

} // namespace linnet::arch
