// What the parts of AddressSpace share: rights, limits of the user half, and which frames an entry counts.
#pragma once

#include "rmap.hpp"
#include "tlb.hpp"
#include <arch/usercopy.hpp>
#include <mm/address_space.hpp>
#include <mm/knobs.hpp>

namespace linnet::mm {

inline constexpr u64 stack_guard_gap = u64{256} << arch::page_shift; // as Linux's default stack_guard_gap
inline constexpr u64 pages_in(u64 bytes) { return bytes >> arch::page_shift; }
inline constexpr VirtAddr page_floor(VirtAddr address) { return {align_down(address.value, arch::page_size)}; }

/// The end of the page tables' user half: user_address_end rounded up so that its last table can be freed too.
inline constexpr VirtAddr user_tables_end{
    align_up(arch::user_address_end.value, PageTable<arch::PagingPolicy>::span(arch::page_table_levels - 1))};

/// Whether [address, +length) is page aligned and in the user half.
inline bool is_mappable(VirtAddr address, u64 length) {
    return is_aligned(address.value, arch::page_size) && arch::is_user_range(address, length);
}

/// Whether a mapping's rights allow the access. Any right implies reading, so that no architecture's quirk shows.
inline bool allows(u32 prot, arch::Access access) {
    switch (access) {
    case arch::Access::Read:
        return prot != 0;
    case arch::Access::Write:
        return (prot & abi::PROT_WRITE) != 0;
    case arch::Access::Execute:
        return (prot & abi::PROT_EXEC) != 0;
    }
    return false;
}

/// The rights of an entry of `vma` that may not be written through yet.
constexpr arch::MappingFlags read_only_flags(u8 prot, bool is_shared) {
    arch::MappingFlags flags{.readable = prot != 0, .user = true};
    flags.executable = (prot & abi::PROT_EXEC) != 0;
    flags.copy_on_write = !is_shared;
    return flags;
}
/// Those of an entry that is being written through, and may be from now on as far as the mapping allows it.
constexpr arch::MappingFlags full_flags(u8 prot, bool is_shared) {
    arch::MappingFlags flags = read_only_flags(prot, is_shared);
    flags.soft_dirty = true;
    if (!(prot & abi::PROT_WRITE)) return flags;
    flags.copy_on_write = false;
    flags.writable = flags.dirty = true;
    return flags;
}
inline arch::MappingFlags with_key(arch::MappingFlags flags, const Vma& vma) {
    flags.protection_key = vma.protection_key;
    return flags;
}
inline arch::MappingFlags read_only_flags(const Vma& vma) {
    return with_key(read_only_flags(vma.prot, vma.is(vma_shared)), vma);
}
inline arch::MappingFlags full_flags(const Vma& vma) { return with_key(full_flags(vma.prot, vma.is(vma_shared)), vma); }

/// Last-level entries with those rights, but without frame and key, so that a fault puts none together bit by bit: by
/// rights, then by private and shared.
struct LeafModels {
    arch::PagingPolicy::Entry read_only[8][2], full[8][2];
};
inline constexpr LeafModels leaf_models = [] {
    LeafModels models{};
    for (u8 prot = 0; prot < 8; ++prot)
        for (bool is_shared : {false, true}) {
            models.read_only[prot][is_shared] = arch::PagingPolicy::make_leaf({}, read_only_flags(prot, is_shared), 0);
            models.full[prot][is_shared] = arch::PagingPolicy::make_leaf({}, full_flags(prot, is_shared), 0);
        }
    return models;
}();
/// An entry of `vma` without a frame that may not be written through yet.
inline arch::PagingPolicy::Entry read_only_model(const Vma& vma) {
    if (vma.protection_key != 0) return arch::PagingPolicy::make_leaf({}, read_only_flags(vma), 0);
    return leaf_models.read_only[vma.prot][vma.is(vma_shared)];
}
/// One that may be written through, as far as the mapping allows it.
inline arch::PagingPolicy::Entry full_model(const Vma& vma) {
    if (vma.protection_key != 0) return arch::PagingPolicy::make_leaf({}, full_flags(vma), 0);
    return leaf_models.full[vma.prot][vma.is(vma_shared)];
}

inline bool is_physical(const Vma& vma) { return vma.object && vma.object->kind() == VmObject::Kind::Physical; }

inline bool is_inside(const VmObject& object, u64 index) { return index < divide_up(object.size(), arch::page_size); }

inline bool is_secret(const Vma& vma) { return vma.object && vma.object->is_secret(); }
/// Whether others than the program's own instructions may get at its pages: not device memory, not memfd_secret(2).
inline bool is_lendable(const Vma& vma) { return !is_physical(vma) && !is_secret(vma); }
/// Whether mlock(2) and munlock(2) change anything: device memory isn't counted, secret memory is locked for good,
/// droppable memory never.
inline bool is_lockable(const Vma& vma) { return !is_physical(vma) && !is_secret(vma) && !vma.is(vma_droppable); }

/// soft_dirty.cpp: whether a first write to each page has to be noticed.
inline bool tracks_writes(const Vma& vma) { return arch::PagingPolicy::has_soft_dirty && !vma.is(vma_soft_dirty); }
/// The mark of a mapping that is new, where there are such marks.
inline constexpr u32 new_vma_flags = arch::PagingPolicy::has_soft_dirty ? vma_soft_dirty : 0;

inline bool is_key_allocated(u16 keys, int key) { return key >= 0 && key < 16 && (keys >> key & 1); }

/// Rights of an entry of a physical mapping: no copies, and cached as the object says.
inline arch::MappingFlags physical_flags(const Vma& vma, arch::MappingFlags flags) {
    auto caching = static_cast<const PhysicalObject&>(*vma.object).caching();
    flags.copy_on_write = flags.soft_dirty = false;
    flags.device = caching == PhysicalObject::Caching::Uncached;
    flags.write_combining = caching == PhysicalObject::Caching::WriteCombining;
    return flags;
}

/// The table that all of the range lies in, where it is one and not shared with another address space: what happens
/// there needs no walk. Null elsewhere.
[[gnu::always_inline]] inline Page* AddressSpace::find_own_table(VirtAddr begin, VirtAddr end) const {
    if (align_down(begin.value, leaf_table_span) != align_down(end.value - 1, leaf_table_span)) return nullptr;
    Page* table = tables_.find_leaf_table(begin);
    return table && !is_shared_table(*table) ? table : nullptr;
}

inline void AddressSpace::zap_table(Page& table, AddressRange range, Vma& vma, TlbBatch& batch, Zap what) {
    const VirtAddr at = zap_in_table(table, range.begin, range.end, vma, batch, what);
    if (at < range.end) [[unlikely]]
        zap_with_flushes(table, {at, range.end}, vma, batch, what);
}

[[gnu::always_inline]] inline bool AddressSpace::zap(Vma& vma, VirtAddr begin, VirtAddr end, TlbBatch& batch,
                                                     Zap what) {
    Page* table = find_own_table(begin, end);
    if (!table) return zap_by_walk(vma, {begin, end}, batch, what);
    zap_table(*table, {begin, end}, vma, batch, what);
    return true;
}

inline void AddressSpace::count_resident(PageKind kind, i64 pages) {
    if (kind == PageKind::Anonymous)
        resident_anonymous_.fetch_add(pages, std::memory_order_relaxed);
    else if (kind == PageKind::File)
        resident_file_.fetch_add(pages, std::memory_order_relaxed);
    else if (kind == PageKind::Shared)
        resident_shared_.fetch_add(pages, std::memory_order_relaxed);
}

/// The frame that an entry of a mapping owns a reference to; null for the zero page and for what is not RAM of ours.
inline Page* counted_page(const Vma& vma, PhysAddr frame) {
    if (is_physical(vma)) return nullptr;
    Page* page = page_of(frame);
    return page->kind == PageKind::Reserved ? nullptr : page;
}

/// Whether memory is promised to a mapping of these rights: it is private and writable. Once it is (vma_accounted), it
/// stays so when the right to write goes, for pages may have been written.
inline bool is_accountable(u32 prot, u32 vma_flags) {
    return (prot & abi::PROT_WRITE) && !(vma_flags & (vma_shared | vma_no_reserve | vma_hugetlb));
}
/// hugetlb_mappings.cpp: whether a mapping of the pool of huge pages would begin or end at `at`, where it can't.
bool ends_within_huge_page(const Vma& vma, VirtAddr at);

/// overcommit.cpp: pages promised, how many may be, and whether `pages` more may be to an address space of so many.
void commit_pages(i64 pages);
u64 committed_pages();
u64 commit_limit();
bool can_commit(u64 pages, u64 total_pages_of_asker);

void count_locked(i64 pages);
u64 locked_pages_total();

/// Makes instruction fetches see a page that is about to be mapped executable.
inline void sync_code(Page& page) {
    if (page.has(page_code_synced)) return;
    arch::synchronise_instruction_cache(page_data(page), arch::page_size);
    page.set(page_code_synced);
}

} // namespace linnet::mm
