// fork(2)'s copy of an address space. Private pages are shared until one side writes. Where private anonymous memory
// fills the span of a last-level table, or much of it, the table itself becomes shared (shared_tables.cpp); elsewhere
// both sides' entries lose the right to write and each page gains a reference. Only mappings that hold pages which
// can't be had again are walked; text and shared memory come back by faults.
//
// The parent's mmap lock is held exclusively, so nothing is mapped or faulted meanwhile; its threads go on writing
// through entries not yet reached, until the flush at the end.
#include <abi/linux/prctl.hpp>

#include "vma_edit.hpp"
#include <mm/code_probes.hpp>

namespace linnet::mm {

Result<RefPtr<AddressSpace>> AddressSpace::fork() {
    RefPtr<AddressSpace> child = TRY(create());
    child->limits.address_space.store(limits.address_space.load());
    child->limits.data.store(limits.data.load());
    child->limits.stack.store(limits.stack.load());
    child->limits.locked.store(limits.locked.load());
    child->dumpable.store(dumpable.load());
    child->dump_filter.store(dump_filter.load());
    child->membarrier_registrations.store(membarrier_registrations.load());
    TRY(fork_into(*child));
    if (probed_objects.load() != 0) [[unlikely]]
        code_probes->on_changed(*child);
    return child;
}

Result<void> AddressSpace::fork_into(AddressSpace& made) {
    AddressSpace* const child = &made;
    core::WriteGuard guard(mmap_lock_);
    // Who looks for the mappings of an object finds the child's, too.
    core::WriteGuard child_guard(child->mmap_lock_);
    child->layout = layout;
    child->mmap_base = mmap_base;
    child->brk_ = brk_;
    child->gap_hint_ = gap_hint_;
    child->gap_hint_length_ = gap_hint_length_;
    join_table_sharers();
    child->join_table_sharers();
    child->has_huge_pages_.store(has_huge_pages_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    child->huge_pages_disabled.store(huge_pages_disabled.load());
    if (u32 rules = write_execute_rules.load(); !(rules & abi::PR_MDWE_NO_INHERIT))
        child->write_execute_rules.store(rules);
    child->has_seals_ = has_seals_;
    child->protection_keys_ = protection_keys_;
    return clone_mappings(*child);
}

/// Gives the child tables, in order of address. The cost of this, for each table, is what a fork of much memory costs.
struct AddressSpace::TableSharing {
    AddressSpace& child;
    TlbBatch& batch;
    VirtAddr next{}; // behind what is shared
    u64 tables = 0;
    i64 anonymous = 0;
    bool restricts = false; // any of the parent's tables: its TLBs have to hear of it

    ~TableSharing() {
        child.table_pages_.fetch_add(tables, std::memory_order_relaxed);
        child.count_resident(PageKind::Anonymous, anonymous);
        if (!restricts) return;
        batch.note_range({}, next);
        batch.note_tables();
    }

    /// Whether the child has the table for `address` already, by another mapping.
    [[nodiscard]] bool is_done(VirtAddr address) const { return address < next; }

    /// Shares the tables of the parent that the entries from `slot` on lead to, one for each span in [begin, end), in
    /// one upper table. Absent ones are stepped over. Returns how far that goes, which is where a huge page begins.
    Result<VirtAddr> share(VirtAddr begin, VirtAddr end, Entry* slot) {
        Entry* const last = slot + (end - begin) / leaf_table_span;
        Entry* const first = Table::skip_empty(slot, last);
        if (first == last) return end;
        begin += static_cast<u64>(first - slot) * leaf_table_span;
        if (!Policy::is_table(Table::load(first), 1)) return begin;
        Entry* target = TRY(child.tables_.make_leaf_slot(begin, [&](Page&) { ++tables; }));
        next = begin + static_cast<u64>(share_run(first, last, target) - first) * leaf_table_span;
        return next;
    }

private:
    Entry* share_run(Entry* slot, const Entry* const last, Entry* target) {
        const RamPages pages;
        u64 shared = 0, shown = 0;
        for (; slot < last; ++slot, ++target) {
            Entry entry = Table::load(slot);
            if (!Policy::is_table(entry, 1)) {
                if (Policy::is_empty(entry)) continue;
                break;
            }
            Page& table = pages[Policy::table_address(entry)];
            const bool was_own = table.refs.fetch_add(1, std::memory_order_acquire) == 1;
            // Alone with it, the parent may have given leaves the right to write.
            if (was_own && table.has(page_write_protected)) table.clear(page_write_protected);
            if (!Policy::is_restricted_table(entry)) {
                entry = Policy::make_restricted_table(Policy::table_address(entry));
                if (was_own) {
                    Table::store(slot, entry);
                    restricts = true;
                }
            }
            Table::store(target, entry);
            ++shared;
            shown += table.map_count.load(std::memory_order_relaxed);
        }
        tables += shared;
        anonymous += static_cast<i64>(shown);
        return slot;
    }
};

Result<void> AddressSpace::clone_mappings(AddressSpace& child) {
    TlbBatch batch(*this); // flushes before the lock is given up, whatever happened
    TableSharing sharing{child, batch};
    for (Vma* vma = vmas_.first(); vma; vma = vmas_.next(*vma)) {
        if (vma->is(vma_dont_fork)) continue;
        if (!vma->is(vma_shared)) mmap_lock_.claim(*vma);
        if (vma->is(vma_accounted) && !can_commit(vma->page_count())) return error(Errno::ENOMEM);
        Vma* copy = TRY(child.clone_vma(*vma));
        // Locks are not inherited (mlock(2)).
        copy->flags &= ~u32{vma_locked | vma_lock_on_fault};
        copy->promise = nullptr;
        if (vma->is(vma_wipe_on_fork)) copy->flags &= ~u32{vma_guard};
        copy->has_private_pages.store(false, std::memory_order_relaxed);
        // Behind the parent's in the object's list: a truncation that runs now meets this one after the copying.
        child.link_vma(*copy, vma);
        child.vmas_.insert(*copy);
        child.account(*copy, static_cast<i64>(copy->page_count()));
        bool has_pages = !vma->is(vma_shared) && vma->has_private_pages.load(std::memory_order_relaxed);
        if (!has_pages || vma->is(vma_wipe_on_fork)) continue;
        copy->has_private_pages.store(true, std::memory_order_relaxed);
        TRY(copy_mapping(sharing, *vma, batch));
    }
    return {};
}

/// Whether fork may share a table of which several mappings have parts. Few pages are cheaper to copy: both sides often
/// want a table of their own soon.
bool AddressSpace::may_share_parts(const Page& table, VirtAddr base) {
    constexpr u32 least_pages = 256;
    if (table.map_count.load(std::memory_order_relaxed) < least_pages) return false;
    const VirtAddr end = base + leaf_table_span;
    for (const Vma* vma = vmas_.find_ending_after(base); vma && vma->begin < end; vma = vmas_.next(*vma))
        if (!vma->is_anonymous() || vma->is(vma_dont_fork) || vma->is(vma_wipe_on_fork)) return false;
    claim_range(base, end);
    return true;
}

Result<void> AddressSpace::copy_mapping(TableSharing& sharing, const Vma& vma, TlbBatch& batch) {
    Result<void> result;
    AddressSpace& child = sharing.child;
    const bool is_anonymous = vma.is_anonymous();
    auto copy_table_part = [&](Page& table, VirtAddr from, VirtAddr to, Entry* slot) -> Result<void> {
        const VirtAddr base{align_down(from.value, leaf_table_span)};
        if (sharing.is_done(from)) return {};
        if (is_anonymous && may_share_parts(table, base)) {
            TRY(sharing.share(base, base + leaf_table_span, slot));
            return {};
        }
        if (!is_shared_table(table)) return copy_entries(child, table, {from, to}, batch);
        // The mappings have changed since: what part of it may be inherited is for each entry to say.
        TRY(own_table(table, from, slot));
        return copy_entries(child, *Table::leaf_table_in(slot), {from, to}, batch);
    };
    tables_.for_each_leaf_run(
        vma.begin, vma.end,
        [&](VirtAddr from, VirtAddr to, Entry* slot) {
            if (!is_anonymous || !result) return from;
            Result<VirtAddr> reached = sharing.share(from, to, slot);
            if (!reached) result = std::unexpected(reached.error());
            return reached.value_or(from);
        },
        [&](Page& table, VirtAddr from, VirtAddr to, Entry* slot) {
            if (result) result = copy_table_part(table, from, to, slot);
        },
        [&](VirtAddr from, VirtAddr, Entry* slot) {
            if (result) result = copy_huge_entry(child, from, slot, batch);
        });
    return result;
}

Result<void> AddressSpace::copy_entries(AddressSpace& child, Page& table, AddressRange range, TlbBatch& batch) {
    Page* made = TRY(child.leaf_table(range.begin));
    core::SpinGuard guard(table_lock(table)), child_guard(table_lock(*made));
    Entry* slot = Table::entries(table) + Table::index(range.begin, 0);
    Entry* const last = slot + pages_in(range.end - range.begin);
    Entry* target = Table::entries(*made) + Table::index(range.begin, 0);
    const RamPages pages;
    bool has_changed = false;
    u32 copied = 0;
    for (; slot < last; ++slot, ++target) {
        Entry entry = load_locked(slot);
        if (Policy::is_empty(entry)) continue;
        Page& page = pages[Policy::address(entry, 0)];
        // The zero page and pages of the object come back by a fault.
        if (page.kind != PageKind::Anonymous) continue;
        if (is_writable_leaf(entry)) {
            entry = protect_leaf(slot, entry);
            has_changed = true;
        }
        ref_page(page);
        Table::store(target, entry);
        ++copied;
    }
    if (has_changed) batch.note_range(range.begin, range.end);
    if (!copied) return {};
    made->map_count.store(made->map_count.load(std::memory_order_relaxed) + copied, std::memory_order_relaxed);
    child.count_resident(PageKind::Anonymous, copied);
    return {};
}

} // namespace linnet::mm
