// Contract: instructions under probes. A breakpoint stands in place of the first bytes of one; who comes to it is told,
// and then the instruction is executed all the same: out of line, as a copy in a slot with a breakpoint behind it, or,
// where it would not do there what it does in its place (it depends on the program counter or changes it), by
// emulation.
//
// Nothing here knows whether the code is a program's or the kernel's: registers are a view of either's trap frame.
//
// <arch_impl/probe.hpp> defines, free of all that needs hardware (tests/unit decodes tables of encodings):
//   - probe_breakpoint: the bytes of the breakpoint, which is never longer than the shortest instruction;
//   - probe_alignment: of the addresses that instructions can have;
//   - breakpoint_trap_distance: how far behind its breakpoint the program counter of a trap lies;
//   - breakpoint_prefix: bytes that other breakpoint instructions may have before that;
//   - return_pops: by how much a return raises the stack pointer;
//   - struct ProbedInstruction: what is known of one, copyable; `length` bytes of text, `slot` and `slot_length`;
//   - struct ProbeRegisters: the view; pc(), set_pc(), sp(), kernel_return_address().
#pragma once

#include <arch/user_context.hpp>
#include <lib/result.hpp>
#include <span>

#include <arch_impl/probe.hpp>

namespace linnet::arch {

/// The registers of user code that is in the kernel.
ProbeRegisters probe_registers(UserContext& context);
/// Makes user code's state that of one whose system-call instruction has just been executed.
void enter_emulated_syscall(UserContext& context, u64 next);
/// Whether a trap of user code is that of a breakpoint instruction.
bool is_breakpoint_trap(const TrapReason& reason);
/// Whether there is any breakpoint instruction, the program's own ones included, at the end of what comes before it
/// (`breakpoint_prefix` bytes) and what begins there (four; what could not be read is 0).
bool is_any_breakpoint(std::span<const u8> code);
/// A tracer steps user code by hardware, and an instruction has been emulated: notes that, and true.
bool note_emulated_step(UserContext& context);

} // namespace linnet::arch
