// LoongArch: 16 KiB pages in three levels, one tree for each half of the address space. Windows that need no
// tables:
//   0x8000'0000'0000'0000  all physical addresses, uncached (device registers of the early console)
//   0x9000'0000'0000'0000  all physical addresses, cached: the direct map
// They have no rights, so through them the kernel can do anything to its memory. By the upper half's tables:
//   0xffff'8000'0000'0000  kernel area
//   0xffff'8100'0000'0000  kernel image, by physical address, plus a random slide; its code can't be written
//   here nor
//                          its data run
#pragma once

#include <lib/address.hpp>
#include <lib/types.hpp>

namespace linnet::arch {

inline constexpr unsigned page_shift = 14;
inline constexpr unsigned page_table_levels = 3;
inline constexpr unsigned entries_per_table_shift = 11;
inline constexpr usize kernel_stack_size = 16384;
inline constexpr VirtAddr user_address_end{u64{1} << 47};
inline constexpr VirtAddr direct_map_base{0x9000'0000'0000'0000};
inline constexpr VirtAddr uncached_window{0x8000'0000'0000'0000};
inline constexpr VirtAddr kernel_area_begin{0xffff'8000'0000'0000};
inline constexpr VirtAddr kernel_area_end{0xffff'8080'0000'0000};
inline constexpr u64 kernel_link_offset = 0xffff'8100'0000'0000;
/// Set once by place_image.cpp: kernel_link_offset plus the slide.
extern "C" constinit u64 kernel_image_offset;

} // namespace linnet::arch
