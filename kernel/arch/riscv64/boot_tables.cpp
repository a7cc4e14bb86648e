// The kernel's first page tables, which stay for good: the direct map and the image with W^X rights, at the
// address that randomisation chose. Made by
// the boot hart while translation is off; medany code is pc-relative, so this runs at physical addresses as
// long as it uses no absolute address (no switch tables, no pointers in constants).
#include <arch/mmu.hpp>
#include <arch/time.hpp>
#include <arch_impl/csr.hpp>
#include <lib/early_tree.hpp>

#include "sbi.hpp"

extern "C" const char kernel_image_begin[], kernel_image_end[], kernel_text_start[], kernel_text_end[],
    kernel_rodata_end[], boot_stack_guard[];
extern "C" const linnet::u64 kernel_relocations_begin[], kernel_relocations_end[];

namespace linnet::arch {

using Policy = PagingPolicy;
constexpr usize entries_per_table = usize{1} << entries_per_table_shift;
constexpr usize image_tables = 9; // 16 MiB, as the linker script asserts, that needn't begin at 2 MiB
constexpr usize alias_tables = 4; // 8 MiB of text and rodata, as it asserts too
constexpr u64 image_tables_size = image_tables * huge_page_size;

// In .data, for other harts read it before they have translation.
extern "C" constinit u64 kernel_image_offset = 1;

struct alignas(page_size) Table {
    Policy::Entry entries[entries_per_table];
};

#define PAGE_TABLE_SECTION [[gnu::section(".bss.page_tables")]]
PAGE_TABLE_SECTION Table root_table;
PAGE_TABLE_SECTION static Table direct_map_table;
PAGE_TABLE_SECTION static Table image_upper_table;
PAGE_TABLE_SECTION static Table image_middle_table;
PAGE_TABLE_SECTION static Table image_last_tables[image_tables];
PAGE_TABLE_SECTION static Table alias_middle_table;
PAGE_TABLE_SECTION static Table alias_last_tables[alias_tables];

constexpr usize table_index(u64 address, unsigned level) {
    return (address >> (page_shift + entries_per_table_shift * level)) & (entries_per_table - 1);
}

static Policy::Entry pointer_to(const Table& table) {
    return Policy::make_table({reinterpret_cast<u64>(&table)}); // our addresses are physical here
}

/// Rights of a page of the image: text is executable, constants are read-only, the rest is data, but for the
/// page below the boot stack.
static u64 rights_of(const char* page) {
    constexpr u64 common = Policy::valid | Policy::readable | Policy::global | Policy::accessed | Policy::dirty;
    if (page < kernel_text_end) return common | Policy::executable;
    if (page < kernel_rodata_end) return common;
    return page == boot_stack_guard ? 0 : common | Policy::writable;
}

/// Splits the direct map's gigabyte with the image as far as it takes to make text and rodata read-only there too. The
/// image begins at a multiple of 2 MiB; what is read-only of it lies in one gigabyte, or the rest stays writable.
static void protect_alias(u64 image_address, u64 direct_rights) {
    constexpr u64 gigabyte = u64{1} << 30;
    u64 base = align_down(image_address, gigabyte);
    u64 end = image_address + static_cast<u64>(kernel_rodata_end - kernel_image_begin);
    for (usize i = 0; i < entries_per_table; ++i)
        alias_middle_table.entries[i] = ((base + i * huge_page_size) >> 2) | direct_rights;
    for (usize i = 0; i < alias_tables; ++i) {
        u64 begin = image_address + i * huge_page_size;
        if (begin >= end || begin - base >= gigabyte) break;
        for (usize j = 0; j < entries_per_table; ++j) {
            u64 page = begin + j * page_size;
            alias_last_tables[i].entries[j] =
                (page >> 2) | (page < end ? direct_rights & ~Policy::writable : direct_rights);
        }
        alias_middle_table.entries[(begin - base) / huge_page_size] = pointer_to(alias_last_tables[i]);
    }
    direct_map_table.entries[base / gigabyte] = pointer_to(alias_middle_table);
}

} // namespace linnet::arch

using namespace linnet;
using namespace linnet::arch;

/// Chooses the image's address, which it returns, and makes it fit there.
static u64 place_image(u64 image_address, const u8* tree) {
    constexpr u64 link_base = kernel_link_base.value, gigabyte = u64{1} << 30;
    constexpr u64 room = gigabyte - link_base % gigabyte - image_tables_size;
    u64 slide = choose_slide(tree, read_counter(), room, page_size);
    if (slide != 0)
        apply_relative_relocations(kernel_relocations_begin, kernel_relocations_end, image_address - link_base, slide);
    kernel_image_offset = link_base + slide - image_address;
    return link_base + slide;
}

/// Returns the value of satp that makes the tables current.
extern "C" u64 arch_make_boot_tables(u64 image_address, const u8* tree) {
    constexpr u64 direct_rights =
        Policy::valid | Policy::readable | Policy::writable | Policy::global | Policy::accessed | Policy::dirty;
    for (usize i = 0; i < entries_per_table; ++i) direct_map_table.entries[i] = ((i << 30) >> 2) | direct_rights;
    protect_alias(image_address, direct_rights);
    root_table.entries[table_index(direct_map_base.value, 3)] = pointer_to(direct_map_table);

    u64 image = place_image(image_address, tree);
    root_table.entries[table_index(image, 3)] = pointer_to(image_upper_table);
    image_upper_table.entries[table_index(image, 2)] = pointer_to(image_middle_table);
    for (usize i = 0; i < image_tables; ++i)
        image_middle_table.entries[table_index(image, 1) + i] = pointer_to(image_last_tables[i]);

    // The pages follow one another, so the last-level tables are one long table.
    usize page_count = static_cast<usize>(kernel_image_end - kernel_image_begin) >> page_shift;
    usize first = table_index(image, 0);
    for (usize i = first; i < first + page_count; ++i) {
        u64 address = image_address + ((i - first) << page_shift);
        image_last_tables[i / entries_per_table].entries[i % entries_per_table] =
            (address >> 2) | rights_of(reinterpret_cast<const char*>(address));
    }
    return csr::satp_sv48 | (reinterpret_cast<u64>(&root_table) >> page_shift);
}

/// Runs with translation off: only the firmware can print. Characters one by one, for a string constant's
/// address would be read through a table.
extern "C" [[noreturn]] void arch_report_missing_sv48() {
    for (const char* c = "Linnet needs a CPU with Sv48 address translation\n"; *c; ++c) sbi::legacy_put_char(*c);
    for (;;) asm volatile("wfi");
}
