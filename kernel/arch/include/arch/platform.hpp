// Contract: what only the architecture's firmware interface can do.
#pragma once

#include <arch/cpu.hpp>
#include <string_view>

namespace linnet::arch {

/// Early output, before any driver: prints through the fixed UART of the platform or the firmware's console.
void early_print(std::string_view text);

/// Power-off and reset by firmware (PSCI, SBI) or chipset; returns only when this architecture leaves it to a driver or
/// the attempt failed.
void firmware_power_off();
void firmware_reboot();

/// How far address randomisation has moved the kernel image from where it is linked; 0 without.
u64 kernel_image_slide();

/// Saved frame pointers: {previous frame pointer, return address} at `frame`. False when `frame` can't be one.
struct StackFrame {
    uintptr_t previous;
    uintptr_t return_address;
};
bool read_stack_frame(uintptr_t frame, StackFrame& out);
/// The caller's frame pointer, to start a backtrace.
uintptr_t current_frame_pointer();

} // namespace linnet::arch
