// Making huge pages of single ones: for who asks (MADV_COLLAPSE), and in the background (khugepaged), where mappings
// have become large enough after their first pages were touched, or no huge page was to be had then. How that is done
// with private memory is here, with shared memory in collapse_shared.cpp.
//
// Owns the list of address spaces to look at. They enter it when they get a last-level table in a mapping as long as a
// huge page, and leave it when they die; it holds no references.
//
// Lock order: list_lock is a leaf.
#include "huge_pages.hpp"
#include "vma_edit.hpp"
#include <lib/intrusive_list.hpp>

namespace linnet::mm {

constinit Tunable<u64> khugepaged_defrag{1};
constinit Tunable<u64> khugepaged_pages_to_scan{8 * frames_per_huge_page};
constinit Tunable<u64> khugepaged_scan_sleep_ms{10'000};
constinit Tunable<u64> khugepaged_alloc_sleep_ms{60'000};
constinit Tunable<u64> khugepaged_max_absent{frames_per_huge_page - 1};
constinit Tunable<u64> khugepaged_max_shared{frames_per_huge_page / 2};
constinit core::WaitQueue khugepaged_sleep;
constinit std::atomic<u64> khugepaged_wake_ups{0};

namespace {

constinit core::LockClass list_lock_class("khugepaged");
constinit core::SpinLock list_lock(list_lock_class);
constinit IntrusiveList<AddressSpace, &AddressSpace::collapse_node> spaces;
constinit usize space_count = 0;

/// The one whose turn it is, which goes to the end of the list; null when there is none.
NullableRefPtr<AddressSpace> next_space() {
    core::SpinGuard guard(list_lock);
    for (usize tries = space_count; tries > 0; --tries) {
        AddressSpace* space = spaces.pop_front();
        spaces.push_back(*space);
        if (space->try_ref()) return NullableRefPtr<AddressSpace>::adopt(space); // else it is about to leave
    }
    return nullptr;
}

} // namespace

void AddressSpace::note_collapsible() {
    if (is_collapsible_.exchange(true)) return;
    {
        core::SpinGuard guard(list_lock);
        spaces.push_back(*this);
        ++space_count;
    }
    wake_khugepaged();
}

void AddressSpace::leave_collapse_list() {
    if (!is_collapsible_.load(std::memory_order_relaxed)) return;
    core::SpinGuard guard(list_lock);
    spaces.remove(*this);
    --space_count;
}

void wake_khugepaged() {
    khugepaged_wake_ups.fetch_add(1);
    khugepaged_sleep.wake_all();
}

/// What speaks against one huge page in the place of a table's. The mmap lock is held, shared at least.
AddressSpace::CollapseResult AddressSpace::may_collapse(const Vma& vma, const Entry* slot, VirtAddr base,
                                                        CollapseReason reason) const {
    if (!vma.is_anonymous() || vma.is(vma_no_huge_page) || vma.is(vma_special) || vma.begin > base || vma.end < base ||
        vma.end - base < arch::huge_page_size)
        return CollapseResult::Unsuitable;
    if (reason == CollapseReason::Background && !may_be_huge(vma, base)) return CollapseResult::Unsuitable;
    if (slot && Policy::is_leaf(Table::load(slot), 1)) return CollapseResult::IsHuge;
    const Page* table = Table::leaf_table_in(slot);
    if (!table) return CollapseResult::Unsuitable;
    const u32 present = table->map_count.load(std::memory_order_relaxed);
    if (present == 0) return CollapseResult::Unsuitable;
    if (reason == CollapseReason::Request) return CollapseResult::Possible;
    if (frames_per_huge_page - present > khugepaged_max_absent) return CollapseResult::Unsuitable;
    u64 shared = is_shared_table(*table) ? present : 0;
    for (u64 i = 0; shared == 0 && i < frames_per_huge_page; ++i) {
        const Entry entry = Table::load(Table::entries(*table) + i);
        const Page* page = Policy::is_empty(entry) ? nullptr : counted_page(vma, Policy::address(entry, 0));
        if (page && page->refs.load(std::memory_order_relaxed) > 1) ++shared;
    }
    return shared > khugepaged_max_shared ? CollapseResult::Unsuitable : CollapseResult::Possible;
}

/// Puts one huge page in the place of a table's single ones. Takes the mmap lock itself.
AddressSpace::CollapseResult AddressSpace::collapse(VirtAddr base, CollapseReason reason) {
    bool is_anonymous;
    {
        core::ReadGuard guard(mmap_lock_);
        const Vma* vma = vmas_.find(base);
        if (!vma) return CollapseResult::Unsuitable;
        is_anonymous = vma->is_anonymous();
    }
    return is_anonymous ? collapse_anonymous(base, reason) : collapse_shared(base, reason);
}

AddressSpace::CollapseResult AddressSpace::collapse_anonymous(VirtAddr base, CollapseReason reason) {
    {
        core::ReadGuard guard(mmap_lock_);
        const Vma* vma = vmas_.find(base);
        if (!vma) return CollapseResult::Unsuitable;
        CollapseResult result = may_collapse(*vma, tables_.find_leaf_slot(base), base, reason);
        if (result != CollapseResult::Possible) return result;
    }
    const bool may_shrink = reason == CollapseReason::Request || khugepaged_defrag != 0;
    Page* head = allocate_huge_page(may_shrink ? Effort::Shrink : Effort::Try);
    if (!head) {
        count_event(huge_page_counters.collapse_alloc_failed);
        return CollapseResult::NoMemory;
    }
    count_event(huge_page_counters.collapse_alloc);
    core::WriteGuard guard(mmap_lock_);
    Vma* vma = vmas_.find(base);
    if (vma) mmap_lock_.claim(*vma); // what is read from here on stays, no fault adds a page to the table
    Entry* slot = tables_.find_leaf_slot(base);
    CollapseResult result = vma ? may_collapse(*vma, slot, base, reason) : CollapseResult::Unsuitable;
    if (result == CollapseResult::Possible && !own_tables(base, base + 1)) result = CollapseResult::NoMemory;
    if (result != CollapseResult::Possible) {
        drop_huge_mapping(*head);
        return result;
    }
    has_huge_pages_.store(true, std::memory_order_relaxed);
    move_into_huge_page(*vma, slot, base, *head);
    return CollapseResult::Possible;
}

/// The table is this address space's alone; the mmap lock is held exclusively.
void AddressSpace::move_into_huge_page(Vma& vma, Entry* slot, VirtAddr base, Page& head) {
    Page& table = *Table::leaf_table_in(slot);
    // Nobody may write to the old pages while they are copied, nor walk the table when it is freed. Threads that run
    // meanwhile fault and wait.
    Table::store(slot, Policy::empty());
    flush_range(base, ~u64{0});
    for (u64 i = 0; i < frames_per_huge_page; ++i) {
        Entry* small = Table::entries(table) + i;
        const Entry entry = Table::load(small);
        if (Policy::is_empty(entry)) continue;
        Table::store(small, Policy::empty());
        Page* page = counted_page(vma, Policy::address(entry, 0));
        if (!page) continue; // zeros
        Page& frame = (&head)[i];
        copy_page(page_data(frame), page_data(*page));
        if (vma.prot & abi::PROT_EXEC) sync_code(frame);
        unref_page(*page);
    }
    const u32 present = table.map_count.load(std::memory_order_relaxed);
    count_resident(PageKind::Anonymous, i64{frames_per_huge_page} - i64{present});
    free_page_table(table);
    table_pages_.fetch_sub(1, std::memory_order_relaxed);
    Table::store(slot, Policy::make_leaf(page_address(head), full_flags(vma), 1));
}

/// MADV_COLLAPSE, mapping by mapping. EINVAL where no huge page can be, ENOMEM (also where nothing is mapped).
Result<void> AddressSpace::collapse_range(VirtAddr begin, VirtAddr end) {
    bool hole = false;
    for (VirtAddr at = begin; at < end;) {
        VirtAddr from, to;
        {
            core::ReadGuard guard(mmap_lock_);
            const Vma* vma = vmas_.find_ending_after(at);
            if (!vma || vma->begin >= end) return error(Errno::ENOMEM);
            if (vma->begin > at) hole = true;
            from = {align_up(std::max(at, vma->begin).value, arch::huge_page_size)};
            at = to = std::min(end, vma->end);
            if (vma->is(vma_no_huge_page)) return error(Errno::EINVAL);
        }
        for (; from < to && to - from >= arch::huge_page_size; from += arch::huge_page_size) {
            const CollapseResult result = collapse(from, CollapseReason::Request);
            if (result == CollapseResult::Unsuitable) return error(Errno::EINVAL);
            if (result == CollapseResult::NoMemory) return error(Errno::ENOMEM);
            if (result == CollapseResult::Busy) return error(Errno::EAGAIN);
        }
    }
    if (hole) return error(Errno::ENOMEM);
    return {};
}

/// Looks at as much as `pages` of the address space, from where it stopped last; returns how many that were, less when
/// the end was reached. False in `may_go_on` when there is no memory.
u64 AddressSpace::scan_for_collapse(u64 pages, bool& may_go_on) {
    u64 scanned = 0;
    while (scanned < pages && may_go_on) {
        VirtAddr base{};
        {
            core::ReadGuard guard(mmap_lock_);
            for (Vma* vma = vmas_.find_ending_after(collapse_from_); vma && base.value == 0; vma = vmas_.next(*vma)) {
                VirtAddr first{align_up(std::max(vma->begin, collapse_from_).value, arch::huge_page_size)};
                if (may_be_huge(*vma, first)) base = first;
            }
        }
        if (base.value == 0) {
            collapse_from_ = {};
            count_event(huge_page_counters.full_scans);
            return scanned;
        }
        collapse_from_ = base + arch::huge_page_size;
        scanned += frames_per_huge_page;
        const CollapseResult result = collapse(base, CollapseReason::Background);
        may_go_on = result != CollapseResult::NoMemory;
        if (result == CollapseResult::Possible) count_event(huge_page_counters.background_collapsed);
    }
    return scanned;
}

CollapseRound run_collapse_round() {
    CollapseRound round;
    for (u64 left = khugepaged_pages_to_scan; left > 0 && round.has_memory;) {
        NullableRefPtr<AddressSpace> space = next_space();
        if (!space) break;
        round.has_work = true;
        const u64 scanned = space->scan_for_collapse(left, round.has_memory);
        // Every address space costs something, so that a round ends.
        left -= std::min(left, std::max<u64>(scanned, frames_per_huge_page));
    }
    return round;
}

} // namespace linnet::mm
