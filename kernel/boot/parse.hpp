// Inside the boot room: the parsers of the handoff protocols and how they add to BootInfo.
#pragma once

#include <boot/boot_info.hpp>

namespace linnet::boot {

/// One architecture's protocol or protocols (protocols/<architecture>.cpp).
Result<void> parse_protocol(const Handoff& handoff, BootInfo& info);

Result<void> parse_device_tree(PhysAddr tree, const Handoff& handoff, BootInfo& info);
Result<void> parse_pvh(const Handoff& handoff, BootInfo& info);
Result<void> parse_efi(const Handoff& handoff, BootInfo& info);

// Parsers add regions as the firmware tells them; parse() aligns, sorts and merges afterwards. Empty and
// wrapping regions are ignored. ENOSPC when the table is full.
Result<void> add_usable(BootInfo& info, PhysAddr begin, u64 size);
Result<void> add_reserved(BootInfo& info, PhysAddr begin, u64 size);
/// Ignores a CPU that is listed already and those beyond max_cpus.
void add_cpu(BootInfo& info, u64 hardware_id);
/// Cuts what doesn't fit.
void set_command_line(BootInfo& info, std::string_view text);

} // namespace linnet::boot
