// TLB maintenance, address-space switch and cache maintenance. All TLB operations are broadcast to the inner shareable
// domain, so one CPU's call serves all. (Arm ARM D8.14)
#include <arch/mmu.hpp>
#include <arch_impl/registers.hpp>

extern "C" linnet::u64 kernel_root_page[512], identity_root_page[512];

namespace linnet::arch {

namespace {

/// An empty root: TTBR0 of kernel threads.
alignas(page_size) u64 empty_root[512];

constexpr unsigned asid_shift = 48;
/// Beyond this many pages one operation on everything is cheaper than one a page.
constexpr usize most_single_flushes = 256;

PhysAddr image_address(const void* symbol) { return {reinterpret_cast<u64>(symbol) - kernel_image_offset}; }

void write_user_root(PhysAddr root, Asid asid) {
    WRITE_SYSTEM_REGISTER(ttbr0_el1, root.value | u64{asid} << asid_shift);
    asm volatile("isb" : : : "memory");
}

} // namespace

const bool tlb_flush_is_broadcast = true;
const usize kernel_root_begin = usize{1} << entries_per_table_shift; // the kernel's root is its own

u32 asid_count() {
    constexpr unsigned sixteen_bits = 2;
    static constinit u32 count = 0;
    if (count == 0) count = id_field(READ_SYSTEM_REGISTER(id_aa64mmfr0_el1), 4) == sixteen_bits ? 65536 : 256;
    return count;
}

void activate_user_tables(PhysAddr root, Asid asid, bool flush) {
    write_user_root(root, asid);
    if (flush) flush_user_tlb_all(asid);
}

void deactivate_user_tables() { write_user_root(image_address(empty_root), 0); }

void flush_user_tlb(VirtAddr address, usize page_count, Asid asid) {
    if (page_count > most_single_flushes) return flush_user_tlb_all(asid);
    asm volatile("dsb ishst" : : : "memory");
    for (usize i = 0; i < page_count; ++i) {
        u64 operand = ((address.value >> page_shift) + i) & ((u64{1} << 44) - 1);
        asm volatile("tlbi vae1is, %0" : : "r"(operand | u64{asid} << asid_shift) : "memory");
    }
    asm volatile("dsb ish\n\tisb" : : : "memory");
}

void flush_user_tlb_all(Asid asid) {
    asm volatile("dsb ishst\n\ttlbi aside1is, %0\n\tdsb ish\n\tisb" : : "r"(u64{asid} << asid_shift) : "memory");
}

void flush_kernel_tlb(VirtAddr address, usize page_count) {
    if (page_count > most_single_flushes) {
        asm volatile("dsb ishst\n\ttlbi vmalle1is\n\tdsb ish\n\tisb" : : : "memory");
        return;
    }
    asm volatile("dsb ishst" : : : "memory");
    for (usize i = 0; i < page_count; ++i) {
        u64 operand = ((address.value >> page_shift) + i) & ((u64{1} << 44) - 1);
        asm volatile("tlbi vaae1is, %0" : : "r"(operand) : "memory");
    }
    asm volatile("dsb ish\n\tisb" : : : "memory");
}

PhysAddr kernel_root_table() { return image_address(kernel_root_page); }

void synchronise_instruction_cache(const void* address, usize size) {
    u64 type = READ_SYSTEM_REGISTER(ctr_el0);
    u64 data_line = u64{4} << id_field(type, 16), code_line = u64{4} << id_field(type, 0);
    u64 begin = reinterpret_cast<u64>(address), end = begin + size;
    constexpr u64 no_clean_needed = 1 << 28, no_invalidate_needed = 1 << 29; // CTR_EL0.IDC, DIC
    if (!(type & no_clean_needed))
        for (u64 at = align_down(begin, data_line); at < end; at += data_line)
            asm volatile("dc cvau, %0" : : "r"(at) : "memory");
    asm volatile("dsb ish" : : : "memory");
    if (!(type & no_invalidate_needed)) {
        // The user's mapping has another address; a virtually indexed cache would keep the old line.
        constexpr u64 physically_indexed = 3;
        if (((type >> 14) & 3) == physically_indexed)
            for (u64 at = align_down(begin, code_line); at < end; at += code_line)
                asm volatile("ic ivau, %0" : : "r"(at) : "memory");
        else
            asm volatile("ic ialluis" : : : "memory");
        asm volatile("dsb ish" : : : "memory");
    }
    asm volatile("isb" : : : "memory");
}

} // namespace linnet::arch
