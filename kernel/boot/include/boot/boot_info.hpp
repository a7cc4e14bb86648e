// What the firmware or boot loader handed over, in one portable form. Nothing else parses a firmware handoff.
#pragma once

#include <arch/handoff.hpp>
#include <lib/address.hpp>
#include <lib/result.hpp>
#include <span>
#include <string_view>

namespace linnet::boot {

struct MemoryRegion {
    PhysAddr begin{};
    u64 size = 0;
};

struct CpuInfo {
    u64 hardware_id = 0;
};

/// Everything later code may ask about the machine's handover. Filled once by parse(); constant afterwards.
struct BootInfo {
    static constexpr usize max_regions = 64;
    static constexpr usize max_cpus = 64;
    static constexpr usize max_command_line = 4096;

    std::span<const MemoryRegion> usable_memory() const { return {usable, usable_count}; }
    std::span<const MemoryRegion> reserved_memory() const { return {reserved, reserved_count}; }
    std::span<const CpuInfo> all_cpus() const { return {cpus, cpu_count}; }

    MemoryRegion usable[max_regions]; // RAM, page aligned, sorted, not overlapping
    usize usable_count = 0;
    MemoryRegion reserved[max_regions]; // parts of it in use: image, initrd, tables, firmware
    usize reserved_count = 0;
    CpuInfo cpus[max_cpus]; // the boot CPU first
    usize cpu_count = 0;
    char command_line_buffer[max_command_line] = {};
    std::string_view command_line;
    MemoryRegion initrd{};                  // size 0: none; else inside the usable memory
    bool initrd_was_outside_memory = false; // and was ignored therefore
    PhysAddr device_tree{};                 // 0: none
    PhysAddr acpi_rsdp{};                   // 0: none
};

/// Parses the handover. The blob is untrusted: truncated or corrupt tables give an error, never a fault. Uses the
/// direct map; allocates nothing.
Result<void> parse(const Handoff& handoff, BootInfo& info);

/// The parsed information; valid once init has called parse().
const BootInfo& boot_info();
BootInfo& mutable_boot_info();

} // namespace linnet::boot
