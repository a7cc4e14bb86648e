// What all architectures' probed instructions have in common (arch/probe.hpp).
#pragma once

#include <lib/result.hpp>
#include <lib/types.hpp>
#include <optional>
#include <span>

namespace linnet::arch {

/// Words of memory that emulated instructions read and write; false: there is no such memory.
class ProbeMemory {
public:
    virtual bool load(u64 address, u64& value) = 0;
    virtual bool store(u64 address, u64 value) = 0;

protected:
    ~ProbeMemory() = default;
};

enum class ProbeAction : u8 {
    OutOfLine,  // go on in the slot; then finish_probed()
    Emulated,   // done, with the program counter where it goes on
    SystemCall, // it is the system-call instruction
    BadMemory,  // nothing has changed, and the access to `bad_address` faults
};

struct ProbedInstruction;
struct ProbeRegisters;

/// Looks at the instruction that `code` begins with. Errors as Linux has them on the architecture: the instruction
/// can't be probed, or there is none.
Result<ProbedInstruction> decode_probed(std::span<const u8> code);

/// What begin_probed() has to remember until finish_probed().
struct ProbedStep {
    u64 saved = 0;       // of a register that is lent
    u64 bad_address = 0; // BadMemory
    bool bad_write = false;
};

/// Prepares the execution of the instruction at `address`, or emulates it. Of OutOfLine the program counter is the
/// caller's business.
ProbeAction begin_probed(const ProbedInstruction& instruction, ProbeRegisters registers, u64 address,
                         ProbeMemory& memory, ProbedStep& step);
/// The copy has been executed: the registers are what they would be, the program counter too. False: a return address
/// could not be stored; nothing has changed but what abandon_probed() puts back.
bool finish_probed(const ProbedInstruction& instruction, ProbeRegisters registers, u64 address, ProbeMemory& memory,
                   ProbedStep& step);
/// The copy has not been executed, for it faulted: registers that were lent get their values back.
void abandon_probed(const ProbedInstruction& instruction, ProbeRegisters registers, const ProbedStep& step);

/// At the first instruction of a function: where it will return to; empty when that can't be read.
std::optional<u64> return_address(ProbeRegisters registers, ProbeMemory& memory);
bool set_return_address(ProbeRegisters registers, ProbeMemory& memory, u64 address);
/// By convention: what a function returns, and its arguments.
u64 returned_value(ProbeRegisters registers);

} // namespace linnet::arch
