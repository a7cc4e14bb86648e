// What probes need of LoongArch's traps of user code (arch/probe.hpp).
#include <abi/linux/signal.hpp>
#include <arch/probe.hpp>
#include <cstring>

namespace linnet::arch {

static u32 code_of(std::span<const u8> bytes) {
    u32 code;
    std::memcpy(&code, bytes.data(), sizeof code);
    return code;
}

ProbeRegisters probe_registers(UserContext& context) { return {context.regs}; }

void enter_emulated_syscall(UserContext& context, u64 next) {
    context.regs[0] = next;
    context.original_a0 = context.regs[4];
    context.came_by_syscall = 1;
}

bool is_breakpoint_trap(const TrapReason& reason) {
    return reason.kind == TrapReason::Kind::UserFault && reason.signal == abi::SIGTRAP &&
           reason.code == abi::TRAP_BRKPT;
}

bool is_any_breakpoint(std::span<const u8> code) { return code_of(code) >> 15 == 0x54; }

bool note_emulated_step(UserContext&) { return false; }

} // namespace linnet::arch
