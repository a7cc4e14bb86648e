// The host tests' machine: 4 KiB pages in four levels of 512 entries; physical memory is a fixed range of the test
// program's own address space.
#pragma once

#include <lib/address.hpp>
#include <lib/types.hpp>

namespace linnet::arch {

inline constexpr unsigned page_shift = 12;
inline constexpr unsigned page_table_levels = 4;
inline constexpr unsigned entries_per_table_shift = 9;
inline constexpr usize kernel_stack_size = 16384;
inline constexpr VirtAddr user_address_end{0x0000'7fff'ffff'f000};
// Each sanitizer leaves the program other addresses.
#if __has_feature(thread_sanitizer)
inline constexpr VirtAddr direct_map_base{0x0000'0010'0000'0000};
#else
inline constexpr VirtAddr direct_map_base{0x0000'2000'0000'0000};
#endif
inline constexpr VirtAddr kernel_area_begin{0xffff'c000'0000'0000};
inline constexpr VirtAddr kernel_area_end{0xffff'c07f'ffff'f000};
inline constexpr u64 kernel_image_offset = 0;

} // namespace linnet::arch
