// Huge pages made of shared memory's single ones, on request or in the background: the frames of a block take the
// places of an object's single pages, one after the other, so that whoever uses the object meanwhile finds each page in
// the old place or the new. When all are there, the block is a huge page. Whoever maps it sees that at his next fault
// where no table is in the way.
//
// Lock order: mmap lock -> gather_lock -> VmObject::mappings lock.
#include "huge_pages.hpp"
#include "vma_edit.hpp"
#include <core/sched.hpp>
#include <lib/own_ptr.hpp>
#include <utility>

namespace linnet::mm {

namespace {
/// Whoever collapses holds it; faults on the object wait for it.
constinit core::LockClass gather_lock_class("collapse of shared memory");
[[clang::no_destroy]] constinit core::Mutex gather_lock(gather_lock_class);
} // namespace

/// True when `fresh` is the page at `index` now; then the index has its reference.
bool VmObject::replace_page(u64 index, Page& fresh) {
    constexpr int most_tries = 200;
    for (int tries = 0; tries < most_tries; ++tries) {
        // A hole gets a page first: what counts pages counts it.
        if (!get_page(index, arch::Access::Write)) return false;
        Page* old;
        bool is_idle;
        {
            core::SpinGuard guard(pages_lock_);
            old = pages_.find(index);
            if (!old || index >= divide_up(size(), arch::page_size)) return false; // truncated
            // From here on no fault maps it: still_holds() says no, and the access faults again.
            __atomic_store_n(&old->object, nullptr, __ATOMIC_RELEASE);
            // New references are made under this lock, or by who has one.
            is_idle = old->refs.load(std::memory_order_acquire) == 1;
            if (is_idle) {
                copy_page(page_data(fresh), page_data(*old));
                MUST(pages_.insert(index, fresh)); // in the place of another: no memory is needed
                fresh.index = index;
                __atomic_store_n(&fresh.object, this, __ATOMIC_RELEASE);
            }
        }
        if (is_idle) {
            unref_page(*old);
            return true;
        }
        unmap_range(index, index + 1, PrivateCopies::Keep);
        if (tries > 2) core::yield(); // in the hands of a read or write, or of a fault that is about to wait
    }
    core::SpinGuard guard(pages_lock_);
    if (Page* old = pages_.find(index)) __atomic_store_n(&old->object, this, __ATOMIC_RELEASE);
    return false;
}

void VmObject::wait_for_gathering() { core::MutexGuard guard(gather_lock); }

Result<void> VmObject::gather_huge_page(u64 first, Effort effort) {
    core::MutexGuard guard(gather_lock);
    if (has_huge_page(first)) return {};
    is_gathering_.store(true);
    ScopeGuard done([&] { is_gathering_.store(false); });
    return gather_pages(first, effort);
}

/// gather_lock is held.
Result<void> VmObject::gather_pages(u64 first, Effort effort) {
    Page* head = allocate_block(huge_page_order, PageZeroing::Uninitialised, PageKind::Shared, effort);
    if (!head) {
        count_event(huge_page_counters.collapse_alloc_failed);
        return error(Errno::ENOMEM);
    }
    count_event(huge_page_counters.collapse_alloc);
    split_block(*head, huge_page_order);
    for (u64 i = 0; i < frames_per_huge_page; ++i) {
        head[i].object = nullptr;
        head[i].set(page_up_to_date);
    }
    unmap_range(first, first + frames_per_huge_page, PrivateCopies::Keep);
    u64 done = 0;
    while (done < frames_per_huge_page && replace_page(first + done, head[done])) ++done;
    if (done < frames_per_huge_page) {
        // Those in use go on as single pages.
        for (u64 i = done; i < frames_per_huge_page; ++i) unref_page(head[i]);
        if (has_huge_page(first)) return {};
        return error(Errno::EAGAIN);
    }
    core::SpinGuard guard(pages_lock_);
    for (u64 i = 0; i < frames_per_huge_page; ++i)
        if (pages_.find(first + i) != &head[i])
            return error(Errno::EAGAIN); // truncated, or replaced by another who collapses
    head->set(page_huge);
    return {};
}

namespace {

bool may_collapse_shared(const Vma& vma, VirtAddr base) {
    if (vma.is(vma_no_huge_page) || vma.is(vma_special) || vma.is(vma_hugetlb) || vma.is(vma_guard)) return false;
    if (shared_hugepage == shared_huge_deny || !vma.object || is_secret(vma)) return false;
    if (vma.object->kind() != VmObject::Kind::Shared || vma.begin > base) return false;
    if (vma.end < base || vma.end - base < arch::huge_page_size) return false;
    const u64 first = vma.index_of(base);
    return first % frames_per_huge_page == 0 && is_inside(*vma.object, first + frames_per_huge_page - 1);
}

} // namespace

/// Where the program never looked, or has written to private copies, there is nothing to collapse.
AddressSpace::CollapseResult AddressSpace::collapse_shared(VirtAddr base, CollapseReason reason) {
    const bool is_asked = reason == CollapseReason::Request;
    NullableRefPtr<VmObject> object;
    u64 first;
    bool is_private;
    {
        core::ReadGuard guard(mmap_lock_);
        const Vma* vma = vmas_.find(base);
        if (!vma || !may_collapse_shared(*vma, base)) return CollapseResult::Unsuitable;
        if (!is_asked && !may_be_huge(*vma, base)) return CollapseResult::Unsuitable;
        const Entry* slot = tables_.find_leaf_slot(base);
        if (slot && Policy::is_leaf(Table::load(slot), 1)) return CollapseResult::IsHuge;
        const Page* table = Table::leaf_table_in(slot);
        if (!table || table->map_count.load(std::memory_order_relaxed) != 0) return CollapseResult::Unsuitable;
        object = vma->object;
        first = vma->index_of(base);
        is_private = !vma->is(vma_shared);
        const u64 present = object->count_pages(first, first + frames_per_huge_page).pages;
        if (!is_asked && frames_per_huge_page - present > khugepaged_max_absent) return CollapseResult::Unsuitable;
    }
    // Nobody is killed for memory: whoever it hits may wait for the object.
    core::Thread& self = core::current_thread();
    const bool asks = std::exchange(self.asks_for_memory, true);
    auto made = object->gather_huge_page(first, is_asked || khugepaged_defrag != 0 ? Effort::Shrink : Effort::Try);
    self.asks_for_memory = asks;
    if (!made) return made.error() == Errno::EAGAIN ? CollapseResult::Busy : CollapseResult::NoMemory;
    if (!is_private) make_room_for_collapsed(base, *object);
    // In the background the next touch enters it.
    if (!is_private && is_asked) (void)fault_with_growth(base, arch::Access::Read, ForeignAccess::Checked);
    return CollapseResult::Possible;
}

/// Makes room for one entry in the place of the table.
void AddressSpace::make_room_for_collapsed(VirtAddr base, const VmObject& object) {
    core::WriteGuard guard(mmap_lock_);
    Vma* vma = vmas_.find(base);
    if (!vma || vma->object.get() != &object || !may_collapse_shared(*vma, base)) return;
    mmap_lock_.claim(*vma);
    has_huge_pages_.store(true, std::memory_order_relaxed);
    TlbBatch batch(*this);
    const VirtAddr end = base + arch::huge_page_size;
    // Truncation walks the table under this lock.
    core::MutexGuard mappings_guard(vma->object->mappings_lock());
    zap(*vma, base, end, batch);
    prune_tables(base, end, base, end, batch);
}

} // namespace linnet::mm
