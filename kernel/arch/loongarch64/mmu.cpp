// Address-space registers and the TLB. The refill handler (trap.S) walks the tables anew for each entry, so
// no upper-level entries are cached.
//
// A TLB entry holds a pair of pages and is global only when both halves are; half-empty pairs of the kernel
// area are thus tagged with whatever ASID was current. So flushes of kernel mappings drop everything.
#include <arch/cpu.hpp>
#include <arch/mmu.hpp>

#include "start.hpp"

extern "C" char arch_empty_table[], arch_kernel_root[];

namespace linnet::arch {

const bool tlb_flush_is_broadcast = false;
const usize kernel_root_begin = usize{1} << entries_per_table_shift; // the kernel's root is its own

PhysAddr kernel_root_table() { return image_virt_to_phys(arch_kernel_root); }

u32 asid_count() { return u32{1} << (LINNET_READ_CSR(LINNET_CSR_ASID) >> csr::asid_bits_shift & 0xff); }

static void flush_asid(Asid asid) { asm volatile("invtlb 4, %0, $zero" : : "r"(u64{asid}) : "memory"); }

static void write_root(PhysAddr root, Asid asid) {
    InterruptState state = save_and_disable_interrupts();
    LINNET_WRITE_CSR(LINNET_CSR_PGDL, root.value);
    (void)LINNET_EXCHANGE_CSR(LINNET_CSR_ASID, asid, csr::asid_mask);
    restore_interrupts(state);
}

void activate_user_tables(PhysAddr root, Asid asid, bool flush) {
    write_root(root, asid);
    if (flush || asid_count() == 1) flush_asid(asid);
}

void deactivate_user_tables() {
    write_root(image_virt_to_phys(arch_empty_table), 0);
    if (asid_count() == 1) flush_asid(0);
}

static void flush_page(u64 address, Asid asid) {
    asm volatile("invtlb 5, %0, %1" : : "r"(u64{asid}), "r"(address) : "memory");
}

void flush_user_tlb(VirtAddr address, usize page_count, Asid asid) {
    constexpr usize most_single_pages = 32;
    if (page_count == 1) return flush_page(address.value, asid);
    if (page_count > most_single_pages) return flush_asid(asid);
    for (usize i = 0; i < page_count; ++i) flush_page(address.value + i * page_size, asid);
}

void flush_user_tlb_all(Asid asid) { flush_asid(asid); }

void flush_kernel_tlb(VirtAddr, usize) { asm volatile("invtlb 0, $zero, $zero" : : : "memory"); }

void synchronise_instruction_cache(const void*, usize) { synchronise_instruction_stream(); }

} // namespace linnet::arch
