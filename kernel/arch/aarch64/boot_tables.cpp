// The page tables that the kernel starts with, built on the boot CPU with the MMU off: the kernel image with its final
// rights at the address that randomisation chose, the direct map of RAM, the window of the early UART, and an identity
// map of the image in which the MMU is switched on. Everything here runs at physical addresses, so it must not use
// absolute addresses (tables of pointers, virtual functions); `adrp` gives every symbol's physical address by itself.
#include "early_info.hpp"

#include <arch/mmu.hpp>
#include <arch/time.hpp>
#include <lib/early_tree.hpp>

extern "C" {
extern char kernel_image_begin[], kernel_image_end[], kernel_text_start[], kernel_text_end[];
extern char kernel_rodata_begin[], kernel_rodata_end[], boot_stack_guard[];
extern linnet::u64 kernel_root_page[512], identity_root_page[512]; // boot.S
extern const linnet::u64 kernel_relocations_begin[], kernel_relocations_end[];
void arch_build_boot_tables(const linnet::u8* tree);
}

namespace linnet::arch {

EarlyInfo early_info;
u64 kernel_image_offset;

namespace {

using P = PagingPolicy;
constexpr usize table_entries = 512;
constexpr usize pool_tables = 48;

alignas(page_size) u64 table_pool[pool_tables][table_entries]; // zeroed with .bss
usize table_pool_used;

constexpr MappingFlags kernel_flags(bool writable, bool executable) {
    MappingFlags flags;
    flags.writable = writable;
    flags.executable = executable;
    flags.global = true;
    flags.dirty = writable;
    return flags;
}

u64* next_table(u64* table, usize index) {
    if (table[index] == 0) {
        if (table_pool_used == pool_tables) return nullptr;
        table[index] = P::make_table({reinterpret_cast<u64>(&table_pool[table_pool_used++])});
    } else if (!(table[index] & P::table_or_page)) {
        return nullptr; // a block lies there already: overlapping RAM in the device tree
    }
    return reinterpret_cast<u64*>(P::address(table[index], 1).value);
}

/// Maps [virt, +size) to [phys, +size) with the largest pages that fit. False when the pool is used up.
bool map_range(u64* root, u64 virt, u64 phys, u64 size, MappingFlags flags) {
    while (size > 0) {
        u64* table = root;
        for (unsigned level = page_table_levels - 1;; --level) {
            unsigned shift = page_shift + level * entries_per_table_shift;
            u64 span = u64{1} << shift;
            usize index = (virt >> shift) & (table_entries - 1);
            bool fits = level <= 2 && is_aligned(virt | phys, span) && size >= span;
            if (fits && (table[index] == 0 || !P::is_table(table[index], level))) {
                table[index] = P::make_leaf({phys}, flags, level);
                virt += span, phys += span, size -= span;
                break;
            }
            if (level == 0) return false; // size isn't a multiple of the page
            table = next_table(table, index);
            if (!table) return false;
        }
    }
    return true;
}

/// RAM in the direct map. The image's code and constants are not writable there either.
void map_ram(u64 begin, u64 end) {
    u64 text = reinterpret_cast<u64>(kernel_text_start), data = reinterpret_cast<u64>(kernel_rodata_end);
    auto map = [](u64 from, u64 to, bool writable) {
        if (from < to)
            map_range(kernel_root_page, direct_map_base.value + from, from, to - from, kernel_flags(writable, false));
    };
    if (data <= begin || text >= end) return map(begin, end, true);
    map(begin, text, true);
    map(text, data, false);
    map(data, end, true);
}

/// Chooses the image's address and makes it fit there.
void place_image(const u8* tree) {
    u64 size = align_up(static_cast<u64>(kernel_image_end - kernel_image_begin), huge_page_size);
    u64 slide = choose_slide(tree, read_counter(), early_device_window - kernel_image_base - size, page_size);
    u64 image = reinterpret_cast<u64>(kernel_image_begin);
    if (slide != 0)
        apply_relative_relocations(kernel_relocations_begin, kernel_relocations_end, image - kernel_image_base.value,
                                   slide);
    kernel_image_offset = kernel_image_base.value + slide - image;
}

void map_image() {
    auto map = [](char* from, char* to, MappingFlags flags) {
        u64 physical = reinterpret_cast<u64>(from);
        map_range(kernel_root_page, physical + kernel_image_offset, physical, static_cast<u64>(to - from), flags);
    };
    map(kernel_text_start, kernel_text_end, kernel_flags(false, true));
    map(kernel_rodata_begin, kernel_rodata_end, kernel_flags(false, false));
    map(kernel_rodata_end, boot_stack_guard, kernel_flags(true, false));
    map(boot_stack_guard + page_size, kernel_image_end, kernel_flags(true, false));
}

} // namespace

} // namespace linnet::arch

/// Called once, MMU off, .bss just cleared.
extern "C" void arch_build_boot_tables(const linnet::u8* tree) {
    using namespace linnet;
    using namespace linnet::arch;
    scan_device_tree(tree, early_info);
    u64 image = reinterpret_cast<u64>(kernel_image_begin);
    u64 image_blocks = align_up(static_cast<u64>(kernel_image_end - kernel_image_begin), huge_page_size);
    map_range(identity_root_page, image, image, image_blocks, kernel_flags(true, true));
    place_image(tree);
    map_image();
    if (early_info.pl011) {
        MappingFlags flags = kernel_flags(true, false);
        flags.device = true;
        map_range(kernel_root_page, early_device_window.value, align_down(early_info.pl011, page_size), page_size,
                  flags);
    }
    bool tree_is_mapped = early_info.device_tree_size == 0;
    u64 tree_begin = align_down(reinterpret_cast<u64>(tree), page_size);
    u64 tree_end = align_up(reinterpret_cast<u64>(tree) + early_info.device_tree_size, page_size);
    for (unsigned i = 0; i < early_info.memory_count; ++i) {
        u64 begin = align_up(early_info.memory[i].begin, page_size);
        u64 end = align_down(early_info.memory[i].begin + early_info.memory[i].size, page_size);
        if (end > direct_map_size) end = direct_map_size;
        if (begin >= end) continue;
        map_ram(begin, end);
        if (begin <= tree_begin && tree_end <= end) tree_is_mapped = true;
    }
    if (!tree_is_mapped) map_ram(tree_begin, tree_end);
}
