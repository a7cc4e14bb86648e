// The inside of the kernel area, for boot_memory.cpp.
#pragma once

#include <mm/kernel_area.hpp>
#include <mm/page.hpp>

namespace linnet::mm {

/// Makes the upper tables of the whole kernel area, before any user root copies its entries. Boot CPU, once.
void prepare_kernel_area();
void initialise_zero_page();
/// Frames mapped by allocate_virtual and map_device, for VmallocUsed.
u64 kernel_area_frames();

} // namespace linnet::mm
