// What probes need of AArch64's traps of user code (arch/probe.hpp).
#include <abi/linux/signal.hpp>
#include <arch/probe.hpp>
#include <cstring>

namespace linnet::arch {

static u32 code_of(std::span<const u8> bytes) {
    u32 code;
    std::memcpy(&code, bytes.data(), sizeof code);
    return code;
}

ProbeRegisters probe_registers(UserContext& context) {
    static_assert(offsetof(abi::linux_user_regs, pc) == 32 * sizeof(u64));
    return {reinterpret_cast<u64*>(&context.user_regs())};
}

void enter_emulated_syscall(UserContext& context, u64 next) {
    context.set_pc({next});
    context.begin_syscall();
}

bool is_breakpoint_trap(const TrapReason& reason) {
    return reason.kind == TrapReason::Kind::UserFault && reason.signal == abi::SIGTRAP &&
           reason.code == abi::TRAP_BRKPT;
}

bool is_any_breakpoint(std::span<const u8> code) { return (code_of(code) & 0xffe0'001f) == 0xd420'0000; }

bool note_emulated_step(UserContext& context) { return context.single_step(); }

} // namespace linnet::arch
