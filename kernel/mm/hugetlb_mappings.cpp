// Mappings of the pool of huge pages: faults, and what their promise is.
//
// Entries are of one level only and never split: whatever would make a mapping end within a huge page is EINVAL. A
// private page belongs to the entries that map it (its frames have no object), a shared one to the object.
//
// Faults on one private page of an address space take turns, so that none of them finds the pool empty while another
// has the block that is meant for the page.
#include "huge_pages.hpp"
#include "vma_edit.hpp"
#include <mm/huge_pool.hpp>

namespace linnet::mm {

namespace {

constexpr usize fault_lock_count = 16; // a power of two
constinit core::LockClass fault_lock_class("huge page fault");
template <usize... numbers>
struct FaultLocks {
    core::Mutex locks[sizeof...(numbers)] = {((void)numbers, core::Mutex(fault_lock_class))...};
};
template <usize... numbers>
constexpr FaultLocks<numbers...> make_fault_locks(std::index_sequence<numbers...>) {
    return {};
}
[[clang::no_destroy]] constinit auto fault_locks = make_fault_locks(std::make_index_sequence<fault_lock_count>());

core::Mutex& fault_lock(const AddressSpace& space, VirtAddr base) {
    const u64 number = base.value / arch::huge_page_size + reinterpret_cast<uintptr_t>(&space) / sizeof(AddressSpace);
    return fault_locks.locks[(number ^ number / fault_lock_count) % fault_lock_count];
}

u64 page_number(const Vma& vma, VirtAddr base) { return vma.index_of(base) / frames_per_huge_page; }

void copy_huge_page(Page& to, Page& from) {
    for (u64 i = 0; i < frames_per_huge_page; ++i) copy_page(page_data((&to)[i]), page_data((&from)[i]));
}

} // namespace

bool ends_within_huge_page(const Vma& vma, VirtAddr at) {
    return vma.is(vma_hugetlb) && !is_aligned(at.value, arch::huge_page_size);
}

/// Enters a block that a private mapping owns. False when what is there has changed.
bool AddressSpace::enter_pool_page(HugeTableCursor& cursor, Entry expected, Page& head, arch::MappingFlags flags) {
    if (!cursor.compare_exchange(expected, Policy::make_leaf(page_address(head), flags, 1))) return false;
    for (u64 i = 0; i < frames_per_huge_page; ++i) note_mapped((&head)[i]);
    hugetlb_pages_.fetch_add(1, std::memory_order_relaxed);
    return true;
}

/// The mmap lock is held, shared at least. Without a page in the pool it is SIGBUS (Linux's documentation).
FaultResult AddressSpace::fault_hugetlb(Vma& vma, VirtAddr address, arch::Access access) {
    const VirtAddr base = huge_page_floor(address);
    auto count_table = [&](Page&) { table_pages_.fetch_add(1, std::memory_order_relaxed); };
    auto made = tables_.make_leaf_slot(base, count_table);
    if (!made) return FaultResult::OutOfMemory;
    Entry* slot = *made;
    if (vma.is(vma_shared)) {
        if (Policy::is_leaf(Table::load(slot), 1))
            return fault_huge(vma, slot, address, access).value_or(FaultResult::Resolved);
        return map_object_pool_page(vma, slot, base);
    }
    core::MutexGuard guard(fault_lock(*this, base));
    const Entry entry = Table::load(slot);
    if (Policy::is_leaf(entry, 1)) {
        const bool is_refused = access == arch::Access::Write && !Policy::flags(entry, 1).writable;
        if (is_refused) return copy_pool_page(vma, slot, base);
        return fault_huge(vma, slot, address, access).value_or(FaultResult::Resolved);
    }
    const u64 first = vma.index_of(base);
    if (!is_inside(*vma.object, first) || vma.lost_pages.load(std::memory_order_acquire)) return FaultResult::BusAdrErr;
    if (access != arch::Access::Write && vma.object->has_huge_page(first)) return map_object_pool_page(vma, slot, base);
    const PoolBlock block = take_pool_block(vma.promise.get(), page_number(vma, base));
    if (!block.head) return FaultResult::BusAdrErr;
    // The object's page, where there is one, is what a private write begins with.
    if (PageRef original = vma.object->find_page(first)) copy_huge_page(*block.head, *original);
    vma.has_private_pages.store(true, std::memory_order_relaxed);
    HugeTableCursor cursor(slot);
    const bool done = enter_pool_page(cursor, Policy::empty(), *block.head, full_flags(vma));
    cursor.unlock();
    if (!done) return_pool_block(block, vma.promise.get(), page_number(vma, base));
    return FaultResult::Resolved;
}

/// A page of the object: for a private mapping, to be read until it is written to.
FaultResult AddressSpace::map_object_pool_page(Vma& vma, Entry* slot, VirtAddr base) {
    const u64 first = vma.index_of(base);
    if (!is_inside(*vma.object, first) || !vma.object->make_huge_page(first)) return FaultResult::BusAdrErr;
    HugeTableCursor cursor(slot);
    if (!is_inside(*vma.object, first)) return FaultResult::BusAdrErr;
    Page* head = vma.object->map_huge_page(first);
    if (!head) return FaultResult::Resolved; // truncated: the access will tell
    const arch::MappingFlags flags = vma.is(vma_shared) ? full_flags(vma) : read_only_flags(vma);
    Entry none = Policy::empty();
    const bool done = cursor.compare_exchange(none, Policy::make_leaf(page_address(*head), flags, 1));
    cursor.unlock();
    if (!done)
        drop_huge_mapping(*head); // another thread was faster
    else
        hugetlb_pages_.fetch_add(1, std::memory_order_relaxed);
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
    const PoolBlock copy = take_pool_block(vma.promise.get(), page_number(vma, base));
    if (!copy.head) {
        drop_huge_mapping(*original);
        return take_from_children(vma, base, *original) ? FaultResult::Resolved : FaultResult::BusAdrErr;
    }
    copy_huge_page(*copy.head, *original);
    vma.has_private_pages.store(true, std::memory_order_relaxed);
    TlbBatch batch(*this);
    HugeTableCursor cursor(slot);
    entry = cursor.entry();
    const bool is_same = Policy::is_leaf(entry, 1) && page_of(Policy::address(entry, 1)) == original;
    const bool done = is_same && enter_pool_page(cursor, entry, *copy.head, full_flags(vma));
    cursor.unlock();
    drop_huge_mapping(*original); // ours
    if (!done) {
        return_pool_block(copy, vma.promise.get(), page_number(vma, base)); // the access will tell
        return FaultResult::Resolved;
    }
    hugetlb_pages_.fetch_sub(1, std::memory_order_relaxed);
    batch.note_range(base, base + arch::huge_page_size);
    batch.add_huge_page(*original); // the entry's
    return FaultResult::Resolved;
}

/// Who reserved pages gets them: where the pool is empty, those who inherited a private page by fork lose it. False
/// when the page still has others. The caller's mapping keeps `head` alive.
bool AddressSpace::take_from_children(const Vma& owner, VirtAddr base, Page& head) {
    if (!owner.promise || !is_private_block(head)) return false;
    const u64 index = owner.index_of(base);
    owner.object->for_each_mapping([&](ObjectMapping& mapping) {
        auto& other = static_cast<Vma&>(mapping);
        if (&other == &owner || other.is(vma_shared) || other.promise) return;
        if (index < other.first_index || index - other.first_index >= other.page_count()) return;
        other.space->lose_pool_page(other, other.begin + ((index - other.first_index) << arch::page_shift), head);
    });
    return head.map_count.load(std::memory_order_acquire) == 1;
}

/// Takes out this very page; the mapping is to see that it is gone, not zeros. Its object's mappings lock is held.
void AddressSpace::lose_pool_page(Vma& vma, VirtAddr base, Page& head) {
    Entry* slot = tables_.find_leaf_slot(base);
    if (!slot || !Policy::is_leaf(Table::load(slot), 1)) return;
    TlbBatch batch(*this);
    HugeTableCursor cursor(slot);
    const Entry entry = cursor.entry();
    if (!Policy::is_leaf(entry, 1) || page_of(Policy::address(entry, 1)) != &head) return;
    vma.lost_pages.store(true, std::memory_order_release);
    cursor.exchange(Policy::empty());
    cursor.unlock();
    hugetlb_pages_.fetch_sub(1, std::memory_order_relaxed);
    batch.note_range(base, base + arch::huge_page_size);
    batch.add_huge_page(head);
}

/// mremap(2): addresses must be a huge page's, lengths are rounded up. What is reserved doesn't grow with a mapping, so
/// mappings don't either, and none stays beside the moved one.
Result<void> AddressSpace::round_to_pool_pages(RemapRequest& request) {
    const u64 old_length = align_up(request.old_length, arch::huge_page_size);
    if (request.new_length > old_length || (request.flags & abi::MREMAP_DONTUNMAP)) return error(Errno::EINVAL);
    request.old_length = old_length;
    request.new_length = align_up(request.new_length, arch::huge_page_size);
    const bool has_target = (request.flags & abi::MREMAP_FIXED) != 0;
    const VirtAddr from = request.old_address, to = request.new_address;
    if (!is_aligned(from.value, arch::huge_page_size)) return error(Errno::EINVAL);
    if (!has_target) return {};
    if (!is_aligned(to.value, arch::huge_page_size) || !arch::is_user_range(to, request.new_length))
        return error(Errno::EINVAL);
    if (to < from + request.old_length && from < to + request.new_length) return error(Errno::EINVAL);
    return {};
}

/// MADV_DONTNEED: what was reserved for the pages is reserved again. The mmap lock is held, shared at least.
void AddressSpace::discard_pool_pages(Vma& vma, VirtAddr begin, VirtAddr end, TlbBatch& batch) {
    auto no_table = [](Page&, VirtAddr, VirtAddr, Entry*) {};
    tables_.for_each_leaf_slot(begin, end, no_table, [&](VirtAddr from, VirtAddr to, Entry* slot) {
        if (!vma.promise) return zap_huge(slot, {from, to}, batch, Zap::All);
        core::MutexGuard guard(fault_lock(*this, from));
        HugeTableCursor cursor(slot);
        const Entry entry = cursor.entry();
        if (!Policy::is_leaf(entry, 1)) return;
        Page& head = *page_of(Policy::address(entry, 1));
        const bool is_private = is_private_block(head);
        cursor.exchange(Policy::empty());
        cursor.unlock();
        hugetlb_pages_.fetch_sub(1, std::memory_order_relaxed);
        batch.note_range(from, to);
        batch.flush();
        if (is_private)
            renew_promise(vma, from, head);
        else
            drop_huge_mapping(head);
    });
}

/// A private page is not mapped here any more, and no CPU reaches it by this address space.
void AddressSpace::renew_promise(Vma& vma, VirtAddr base, Page& head) {
    const u64 number = page_number(vma, base);
    if (is_only_huge_mapping(head)) {
        for (u64 i = 0; i < frames_per_huge_page; ++i) note_unmapped((&head)[i]);
        (void)vma.promise->keep(number, head);
        return;
    }
    drop_huge_mapping(head);
    // A child has the page still: another takes its place, if there is one.
    (void)vma.promise->add(number, number + 1);
}

/// A private mapping goes: what was promised for pages that it never touched is free again.
void AddressSpace::give_back_promise(const Vma& vma) {
    if (!vma.promise) return;
    const u64 first = page_number(vma, vma.begin);
    vma.promise->give_back(first, first + vma.page_count() / frames_per_huge_page);
}

} // namespace linnet::mm
