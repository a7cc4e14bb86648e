// AArch64 address space: 4 KiB granule, 48-bit halves, TTBR0 for user and TTBR1 for kernel addresses.
#pragma once

#include <lib/address.hpp>
#include <lib/types.hpp>

namespace linnet::arch {

inline constexpr unsigned page_shift = 12;
inline constexpr unsigned page_table_levels = 4;
inline constexpr unsigned entries_per_table_shift = 9;
inline constexpr usize kernel_stack_size = 16384;

/// The whole lower half is the user's (Linux: TASK_SIZE is 1 << 48; the hole beyond it keeps wraps away).
inline constexpr VirtAddr user_address_end{u64{1} << 48};
inline constexpr VirtAddr direct_map_base{0xffff'0000'0000'0000};
/// Physical memory from here on can't appear in the direct map.
inline constexpr u64 direct_map_size = u64{1} << 47;
inline constexpr VirtAddr kernel_area_begin{0xffff'8000'0000'0000};
inline constexpr VirtAddr kernel_area_end{0xffff'8080'0000'0000};
/// Where kernel.ld puts the image (address randomisation moves it from there), and the window (in the same 1 GiB) for
/// the early console's registers.
inline constexpr VirtAddr kernel_image_base{0xffff'ffff'8000'0000};
inline constexpr VirtAddr early_device_window{0xffff'ffff'bfe0'0000};

/// Virtual minus physical address of the image; set by boot_tables.cpp.
extern "C" u64 kernel_image_offset;

} // namespace linnet::arch
