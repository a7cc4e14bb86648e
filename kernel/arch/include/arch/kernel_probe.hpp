// Contract: instructions of the kernel itself under probes (arch/probe.hpp has what they share with programs').
//
// <arch_impl/probe.hpp> defines for them:
//   - interrupts_in_status, interrupts_held: of the word of a trap frame that says whether interrupts are on when the
//     trap returns the bits that do, and what they are when interrupts are off;
//   - returns_without_trap: whether arch_kernel_return_entry is code that calls hooks::kernel_return() without a trap.
#pragma once

#include <arch/probe.hpp>
#include <optional>
#include <string_view>

/// Only where `returns_without_trap`.
extern "C" const linnet::u8 arch_kernel_return_entry[];

namespace linnet::arch {

/// Kernel code that has trapped; the frame is what it goes on with.
struct KernelTrap {
    ProbeRegisters registers;
    u64* status;

    /// Keeps interrupts off behind the trap; give the result to release_interrupts().
    [[nodiscard]] u64 hold_interrupts() const {
        const u64 before = *status & interrupts_in_status;
        *status = (*status & ~interrupts_in_status) | interrupts_held;
        return before;
    }
    void release_interrupts(u64 before) const { *status = (*status & ~interrupts_in_status) | before; }
};

/// The frame pointer of the code that has trapped.
uintptr_t frame_pointer(ProbeRegisters registers);

/// decode_probed() of kernel code: besides, what looks at or changes the interrupt flag is refused, and calls of the
/// firmware.
Result<ProbedInstruction> decode_kernel_probed(std::span<const u8> code);

/// What a walk through a function has to know of an instruction; empty: there is none.
struct TextStep {
    u8 length;
    enum class Reservation : u8 { None, Begins, Ends } reservation = Reservation::None;
};
std::optional<TextStep> text_step(std::span<const u8> code);

/// Copies what lies at a kernel address; false: not all of it is there. Any context.
bool copy_kernel_nofault(void* to, u64 address, usize size);

/// Of the words that ProbeRegisters views, the number of a register by the name that Linux has for it in dynamic events
/// ("%ax"), and that of a function's n-th argument, from 0 on; negative: there is none.
int register_by_name(std::string_view name);
int argument_register(unsigned number);

} // namespace linnet::arch
