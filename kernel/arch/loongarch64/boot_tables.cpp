// The kernel's first page tables, which stay for good: the image with the rights that its parts need. Made by
// the boot CPU while it runs in the cached window; the code reaches everything relative to its pc, so it
// works there as long as it uses no absolute address (no switch tables, no pointers in constants).
#include <arch/mmu.hpp>

// Hidden: or the compiler would look their absolute addresses up in the global offset table.
extern "C" {
[[gnu::visibility("hidden")]] extern const char kernel_image_begin[], kernel_image_end[], kernel_text_end[],
    kernel_rodata_end[], boot_stack_guard[];
}

namespace linnet::arch {

using Policy = PagingPolicy;
constexpr usize entries_per_table = usize{1} << entries_per_table_shift;

struct alignas(page_size) Table {
    Policy::Entry entries[entries_per_table];
};

extern "C" {
[[gnu::visibility("hidden")]] extern Table arch_kernel_root;
}
[[gnu::section(".bss.page_tables")]] static Table image_directory;
[[gnu::section(".bss.page_tables")]] static Table image_pages;

static constexpr usize table_index(u64 address, unsigned level) {
    return (address >> (page_shift + entries_per_table_shift * level)) & (entries_per_table - 1);
}

/// Text is executable, constants are read-only, the rest is data, but for the page below the boot stack.
static Policy::Entry entry_of(const char* page) {
    MappingFlags flags{.global = true};
    PhysAddr address = virt_to_phys(page); // we are in the window
    if (page == boot_stack_guard) return Policy::empty();
    if (page < kernel_text_end)
        flags.executable = true;
    else if (page >= kernel_rodata_end)
        flags.writable = flags.dirty = true;
    return Policy::make_leaf(address, flags, 0);
}

extern "C" void arch_make_boot_tables() {
    arch_kernel_root.entries[table_index(kernel_image_offset, 2)] =
        Policy::make_table(virt_to_phys(&image_directory));
    image_directory.entries[table_index(kernel_image_offset, 1)] =
        Policy::make_table(virt_to_phys(&image_pages));
    for (const char* page = kernel_image_begin; page < kernel_image_end; page += page_size)
        image_pages.entries[table_index(virt_to_phys(page).value, 0)] = entry_of(page);
}

} // namespace linnet::arch
