// satp and the TLB.
//
// sfence.vma with an address drops only leaf entries (privileged specification, "Supervisor Memory-Management
// Fence"), but the contract covers upper-level entries too, so all flushes of user mappings are for a whole
// ASID.
#include <arch/cpu.hpp>
#include <arch/mmu.hpp>

#include "isa.hpp"

namespace linnet::arch {

const bool tlb_flush_is_broadcast = false;

u32 asid_count() { return u32{1} << isa().asid_bits; }

static bool has_asids() { return isa().asid_bits != 0; }

static void flush_asid(Asid asid) { asm volatile("sfence.vma zero, %0" : : "r"(u64{asid}) : "memory"); }

static void write_satp(PhysAddr root, Asid asid) {
    LINNET_WRITE_CSR(satp, csr::satp_sv48 | u64{asid} << csr::satp_asid_shift | root.value >> page_shift);
}

void activate_user_tables(PhysAddr root, Asid asid, bool flush) {
    write_satp(root, asid);
    if (flush || !has_asids()) flush_asid(asid);
}

void deactivate_user_tables() {
    // ASID 0 is the kernel's own where there are others, so no user entry carries it.
    write_satp(kernel_root_table(), 0);
    if (!has_asids()) flush_asid(0);
}

void flush_user_tlb(VirtAddr, usize, Asid asid) { flush_asid(asid); }

void flush_user_tlb_all(Asid asid) { flush_asid(asid); }

void flush_kernel_tlb(VirtAddr address, usize page_count) {
    constexpr usize most_single_pages = 32;
    if (page_count > most_single_pages) {
        asm volatile("sfence.vma" : : : "memory");
        return;
    }
    for (usize i = 0; i < page_count; ++i)
        asm volatile("sfence.vma %0" : : "r"(address.value + i * page_size) : "memory");
}

void synchronise_instruction_cache(const void*, usize) { synchronise_instruction_stream(); }

} // namespace linnet::arch
