// The TLB and the root register. With PCID and INVPCID, address spaces keep their entries across switches; QEMU's TCG
// has neither, so that half has never run.
#include "boot.hpp"
#include <arch/cpu.hpp>
#include <arch/mmu.hpp>
#include <arch_impl/features.hpp>
#include <arch_impl/registers.hpp>

namespace linnet::arch {
namespace {

constexpr usize single_flush_limit = 32; // more pages than this: everything is cheaper

bool has_asids() { return cpu_features().pcid && cpu_features().invpcid; }

enum class Invalidate : u64 { Address = 0, Context = 1 };
void invalidate(Invalidate type, Asid asid, u64 address) {
    struct {
        u64 pcid;
        u64 address;
    } descriptor{asid, address};
    asm volatile("invpcid %0, %1" ::"m"(descriptor), "r"(static_cast<u64>(type)) : "memory");
}

void invalidate_page(u64 address) { asm volatile("invlpg (%0)" ::"r"(address) : "memory"); }

} // namespace

constinit const bool tlb_flush_is_broadcast = false;
constinit const usize kernel_root_begin = 256;

u64 direct_map_size() {
    constexpr u32 gigabyte_pages = 1u << 26; // as boot.S decides
    return u64{(cpuid(0x8000'0001).edx & gigabyte_pages) ? 512u : 4u} << 30;
}

PhysAddr kernel_root_table() { return {reinterpret_cast<u64>(boot_root_table) - kernel_image_offset}; }

u32 asid_count() { return has_asids() ? 4096 : 1; }

void activate_user_tables(PhysAddr root, Asid asid, bool flush) {
    u64 value = root.value;
    constexpr u64 keep_entries = u64{1} << 63;
    if (has_asids()) value |= asid | (flush ? 0 : keep_entries);
    write_cr3(value);
}

void deactivate_user_tables() { write_cr3(kernel_root_table().value); }

void flush_user_tlb(VirtAddr address, usize page_count, Asid asid) {
    if (page_count > single_flush_limit) return flush_user_tlb_all(asid);
    const bool by_asid = has_asids();
    for (u64 at = address.value, end = at + page_count * page_size; at != end; at += page_size) {
        if (by_asid)
            invalidate(Invalidate::Address, asid, at);
        else
            invalidate_page(at);
    }
}

void flush_user_tlb_all(Asid asid) {
    if (has_asids())
        invalidate(Invalidate::Context, asid, 0);
    else
        write_cr3(read_cr3());
}

void flush_kernel_tlb(VirtAddr address, usize page_count) {
    if (page_count <= single_flush_limit) {
        for (usize i = 0; i < page_count; ++i) invalidate_page(address.value + i * page_size);
        return;
    }
    // Clearing the global-page bit drops every entry of every address space.
    InterruptState state = save_and_disable_interrupts();
    u64 cr4 = read_cr4();
    write_cr4(cr4 & ~cr4_global_pages);
    write_cr4(cr4);
    restore_interrupts(state);
}

void synchronise_instruction_cache(const void*, usize) { synchronise_instruction_stream(); }

} // namespace linnet::arch
