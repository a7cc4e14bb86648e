// RISC-V: 4 KiB pages in four levels (Sv48). The upper half of the address space, root entries 256 … 511:
//   0xffff8000'00000000  direct map, 512 GiB (one root entry of 1 GiB leaves)
//   0xffffa000'00000000  kernel area, 512 GiB (one root entry)
//   0xffffffff'80000000  kernel image
#pragma once

#include <lib/address.hpp>
#include <lib/types.hpp>

namespace linnet::arch {

inline constexpr unsigned page_shift = 12;
inline constexpr unsigned page_table_levels = 4;
inline constexpr unsigned entries_per_table_shift = 9;
inline constexpr usize kernel_stack_size = 16384;
inline constexpr VirtAddr user_address_end{(u64{1} << 47) - 4096};
inline constexpr VirtAddr direct_map_base{0xffff'8000'0000'0000};
inline constexpr VirtAddr kernel_area_begin{0xffff'a000'0000'0000};
inline constexpr VirtAddr kernel_area_end{0xffff'a080'0000'0000};
/// Where kernel.ld puts the image; address randomisation moves it from there, within the gigabyte.
inline constexpr VirtAddr kernel_link_base{0xffff'ffff'8020'0000};
/// Virtual minus physical address of the image; set by boot_tables.cpp.
extern "C" constinit u64 kernel_image_offset;

} // namespace linnet::arch
