// Symbols of kernel.ld and boot.S, and what the start-up code shares.
#pragma once

#include <lib/types.hpp>

extern "C" {
extern const char kernel_image_begin[], kernel_image_end[], kernel_text_start[], kernel_text_end[],
    kernel_rodata_begin[], kernel_rodata_end[];
extern const char boot_stack_top[], boot_stack_guard[];
extern char boot_exception_stack_guards[];
extern linnet::u64 boot_root_table[], boot_image_directory[], boot_image_tables[];
extern const char trampoline_begin[], trampoline_end[];
}

namespace linnet::arch {

/// The local APIC id of the CPU that runs.
u64 initial_apic_id();

} // namespace linnet::arch
