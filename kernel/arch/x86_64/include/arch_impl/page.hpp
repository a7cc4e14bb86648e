// x86_64: 4 KiB pages, four levels of 512 entries. One root entry holds the direct map (512 GiB), one the kernel area,
// and the last one the kernel image, in the first half of the top 2 GiB: linked at its beginning, moved by address
// randomisation.
#pragma once

#include <lib/address.hpp>
#include <lib/types.hpp>

namespace linnet::arch {

inline constexpr unsigned page_shift = 12;
inline constexpr unsigned page_table_levels = 4;
inline constexpr unsigned entries_per_table_shift = 9;
inline constexpr usize kernel_stack_size = 16384;
inline constexpr VirtAddr user_address_end{0x0000'7fff'ffff'f000};
inline constexpr VirtAddr direct_map_base{0xffff'8000'0000'0000};
inline constexpr VirtAddr kernel_area_begin{0xffff'c000'0000'0000};
inline constexpr VirtAddr kernel_area_end{0xffff'c07f'ffff'f000};
inline constexpr u64 kernel_link_offset = 0xffff'ffff'8000'0000;
/// Set once by place_image.cpp: kernel_link_offset plus the slide.
extern "C" constinit u64 kernel_image_offset;

/// How much of physical memory the direct map covers: 512 GiB, or 4 GiB on CPUs without 1 GiB pages.
u64 direct_map_size();

} // namespace linnet::arch
