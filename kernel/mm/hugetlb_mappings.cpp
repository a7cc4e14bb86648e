// Mappings of the pool of huge pages: faults, and what their promise is.
//
// Entries are of one level only and never split: whatever would make a mapping end within a huge page is EINVAL. A
// private page belongs to the entries that map it (its frames have no object), a shared one to the object.
#include "huge_pages.hpp"
#include "vma_edit.hpp"
#include <mm/huge_pool.hpp>

namespace linnet::mm {

namespace {

HugetlbObject& pool_object(const Vma& vma) { return static_cast<HugetlbObject&>(*vma.object); }

void copy_huge_page(Page& to, Page& from) {
    for (u64 i = 0; i < frames_per_huge_page; ++i) copy_page(page_data((&to)[i]), page_data((&from)[i]));
}

} // namespace

bool ends_within_huge_page(const Vma& vma, VirtAddr at) {
    return vma.is(vma_hugetlb) && !is_aligned(at.value, arch::huge_page_size);
}

/// A block for one private entry of the mapping. It has one reference to each frame, which note_huge_mapping() has not
/// counted as a mapping.
Page* AddressSpace::take_pool_page(Vma& vma) {
    const bool has_promise = vma.is(vma_has_promise);
    return pool_object(vma).take_private(has_promise ? HugetlbObject::Promise::Used : HugetlbObject::Promise::Kept);
}

/// Enters a block that a private mapping owns. False when another thread was faster.
bool AddressSpace::enter_pool_page(HugeTableCursor& cursor, Entry expected, Page& head, arch::MappingFlags flags) {
    if (!cursor.compare_exchange(expected, Policy::make_leaf(page_address(head), flags, 1))) return false;
    for (u64 i = 0; i < frames_per_huge_page; ++i) note_mapped((&head)[i]);
    hugetlb_pages_.fetch_add(1, std::memory_order_relaxed);
    return true;
}

void give_back_pool_page(Page& head) {
    for (u64 i = 0; i < frames_per_huge_page; ++i) unref_page((&head)[i]);
}

/// The mmap lock is held, shared at least. Without a page in the pool it is SIGBUS (Linux's documentation).
FaultResult AddressSpace::fault_hugetlb(Vma& vma, VirtAddr address, arch::Access access) {
    const VirtAddr base = huge_page_floor(address);
    auto count_table = [&](Page&) { table_pages_.fetch_add(1, std::memory_order_relaxed); };
    auto made = tables_.make_leaf_slot(base, count_table);
    if (!made) return FaultResult::OutOfMemory;
    Entry* slot = *made;
    const Entry entry = Table::load(slot);
    if (Policy::is_leaf(entry, 1)) {
        const bool is_refused = access == arch::Access::Write && !Policy::flags(entry, 1).writable;
        if (is_refused && !vma.is(vma_shared)) return copy_pool_page(vma, slot, base);
        return fault_huge(vma, slot, address, access).value_or(FaultResult::Resolved);
    }
    const u64 first = vma.index_of(base);
    if (!is_inside(*vma.object, first)) return FaultResult::BusAdrErr;
    if (vma.is(vma_shared) || (vma.object->has_huge_page(first) && access != arch::Access::Write)) {
        if (!vma.object->make_huge_page(first)) return FaultResult::BusAdrErr;
        HugeTableCursor cursor(slot);
        if (!is_inside(*vma.object, first)) return FaultResult::BusAdrErr;
        Page* head = vma.object->map_huge_page(first);
        if (!head) return FaultResult::Resolved; // truncated: the access will tell
        arch::MappingFlags flags = vma.is(vma_shared) ? full_flags(vma) : read_only_flags(vma);
        Entry none = Policy::empty();
        const bool done = cursor.compare_exchange(none, Policy::make_leaf(page_address(*head), flags, 1));
        cursor.unlock();
        if (!done)
            drop_huge_mapping(*head);
        else
            hugetlb_pages_.fetch_add(1, std::memory_order_relaxed);
        return FaultResult::Resolved;
    }
    Page* head = take_pool_page(vma);
    if (!head) return FaultResult::BusAdrErr;
    // The object's page, where there is one, is what a private write begins with.
    if (PageRef original = vma.object->find_page(first)) copy_huge_page(*head, *original);
    vma.has_private_pages.store(true, std::memory_order_relaxed);
    HugeTableCursor cursor(slot);
    const bool done = enter_pool_page(cursor, Policy::empty(), *head, full_flags(vma));
    cursor.unlock();
    if (!done) give_back_pool_page(*head);
    return FaultResult::Resolved;
}

/// A write to a private huge page that is shared with a child, or still the object's.
FaultResult AddressSpace::copy_pool_page(Vma& vma, Entry* slot, VirtAddr base) {
    Entry entry;
    Page* original;
    {
        HugeTableCursor cursor(slot);
        entry = cursor.entry();
        if (!Policy::is_leaf(entry, 1) || Policy::flags(entry, 1).writable) return FaultResult::Resolved;
        original = page_of(Policy::address(entry, 1));
        if (is_only_huge_mapping(*original)) {
            cursor.set(Policy::make_leaf(page_address(*original), full_flags(vma), 1));
            cursor.unlock();
            flush_here(base);
            return FaultResult::Resolved;
        }
        note_huge_mapping(*original); // stays while it is copied
    }
    Page* copy = take_pool_page(vma);
    if (!copy) {
        drop_huge_mapping(*original);
        return FaultResult::BusAdrErr;
    }
    copy_huge_page(*copy, *original);
    vma.has_private_pages.store(true, std::memory_order_relaxed);
    TlbBatch batch(*this);
    HugeTableCursor cursor(slot);
    entry = cursor.entry();
    const bool is_same = Policy::is_leaf(entry, 1) && page_of(Policy::address(entry, 1)) == original;
    const bool done = is_same && enter_pool_page(cursor, entry, *copy, full_flags(vma));
    cursor.unlock();
    drop_huge_mapping(*original); // ours
    if (!done) {
        give_back_pool_page(*copy); // the access will tell
        return FaultResult::Resolved;
    }
    hugetlb_pages_.fetch_sub(1, std::memory_order_relaxed);
    batch.note_range(base, base + arch::huge_page_size);
    batch.add_huge_page(*original); // the entry's
    return FaultResult::Resolved;
}

/// A private mapping goes: what was promised for pages that it never touched is free again. Before zap().
void AddressSpace::give_back_promise(const Vma& vma) {
    if (!vma.is(vma_has_promise)) return;
    u64 untouched = vma.page_count() / frames_per_huge_page;
    tables_.for_each_leaf_slot(
        vma.begin, vma.end, [](Page&, VirtAddr, VirtAddr, Entry*) {},
        [&](VirtAddr, VirtAddr, Entry* slot) {
            if (page_of(Policy::address(Table::load(slot), 1))->object == nullptr) --untouched;
        });
    pool_object(vma).give_back_promise(untouched);
}

} // namespace linnet::mm
