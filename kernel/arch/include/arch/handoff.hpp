// How the kernel was entered: filled by the architecture's first instructions, read by boot::parse().
#pragma once

#include <lib/address.hpp>

namespace linnet::boot {

struct Handoff {
    enum class Protocol : u32 { Pvh, DeviceTree, EfiLoongArch } protocol = Protocol::DeviceTree;
    PhysAddr data{};         // PVH start_info, FDT, or the EFI system table
    PhysAddr command_line{}; // EfiLoongArch only
    u64 boot_cpu = 0;        // hardware id of the CPU that runs
    PhysAddr image_begin{};  // the kernel image in memory, page aligned
    PhysAddr image_end{};
};

} // namespace linnet::boot
