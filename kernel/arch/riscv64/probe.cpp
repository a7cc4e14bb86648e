// What probes need of RISC-V's traps of user code (arch/probe.hpp).
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
    context.original_a0 = context.regs[10];
    context.came_by_syscall = 1;
}

bool is_breakpoint_trap(const TrapReason& reason) {
    return reason.kind == TrapReason::Kind::UserFault && reason.signal == abi::SIGTRAP &&
           reason.code == abi::TRAP_BRKPT;
}

bool is_any_breakpoint(std::span<const u8> code) {
    const u32 word = code_of(code);
    return word == 0x0010'0073 || (word & 0xffff) == 0x9002; // ebreak, c.ebreak
}

bool note_emulated_step(UserContext&) { return false; }

} // namespace linnet::arch
