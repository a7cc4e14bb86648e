// Contract: page-table entries and the TLB. mm::PageCursor is written once over this policy.
//
// <arch_impl/mmu.hpp> defines struct PagingPolicy with static inline functions (names below) and type Entry, and the
// inline TLB functions. Entries of level 0 map page_size; level 1 leaves map huge_page_size.
#pragma once

#include <arch/page.hpp>
#include <concepts>

namespace linnet::arch {

/// Rights and kind of a mapping, independent of the entry format.
struct MappingFlags {
    bool readable : 1 = true;
    bool writable : 1 = false;
    bool executable : 1 = false;
    bool user : 1 = false;
    bool global : 1 = false; // kernel mappings: the same in every address space
    bool device : 1 = false; // uncached, strongly ordered registers
    bool write_combining : 1 = false;
    bool copy_on_write : 1 = false; // software bit: a write fault copies; never together with writable
    bool accessed : 1 = true;
    bool dirty : 1 = false;
    bool soft_dirty : 1 = false; // kept only where PagingPolicy::has_soft_dirty
    u8 protection_key = 0;
    bool operator==(const MappingFlags&) const = default;
};

/// What a PagingPolicy inherits whose entries have no bit for soft-dirty marks (Linux's documentation, "soft-dirty").
struct WithoutSoftDirty {
    static constexpr bool has_soft_dirty = false;
    static constexpr bool is_soft_dirty(u64) { return false; }
    static constexpr u64 with_soft_dirty(u64 entry) { return entry; }
    static constexpr u64 without_soft_dirty(u64 entry) { return entry; }
};

} // namespace linnet::arch

#include <arch_impl/mmu.hpp>

namespace linnet::arch {

template <typename P>
concept PagingPolicyContract = requires(typename P::Entry entry, PhysAddr address, MappingFlags flags, unsigned level) {
    requires sizeof(typename P::Entry) == 8;
    { P::empty() } -> std::same_as<typename P::Entry>;
    { P::is_empty(entry) } -> std::same_as<bool>;       // nothing at all in it
    { P::is_leaf(entry, level) } -> std::same_as<bool>; // maps memory (a PROT_NONE page is a leaf too)
    { P::is_table(entry, level) } -> std::same_as<bool>;
    { P::address(entry, level) } -> std::same_as<PhysAddr>; // of the page or of the next table
    { P::table_address(entry) } -> std::same_as<PhysAddr>;  // the same, of an entry that is_table()
    { P::make_leaf(address, flags, level) } -> std::same_as<typename P::Entry>;
    { P::at_frame(entry, address) } -> std::same_as<typename P::Entry>; // what make_leaf() made for frame 0
    { P::make_table(address) } -> std::same_as<typename P::Entry>;      // user-reachable; rights decided in the leaf
    { P::flags(entry, level) } -> std::same_as<MappingFlags>;           // inverse of make_leaf
    // The leaf with everything but frame, accessed and soft-dirty mark as in `model`.
    { P::with_rights(entry, entry) } -> std::same_as<typename P::Entry>;
    { P::is_accessed(entry) } -> std::same_as<bool>;
    { P::is_dirty(entry) } -> std::same_as<bool>;
    { P::without_write(entry) } -> std::same_as<typename P::Entry>; // for fork: read-only and copy_on_write set
    { P::without_accessed(entry) } -> std::same_as<typename P::Entry>;
    { P::is_soft_dirty(entry) } -> std::same_as<bool>;
    { P::with_soft_dirty(entry) } -> std::same_as<typename P::Entry>;
    // Without the right to write either, so that the next write can set the mark.
    { P::without_soft_dirty(entry) } -> std::same_as<typename P::Entry>;
    { P::make_restricted_table(address) } -> std::same_as<typename P::Entry>; // see below
    { P::is_restricted_table(entry) } -> std::same_as<bool>;                  // of an entry that is_table()
};
static_assert(PagingPolicyContract<PagingPolicy>);

/// Whether leaves have a software bit for soft-dirty marks, as Linux has one on this architecture.
static_assert(std::same_as<decltype(PagingPolicy::has_soft_dirty), const bool>);

/// The entry of a restricted table lets no write through, whatever the leaves below it say, and where this is false
/// nothing else either (RISC-V and LoongArch know no rights of upper entries): the access faults.
static_assert(std::same_as<decltype(PagingPolicy::restricted_tables_are_readable), const bool>);
/// Whether a CPU that takes a page fault forgets what it had of the translation, so that rights which are gained in the
/// handler need no flush.
static_assert(std::same_as<decltype(PagingPolicy::fault_drops_translation), const bool>);

// ---- TLB and address-space registers; all act on the calling CPU ----

/// Identifies an address space in TLB entries; 0 where the CPU has no ASIDs.
using Asid = u16;
/// Number of ASIDs usable, 1 when there are none (then activate() flushes).
u32 asid_count();
/// Makes `root` the user half. When `flush`, entries of `asid` are dropped too (always so where there are no ASIDs).
void activate_user_tables(PhysAddr root, Asid asid, bool flush);
/// Leaves no user mapping reachable (a kernel thread that must not keep a dying address space).
void deactivate_user_tables();
/// Drops `page_count` pages from `address` of `asid` from this CPU's TLB, including cached upper-level entries.
void flush_user_tlb(VirtAddr address, usize page_count, Asid asid);
/// Drops everything of `asid`.
void flush_user_tlb_all(Asid asid);
/// Drops kernel mappings; ~0 pages means all.
void flush_kernel_tlb(VirtAddr address, usize page_count);
/// True when flushes above reach all CPUs by hardware broadcast (AArch64), so that no IPI is needed.
extern const bool tlb_flush_is_broadcast;

/// The root table that holds the kernel half, made by the boot code; mm extends it. Where user and kernel share one
/// root (x86_64, RISC-V), a new address space copies root entries [kernel_root_begin, end) from it; elsewhere that
/// range is empty. All root entries of kernel_area exist before the first user space does, so copies never go stale.
PhysAddr kernel_root_table();
/// First root index of the kernel half in a user root table; == entries per table where the halves are separate.
extern const usize kernel_root_begin;

/// Makes instructions written to [address, +size) through the direct map visible to fetches on this CPU.
void synchronise_instruction_cache(const void* address, usize size);

} // namespace linnet::arch
