// Huge pages in an address space: faults on them, splitting, taking out, and what fork does.
//
// Invariants: an entry that maps a huge page lies wholly within one mapping (split() sees to it). Those of private
// memory are made under the shared mmap lock, and go as a whole or change their rights under it, but become a table
// only with the lock held exclusively, so that no fault meets the moment between the two. Those of shared memory always
// go as a whole, for the object still has the pages.
#include "huge_pages.hpp"
#include "vma_edit.hpp"

namespace linnet::mm {

namespace {

bool wants_huge_pages(const Vma& vma) {
    if (vma.is(vma_no_huge_page) || vma.is(vma_special)) return false;
    switch (transparent_hugepage) {
    case huge_always:
        return true;
    case huge_madvise:
        return vma.is(vma_huge_page);
    default:
        return false;
    }
}

bool wants_shared_huge_pages(const Vma& vma, VirtAddr base) {
    VmObject& object = *vma.object;
    if (!vma.is(vma_shared) || vma.is(vma_hugetlb) || object.kind() != VmObject::Kind::Shared || is_secret(vma))
        return false;
    const u64 first = vma.index_of(base);
    if (first % frames_per_huge_page != 0 || !is_inside(object, first + frames_per_huge_page - 1)) return false;
    if (object.has_huge_page(first)) return true;
    if (vma.is(vma_no_huge_page)) return false;
    const u64 mode = shared_hugepage;
    if (mode == shared_huge_force) return true;
    if (!object.is_unmounted()) return false;
    if (mode == shared_huge_advise) return vma.is(vma_huge_page);
    return mode == shared_huge_always || mode == shared_huge_within_size;
}

Effort effort_for(const Vma& vma) {
    const u64 mode = transparent_hugepage_defrag;
    const bool by_advice = mode == defrag_madvise || mode == defrag_defer_or_madvise;
    return mode == defrag_always || (by_advice && vma.is(vma_huge_page)) ? Effort::Shrink : Effort::Try;
}

} // namespace

bool AddressSpace::may_be_huge(const Vma& vma, VirtAddr address) const {
    const VirtAddr base = huge_page_floor(address);
    if (base < vma.begin || base >= vma.end || vma.end - base < arch::huge_page_size) return false;
    if (huge_pages_disabled.load(std::memory_order_relaxed)) return false;
    return vma.is_anonymous() ? wants_huge_pages(vma) : wants_shared_huge_pages(vma, base);
}

/// The first touch, by this address space, of shared memory that may be huge. False when single pages must do.
bool AddressSpace::map_shared_huge_page(Vma& vma, VirtAddr address, arch::Access access) {
    VmObject& object = *vma.object;
    const VirtAddr base = huge_page_floor(address);
    const u64 first = vma.index_of(base);
    auto count_table = [&](Page&) { table_pages_.fetch_add(1, std::memory_order_relaxed); };
    if (!object.make_huge_page(first)) {
        count_event(huge_page_counters.fault_fallback);
        return false;
    }
    auto slot = tables_.make_leaf_slot(base, count_table);
    if (!slot) return false;
    HugeTableCursor cursor(*slot);
    // Truncation stores the size, and a hole the loss of pages, before they look for entries.
    if (!is_inside(object, first + frames_per_huge_page - 1)) return true; // the access will tell
    Page* head = object.map_huge_page(first);
    if (!head) return false;
    const bool may_write = access == arch::Access::Write || !tracks_writes(vma);
    const arch::MappingFlags flags = may_write ? full_flags(vma) : read_only_flags(vma);
    Entry none = Policy::empty();
    const bool done = cursor.compare_exchange(none, Policy::make_leaf(page_address(*head), flags, 1));
    cursor.unlock();
    if (!done)
        drop_huge_mapping(*head); // another thread was faster
    else
        count_resident(PageKind::Shared, i64{frames_per_huge_page});
    return true;
}

/// The first touch of memory that may be huge. False when single pages must do.
bool AddressSpace::map_huge_page(Vma& vma, VirtAddr address, arch::Access access) {
    if (vma.object) return map_shared_huge_page(vma, address, access);
    auto count_table = [&](Page&) { table_pages_.fetch_add(1, std::memory_order_relaxed); };
    auto slot = tables_.make_leaf_slot(huge_page_floor(address), count_table);
    if (!slot) return false;
    const bool writes = access == arch::Access::Write || !huge_zero_pages;
    Page* head = writes ? allocate_huge_page(effort_for(vma)) : huge_zero_page();
    if (!head) {
        count_event(huge_page_counters.fault_fallback);
        return false;
    }
    if (writes) vma.has_private_pages.store(true, std::memory_order_relaxed);
    Entry none = Policy::empty();
    const arch::MappingFlags flags = writes ? full_flags(vma) : read_only_flags(vma);
    if (!Table::compare_exchange(*slot, none, Policy::make_leaf(page_address(*head), flags, 1))) {
        drop_huge_mapping(*head); // another thread was faster: the access will tell
        return true;
    }
    if (!writes) return true;
    count_event(huge_page_counters.fault_alloc);
    count_resident(PageKind::Anonymous, i64{frames_per_huge_page});
    return true;
}

/// A fault where a huge page is mapped: marks to set, or a write to what is shared copy-on-write.
std::expected<FaultResult, AddressSpace::Obstacle> AddressSpace::fault_huge(Vma& vma, Entry* slot, VirtAddr address,
                                                                            arch::Access access) {
    const bool writes = access == arch::Access::Write;
    Entry entry;
    {
        HugeTableCursor cursor(slot);
        entry = cursor.entry();
        if (!Policy::is_leaf(entry, 1)) return FaultResult::Resolved; // gone again: the access will tell
        arch::MappingFlags flags = Policy::flags(entry, 1);
        const Page& head = *page_of(Policy::address(entry, 1));
        bool may_go_on = !writes || flags.writable;
        if (!may_go_on && (vma.is(vma_shared) || (head.kind == PageKind::Anonymous && is_only_huge_mapping(head)))) {
            if (vma.is(vma_shared) && !(vma.prot & abi::PROT_WRITE)) return FaultResult::SegvAccErr; // by force
            flags = full_flags(vma);
            may_go_on = true;
        }
        if (may_go_on) {
            // Processors without hardware marks fault until the entry is marked.
            flags.accessed = true;
            flags.dirty |= writes && flags.writable;
            flags.readable = vma.prot != 0;
            flags.executable = (vma.prot & abi::PROT_EXEC) != 0;
            while (!cursor.compare_exchange(entry, Policy::make_leaf(Policy::address(entry, 1), flags, 1))) {
            }
            cursor.unlock();
            flush_here(address);
            return FaultResult::Resolved;
        }
        if (head.kind != PageKind::Reserved) return std::unexpected(Obstacle::HugePage);
    }
    return replace_huge_zeros(vma, slot, address, entry);
}

/// The first write to where the block of zeros was read.
std::expected<FaultResult, AddressSpace::Obstacle> AddressSpace::replace_huge_zeros(Vma& vma, Entry* slot,
                                                                                    VirtAddr address, Entry seen) {
    Page* head = allocate_huge_page(effort_for(vma));
    if (!head) {
        count_event(huge_page_counters.fault_fallback);
        return std::unexpected(Obstacle::HugePage);
    }
    vma.has_private_pages.store(true, std::memory_order_relaxed);
    TlbBatch batch(*this);
    HugeTableCursor cursor(slot);
    Entry entry = cursor.entry();
    if (!Policy::is_leaf(entry, 1) || Policy::address(entry, 1) != Policy::address(seen, 1)) {
        cursor.unlock();
        drop_huge_mapping(*head);
        return FaultResult::Resolved;
    }
    cursor.set(Policy::make_leaf(page_address(*head), full_flags(vma), 1));
    cursor.unlock();
    count_event(huge_page_counters.fault_alloc);
    count_resident(PageKind::Anonymous, i64{frames_per_huge_page});
    const VirtAddr base = huge_page_floor(address);
    batch.note_range(base, base + arch::huge_page_size);
    return FaultResult::Resolved;
}

/// Gives the huge page that covers `address`, if there is one, entries of its own for its frames. The mmap lock is held
/// exclusively. ENOMEM.
Result<void> AddressSpace::split_huge_leaf(VirtAddr address) {
    if (!has_huge_pages_.load(std::memory_order_relaxed)) return {};
    const VirtAddr base = huge_page_floor(address);
    claim_range(base, base + arch::huge_page_size);
    Entry* slot = tables_.find_leaf_slot(address);
    if (!slot || !Policy::is_leaf(Table::load(slot), 1)) return {};
    Page& head = *page_of(Policy::address(Table::load(slot), 1));
    if (head.kind == PageKind::Hugetlb) return error(Errno::EINVAL);
    if (head.kind != PageKind::Anonymous) { // zeros, or pages of an object: they come back by faults
        TlbBatch batch(*this);
        zap_huge(slot, {base, base + arch::huge_page_size}, batch, Zap::All);
        return {};
    }
    Page* table = TRY(allocate_page_table());
    // No CPU may have translations of both sizes at a time. Threads that run meanwhile fault and wait.
    const Entry entry = Table::exchange(slot, Policy::empty());
    flush_range(base, ~u64{0});
    const arch::MappingFlags flags = Policy::flags(entry, 1);
    PhysAddr frame = page_address(head);
    Entry* small = Table::entries(*table);
    for (u64 i = 0; i < frames_per_huge_page; ++i, frame = frame + arch::page_size)
        Table::store(small + i, Policy::make_leaf(frame, flags, 0));
    table->map_count.store(frames_per_huge_page, std::memory_order_relaxed);
    split_huge_mapping(head);
    table_pages_.fetch_add(1, std::memory_order_relaxed);
    Table::store(slot, Policy::make_table(page_address(*table)));
    return {};
}

/// The mmap lock is held, shared at least, or the mapping's object's mappings lock.
void AddressSpace::zap_huge(Entry* slot, AddressRange range, TlbBatch& batch, Zap what) {
    if (batch.is_full()) batch.flush();
    HugeTableCursor cursor(slot);
    const Entry entry = cursor.entry();
    if (!Policy::is_leaf(entry, 1)) return;
    Page& head = *page_of(Policy::address(entry, 1));
    const PageKind kind = head.kind;
    const bool is_private = is_private_block(head);
    if (is_private && what == Zap::KeepPrivate) return;
    VERIFY(!is_private || range.end - range.begin == arch::huge_page_size);
    cursor.exchange(Policy::empty());
    cursor.unlock();
    count_resident(kind, -i64{frames_per_huge_page});
    if (kind == PageKind::Hugetlb) hugetlb_pages_.fetch_sub(1, std::memory_order_relaxed);
    if (batch.is_dead()) return drop_huge_mapping(head);
    const VirtAddr base = huge_page_floor(range.begin);
    batch.note_range(base, base + arch::huge_page_size);
    if (kind != PageKind::Reserved) batch.add_huge_page(head);
}

/// Fork: the block is shared until one side writes. The mmap lock is held exclusively.
Result<void> AddressSpace::copy_huge_entry(AddressSpace& child, VirtAddr base, Entry* slot, TlbBatch& batch) {
    Entry entry = Table::load(slot);
    Page& head = *page_of(Policy::address(entry, 1));
    if (!is_private_block(head)) return {}; // comes back by a fault
    auto count_table = [&](Page&) { child.table_pages_.fetch_add(1, std::memory_order_relaxed); };
    Entry* child_slot = TRY(child.tables_.make_leaf_slot(base, count_table));
    if (Policy::flags(entry, 1).writable) batch.note_range(base, base + arch::huge_page_size);
    while (!Table::compare_exchange(slot, entry, Policy::without_write(entry))) {
    }
    note_huge_mapping(head);
    Table::store(child_slot, Policy::without_write(entry));
    child.count_resident(head.kind, i64{frames_per_huge_page});
    if (head.kind == PageKind::Hugetlb) child.hugetlb_pages_.fetch_add(1, std::memory_order_relaxed);
    return {};
}

} // namespace linnet::mm
