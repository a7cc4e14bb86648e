// What probes need of x86_64's traps of user code (arch/probe.hpp).
#include <abi/linux/signal.hpp>
#include <arch/probe.hpp>
#include <arch_impl/registers.hpp>

namespace linnet::arch {

ProbeRegisters probe_registers(UserContext& context) {
    static_assert(offsetof(UserRegisters, rip) == 17 * sizeof(u64));
    return {reinterpret_cast<u64*>(&context.registers)};
}

void enter_emulated_syscall(UserContext& context, u64 next) {
    UserRegisters& r = context.registers;
    context.original_rax = static_cast<i64>(r.rax);
    r.rip = r.rcx = next;
    r.r11 = r.rflags;
}

bool is_breakpoint_trap(const TrapReason& reason) {
    return reason.kind == TrapReason::Kind::UserFault && reason.signal == abi::SIGTRAP && reason.code == abi::SI_KERNEL;
}

bool is_any_breakpoint(std::span<const u8> code) {
    return code[1] == 0xcc || (code[0] == 0xcd && code[1] == 3); // INT3, INT 3
}

bool note_emulated_step(UserContext& context) {
    if (!(context.registers.rflags & rflags_trap)) return false;
    constexpr u64 status_step = 1u << 14; // DR6.BS
    context.debug_status = status_step;
    return true;
}

} // namespace linnet::arch
