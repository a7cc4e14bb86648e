// Inside the RISC-V folder: where the image is, and what start-up passes on.
#pragma once

#include <arch/thread.hpp>
#include <lib/address.hpp>

namespace linnet::arch {

/// Physical address of something in the kernel image; the direct map's arithmetic doesn't hold there.
PhysAddr image_virt_to_phys(const void* pointer);

/// The boot hart's id, as the firmware gave it.
u64 boot_hart();

} // namespace linnet::arch
