// Contract: page size, the shape of the address space and the way from physical memory to pointers.
//
// <arch_impl/page.hpp> defines, in namespace linnet::arch:
//   page_shift              4 KiB on three architectures, 16 KiB on LoongArch
//   page_table_levels       levels of the tables in use (root = levels - 1, last level = 0)
//   entries_per_table_shift log2 of the entries of one table
//   kernel_stack_size       of each thread, without the guard page below
//   user_address_end        first address that user mappings may not reach (one page below the hole, as Linux has it)
//   direct_map_base         where physical address 0 appears; phys_to_virt(p) = direct_map_base + p
//   kernel_area_begin/end   kernel virtual range for mapped stacks, vmalloc and device registers
//   kernel_image_offset     virtual minus physical address of the kernel image as linked
#pragma once

#include <arch_impl/page.hpp>
#include <lib/address.hpp>

namespace linnet::arch {

inline constexpr usize page_size = usize{1} << page_shift;
inline constexpr usize huge_page_shift = page_shift + entries_per_table_shift;
inline constexpr usize huge_page_size = usize{1} << huge_page_shift;

static_assert(kernel_stack_size % page_size == 0);
static_assert(page_shift == 12 || page_shift == 14);
static_assert(page_table_levels >= 3 && page_table_levels <= 5);
static_assert(user_address_end.value % page_size == 0);
static_assert(kernel_area_begin < kernel_area_end);

/// Where RAM at `address` appears in the kernel's direct map. Only for RAM; registers are mapped by mm::map_device.
inline void* phys_to_virt(PhysAddr address) { return reinterpret_cast<void*>(direct_map_base.value + address.value); }
template <typename T>
T* phys_to_virt(PhysAddr address) {
    return static_cast<T*>(phys_to_virt(address));
}
/// The inverse, for pointers into the direct map only.
inline PhysAddr virt_to_phys(const void* pointer) { return {reinterpret_cast<u64>(pointer) - direct_map_base.value}; }

} // namespace linnet::arch
