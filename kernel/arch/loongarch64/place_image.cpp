// Where the kernel image goes in its address space, and with which rights: chooses the slide of address
// randomisation, relocates the image and makes the kernel's first page tables, which stay for good: text R-X,
// rodata R--, data and bss RW-, nothing below the boot stack.
//
// All of this runs once, on the boot CPU, in the cached window: pointers stored in the image are not right
// yet, and nothing may be instrumented.
#include "start.hpp"

#include <arch/mmu.hpp>
#include <arch/platform.hpp>
#include <arch/time.hpp>
#include <lib/relocation.hpp>

extern "C" {
extern const char kernel_image_begin[], kernel_image_end[], kernel_text_end[], kernel_rodata_end[], boot_stack_guard[];
extern const linnet::u64 kernel_relocations_begin[], kernel_relocations_end[];
void arch_place_image(linnet::u64 command_line, linnet::u64 system_table);
}

namespace linnet::arch {

// In .data, for it is needed by other CPUs' first instructions.
extern "C" constinit u64 kernel_image_offset = kernel_link_offset;

using Policy = PagingPolicy;
constexpr usize entries_per_table = usize{1} << entries_per_table_shift;

struct alignas(page_size) Table {
    Policy::Entry entries[entries_per_table];
};

extern "C" Table arch_kernel_root;
[[gnu::section(".bss.page_tables")]] static Table image_directory;
[[gnu::section(".bss.page_tables")]] static Table image_pages;

namespace {

constexpr u64 physical_mask = (u64{1} << 48) - 1;

template <typename T>
const T* in_window(u64 address) {
    return phys_to_virt<const T>({address & physical_mask});
}

u32 big_endian(u32 value) { return __builtin_bswap32(value); }

constexpr usize table_index(u64 address, unsigned level) {
    return (address >> (page_shift + entries_per_table_shift * level)) & (entries_per_table - 1);
}

/// The device tree that the EFI system table leads to, or null. boot::parse() looks at all this in earnest.
const u32* device_tree(u64 system_table) {
    constexpr usize count_word = 13, tables_word = 14, table_words = 3, most_tables = 64;
    constexpr u64 guid_low = 0x41a5'f19c'b1b6'21d5, guid_high = 0xe0aa'692c'15d9'0b83;
    constexpr u32 magic = 0xd00dfeed;
    const u64* system = in_window<u64>(system_table);
    const u64* table = in_window<u64>(system[tables_word]);
    for (usize i = 0; i < system[count_word] && i < most_tables; ++i, table += table_words) {
        if (table[0] != guid_low || table[1] != guid_high) continue;
        const u32* tree = in_window<u32>(table[2]);
        return big_endian(tree[0]) == magic ? tree : nullptr;
    }
    return nullptr;
}

/// The CPU has no random numbers: the time, and the device tree, which has a seed in it where the machine
/// gives one.
u64 early_random(u64 system_table) {
    constexpr u32 structure_word = 2, structure_size_word = 9, most_bytes = 1 << 18;
    u64 random = mix_bits(read_counter());
    if (const u32* tree = device_tree(system_table)) {
        const u32* word = tree + big_endian(tree[structure_word]) / sizeof(u32);
        u32 bytes = big_endian(tree[structure_size_word]);
        if (bytes > most_bytes) bytes = most_bytes;
        for (u32 i = 0; i < bytes / sizeof(u32); ++i) random = mix_bits(random ^ word[i]);
    }
    return mix_bits(random ^ read_counter());
}

/// The image stays within one last-level table, which may hang anywhere between the linked place and the top.
u64 choose_slide(u64 random) {
    constexpr u64 directories = (~u64{0} - kernel_link_offset) / huge_page_size, pair = 2 * page_size;
    u64 image_end = virt_to_phys(kernel_image_end).value;
    u64 slide = scale_random(random, directories) * huge_page_size;
    return slide + scale_random(mix_bits(random), (huge_page_size - image_end) / pair) * pair;
}

Policy::Entry entry_of(const char* page) {
    MappingFlags flags{.global = true};
    if (page == boot_stack_guard) return Policy::empty();
    if (page < kernel_text_end)
        flags.executable = true;
    else if (page >= kernel_rodata_end)
        flags.writable = flags.dirty = true;
    return Policy::make_leaf(virt_to_phys(page), flags, 0);
}

void map_image(u64 offset) {
    arch_kernel_root.entries[table_index(offset, 2)] = Policy::make_table(virt_to_phys(&image_directory));
    image_directory.entries[table_index(offset, 1)] = Policy::make_table(virt_to_phys(&image_pages));
    for (const char* page = kernel_image_begin; page < kernel_image_end; page += page_size)
        image_pages.entries[table_index(virt_to_phys(page).value + offset, 0)] = entry_of(page);
}

} // namespace

u64 kernel_image_slide() { return kernel_image_offset - kernel_link_offset; }

} // namespace linnet::arch

/// Sets kernel_image_offset; the caller goes on at the image's new address.
extern "C" void arch_place_image(linnet::u64 command_line, linnet::u64 system_table) {
    using namespace linnet;
    using namespace linnet::arch;
    constexpr usize longest_line = 4096;
    u64 slide = 0;
    if (!has_boot_word(in_window<char>(command_line), longest_line, "nokaslr"))
        slide = choose_slide(early_random(system_table));
    if (slide != 0) {
        u64 reach = direct_map_base.value - kernel_link_offset; // from a link address into the window
        apply_relative_relocations(kernel_relocations_begin, kernel_relocations_end, reach, slide);
    }
    kernel_image_offset = kernel_link_offset + slide;
    map_image(kernel_image_offset);
}
