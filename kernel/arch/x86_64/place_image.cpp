// Where the kernel image goes in its address space, and with which rights: chooses the slide of address randomisation,
// relocates the image, and maps it by 4 KiB pages: text R-X, rodata R--, data and bss RW-, nothing below the boot
// stacks. The direct map's view of text and rodata is read-only too.
//
// All of this runs once, on the identity map, at physical addresses: a symbol's address is its physical one here,
// pointers stored in the image are not right yet, and nothing may be instrumented.
#include "boot.hpp"
#include "offsets.h"
#include <arch/mmu.hpp>
#include <arch/time.hpp>
#include <arch_impl/registers.hpp>
#include <lib/relocation.hpp>

extern "C" {
extern const linnet::u64 kernel_relocations_begin[], kernel_relocations_end[];
extern linnet::u64 boot_direct_pointers[], boot_direct_directories[], boot_alias_tables[];
void arch_place_image(linnet::u64 start_info);
}

namespace linnet::arch {

// In .data, for it is needed by other CPUs' first instructions.
extern "C" constinit u64 kernel_image_offset = kernel_link_offset;

namespace {

using Policy = PagingPolicy;
constexpr u64 directory_span = u64{1} << 21;
constexpr usize entries = 512;
constexpr usize alias_tables = ALIAS_TABLES;
/// The image stays within the gigabyte of boot_image_directory, with all of boot_image_tables.
constexpr u64 slide_limit = (u64{1} << 30) - IMAGE_PHYSICAL - IMAGE_TABLES * directory_span;

constexpr MappingFlags text{.executable = true, .global = true, .dirty = true};
constexpr MappingFlags rodata{.global = true, .dirty = true};
constexpr MappingFlags data{.writable = true, .global = true, .dirty = true};

u64 physical(const void* symbol) { return reinterpret_cast<u64>(symbol); }

Policy::Entry table_entry(const u64* table) { return Policy::make_table({physical(table)}) & ~Policy::user; }

/// The command line of the PVH start info, which is checked in earnest by boot::parse().
bool is_randomisation_off(u64 start_info) {
    constexpr u64 identity_mapped = u64{1} << 30;
    constexpr u32 magic = 0x336ec578;
    constexpr usize command_line_offset = 24, longest = 4096;
    if (start_info >= identity_mapped - 64) return true;
    const auto* words = reinterpret_cast<const u32*>(start_info);
    if (words[0] != magic) return true;
    u64 line = reinterpret_cast<const u64*>(start_info)[command_line_offset / 8];
    if (line == 0) return false;
    return line >= identity_mapped - longest || has_boot_word(reinterpret_cast<const char*>(line), longest, "nokaslr");
}

/// The CPU's random numbers, and the time, which is all there is on CPUs without.
u64 early_random() {
    u64 random = read_counter();
    constexpr u32 has_rdrand = 1u << 30;
    if (cpuid(1).ecx & has_rdrand) {
        for (int attempt = 0; attempt < 10; ++attempt) {
            u64 value;
            bool good;
            asm volatile("rdrand %0" : "=r"(value), "=@ccc"(good));
            random = mix_bits(random) ^ (good ? value : 0);
            if (good) break;
        }
    }
    return mix_bits(random);
}

/// The pages below the boot CPU's stacks.
bool is_guard(u64 page) {
    u64 exception_guards = page - physical(boot_exception_stack_guards);
    constexpr u64 step = page_size + BOOT_EXCEPTION_STACK_SIZE;
    return page == physical(boot_stack_guard) || (exception_guards < 3 * step && exception_guards % step == 0);
}

void map_image(u64 offset) {
    u64 first_page = physical(kernel_image_begin);
    u64 begin = first_page + offset;
    u64* entry = boot_image_tables + begin % directory_span / page_size;
    for (u64 page = first_page; page < physical(kernel_image_end); page += page_size, ++entry) {
        const MappingFlags& flags = page < physical(kernel_text_end)     ? text
                                    : page < physical(kernel_rodata_end) ? rodata
                                                                         : data;
        *entry = is_guard(page) ? Policy::empty() : Policy::make_leaf({page}, flags, 0);
    }
    u64* directory = boot_image_directory + begin / directory_span % entries;
    for (usize i = 0; i < IMAGE_TABLES; ++i) directory[i] = table_entry(boot_image_tables + i * entries);
}

/// Splits the direct map's first gigabyte as far as it takes to make the constant part of the image read-only.
void protect_alias() {
    if (!Policy::is_table(boot_direct_pointers[0], 2)) {
        for (usize i = 0; i < entries; ++i)
            boot_direct_directories[i] = Policy::make_leaf({i * directory_span}, data, 1);
        boot_direct_pointers[0] = table_entry(boot_direct_directories);
    }
    u64 begin = physical(kernel_image_begin), end = physical(kernel_rodata_end);
    for (usize i = 0; i < alias_tables && begin + i * directory_span < end; ++i) {
        u64* table = boot_alias_tables + i * entries;
        for (usize j = 0; j < entries; ++j) {
            u64 page = begin + i * directory_span + j * page_size;
            table[j] = Policy::make_leaf({page}, page < end ? rodata : data, 0);
        }
        boot_direct_directories[begin / directory_span + i] = table_entry(table);
    }
}

} // namespace

u64 kernel_image_slide() { return kernel_image_offset - kernel_link_offset; }

} // namespace linnet::arch

/// Sets kernel_image_offset; the caller goes on at the image's new address.
extern "C" void arch_place_image(linnet::u64 start_info) {
    using namespace linnet;
    using namespace linnet::arch;
    u64 slide = 0;
    if (!is_randomisation_off(start_info)) slide = scale_random(early_random(), slide_limit / page_size) * page_size;
    if (slide != 0)
        apply_relative_relocations(kernel_relocations_begin, kernel_relocations_end, u64{0} - kernel_link_offset,
                                   slide);
    kernel_image_offset = kernel_link_offset + slide;
    map_image(kernel_image_offset);
    protect_alias();
}
