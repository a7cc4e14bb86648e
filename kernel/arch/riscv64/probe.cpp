// What probes need of RISC-V's traps of user code (arch/probe.hpp).
#include <abi/linux/signal.hpp>
#include <arch/probe.hpp>

namespace linnet::arch {

ProbeRegisters probe_registers(UserContext& context) { return {context.regs}; }

void enter_emulated_syscall(UserContext& context, u64 next) {
    context.regs[0] = next;
    context.original_a0 = context.regs[10];
    context.came_by_syscall = 1;
}

bool is_breakpoint_trap(const TrapReason& reason) {
    return reason.kind == TrapReason::Kind::UserFault && reason.signal == abi::SIGTRAP &&
           reason.code == abi::TRAP_BRKPT;
}

bool note_emulated_step(UserContext&) { return false; }

} // namespace linnet::arch
