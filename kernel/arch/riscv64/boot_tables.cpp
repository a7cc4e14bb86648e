// The kernel's first page tables, which stay for good: the direct map and the image with W^X rights. Made by
// the boot hart while translation is off; medany code is pc-relative, so this runs at physical addresses as
// long as it uses no absolute address (no switch tables, no pointers in constants).
#include <arch/mmu.hpp>
#include <arch_impl/csr.hpp>

#include "sbi.hpp"

extern "C" const char kernel_image_begin[], kernel_image_end[], kernel_text_start[], kernel_text_end[],
    kernel_rodata_end[], boot_stack_guard[];

namespace linnet::arch {

using Policy = PagingPolicy;
constexpr usize entries_per_table = usize{1} << entries_per_table_shift;
constexpr usize image_tables = 8; // 2 MiB each; the linker script asserts that it is enough

struct alignas(page_size) Table {
    Policy::Entry entries[entries_per_table];
};

#define PAGE_TABLE_SECTION [[gnu::section(".bss.page_tables")]]
PAGE_TABLE_SECTION Table root_table;
PAGE_TABLE_SECTION static Table direct_map_table;
PAGE_TABLE_SECTION static Table image_upper_table;
PAGE_TABLE_SECTION static Table image_middle_table;
PAGE_TABLE_SECTION static Table image_last_tables[image_tables];

constexpr usize table_index(u64 address, unsigned level) {
    return (address >> (page_shift + entries_per_table_shift * level)) & (entries_per_table - 1);
}

static Policy::Entry pointer_to(const Table& table) {
    return Policy::make_table({reinterpret_cast<u64>(&table)}); // our addresses are physical here
}

/// Rights of a page of the image: text is executable, constants are read-only, the rest is data, but for the
/// page below the boot stack.
static u64 rights_of(const char* page) {
    constexpr u64 common =
        Policy::valid | Policy::readable | Policy::global | Policy::accessed | Policy::dirty;
    if (page < kernel_text_end) return common | Policy::executable;
    if (page < kernel_rodata_end) return common;
    return page == boot_stack_guard ? 0 : common | Policy::writable;
}

} // namespace linnet::arch

using namespace linnet;
using namespace linnet::arch;

/// Returns the value of satp that makes the tables current.
extern "C" u64 arch_make_boot_tables(u64 image_address) {
    constexpr u64 direct_rights = Policy::valid | Policy::readable | Policy::writable | Policy::global |
                                  Policy::accessed | Policy::dirty;
    for (usize i = 0; i < entries_per_table; ++i)
        direct_map_table.entries[i] = ((i << 30) >> 2) | direct_rights;
    root_table.entries[table_index(direct_map_base.value, 3)] = pointer_to(direct_map_table);

    constexpr u64 link_base = 0xffff'ffff'8020'0000;
    root_table.entries[table_index(link_base, 3)] = pointer_to(image_upper_table);
    image_upper_table.entries[table_index(link_base, 2)] = pointer_to(image_middle_table);
    for (usize i = 0; i < image_tables; ++i)
        image_middle_table.entries[table_index(link_base, 1) + i] = pointer_to(image_last_tables[i]);

    // The pages follow one another, so the last-level tables are one long table.
    usize page_count = static_cast<usize>(kernel_image_end - kernel_image_begin) >> page_shift;
    for (usize i = 0; i < page_count; ++i) {
        u64 address = image_address + (i << page_shift);
        image_last_tables[i / entries_per_table].entries[i % entries_per_table] =
            (address >> 2) | rights_of(reinterpret_cast<const char*>(address));
    }
    return csr::satp_sv48 | (reinterpret_cast<u64>(&root_table) >> page_shift);
}

/// Runs with translation off: only the firmware can print. Characters one by one, for a string constant's
/// address would be read through a table.
extern "C" [[noreturn]] void arch_report_missing_sv48() {
    for (const char* c = "Linnet needs a CPU with Sv48 address translation\n"; *c; ++c)
        sbi::legacy_put_char(*c);
    for (;;) asm volatile("wfi");
}
