// Last-level page tables that address spaces have in common after fork(2), so that its cost does not grow with the
// memory that is mapped (Zhao, Gong and Fonseca, "On-demand-fork", EuroSys 2021).
//
// A table is shared when only private anonymous mappings that the child inherits have parts of its span. Page::refs
// counts the address spaces that lead to it, and the entry that does so is restricted in each: no write gets through
// it, whatever the leaves say. As long as refs is more than one,
//   - no leaf changes but by losing its right to write or by gaining an accessed mark, so a write, and a first touch of
//     an absent page, needs a table of one's own (own_table(): a copy, both sides' pages copy-on-write from then on);
//   - pages show in as many address spaces as have the table, whatever the pages' own counts say.
// Who is left alone with a table has it as if it had never been shared: the restriction is lifted at the next fault.
//
// Truncation and reclaim look at an object's mappings without the mmap lock, and could meet a table that is just being
// exchanged. So an object's mapping never lies over a shared table: where it comes up in a hole or grows into one, the
// table is made this address space's own first.
//
// Where restricted tables can't be read through either, the first read protects the leaves of the table once for all
// (page_write_protected) and lifts the restriction.
//
// Only fork adds references, with the mmap lock held exclusively. An address space exchanges or gives up a shared table
// with its mmap lock held exclusively and the mappings there claimed, so that whoever holds the lock, in whatever way,
// or has entered a mapping may use the tables that it finds there.
#include "vma_edit.hpp"

namespace linnet::mm {

namespace {

using Policy = arch::PagingPolicy;
using Table = PageTable<Policy>;
using Entry = Policy::Entry;

void protect_leaves(Page& table) {
    core::SpinGuard guard(table_lock(table));
    if (table.has(page_write_protected)) return;
    Entry* entries = Table::entries(table);
    for (usize i = 0; i < entries_per_table; ++i)
        if (const Entry entry = load_locked(entries + i); is_writable_leaf(entry)) protect_leaf(entries + i, entry);
    table.set(page_write_protected);
}

/// Nobody can reach `copy` yet. Pages gain a reference each.
void copy_table(Page& table, Page& copy) {
    core::SpinGuard guard(table_lock(table));
    Entry* from = Table::entries(table);
    Entry* to = Table::entries(copy);
    for (usize i = 0; i < entries_per_table; ++i) {
        Entry entry = load_locked(from + i);
        if (Policy::is_empty(entry)) continue;
        if (is_writable_leaf(entry)) entry = protect_leaf(from + i, entry);
        Page& page = *page_of(Policy::address(entry, 0));
        if (page.kind == PageKind::Anonymous) ref_page(page); // else it is the zero page
        Table::store(to + i, entry);
    }
    copy.map_count.store(table.map_count.load(std::memory_order_relaxed), std::memory_order_relaxed);
    table.set(page_write_protected);
}

/// Takes the entries of an anonymous mapping out where no CPU can use them any more.
void drop_entries(Entry* slot, const Entry* const last) {
    const RamPages pages;
    while (slot < last) {
        const Entry entry = load_locked(slot);
        if (Policy::is_empty(entry)) {
            slot = Table::skip_empty(slot + 1, last);
            continue;
        }
        Page& page = pages[Policy::address(entry, 0)];
        Table::store(slot++, Policy::empty());
        if (page.kind == PageKind::Anonymous) unref_page(page); // else it is the zero page
    }
}

/// The same for whole tables, whoever else has them. Returns where that ends: where a huge page begins.
Entry* drop_tables(Entry* slot, const Entry* const last) {
    const RamPages pages;
    for (; slot < last; ++slot) {
        const Entry entry = Table::load(slot);
        if (!Policy::is_table(entry, 1)) {
            if (Policy::is_empty(entry)) continue;
            break;
        }
        Table::store(slot, Policy::empty());
        drop_table_reference(pages[Policy::table_address(entry)]);
    }
    return slot;
}

} // namespace

void free_table_with_pages(Page& table) {
    Entry* entries = Table::entries(table);
    drop_entries(entries, entries + entries_per_table);
    free_page_table(table);
}

/// Lets go of the pages of a mapping of an address space that nobody uses any more, and of the tables that it alone
/// fills. Nothing is counted: nobody will ask.
void AddressSpace::drop_pages(Vma& vma, TlbBatch& batch) {
    if (!vma.is_anonymous()) return void(zap(vma, vma.begin, vma.end, batch));
    tables_.for_each_leaf_run(
        vma.begin, vma.end,
        [](VirtAddr from, VirtAddr to, Entry* slot) {
            Entry* reached = drop_tables(slot, slot + (to - from) / leaf_table_span);
            return from + static_cast<u64>(reached - slot) * leaf_table_span;
        },
        [](Page& table, VirtAddr from, VirtAddr to, Entry* slot) {
            if (is_shared_table(table)) {
                Table::store(slot, Policy::empty());
                return drop_table_reference(table);
            }
            Entry* first = Table::entries(table) + Table::index(from, 0);
            drop_entries(first, first + pages_in(to - from));
        },
        [&](VirtAddr from, VirtAddr to, Entry* slot) { zap_huge(slot, {from, to}, batch, Zap::All); });
}

/// Whether the access may go on with the table as it is, which is made accessible for it where necessary. The mmap lock
/// is held, shared at least, or the mapping has been entered.
bool AddressSpace::may_use_table(Page& table, Entry* slot, VirtAddr address, arch::Access access) {
    if (is_shared_table(table)) {
        if (access == arch::Access::Write) return false;
        if (Policy::is_empty(Table::load(Table::entries(table) + Table::index(address, 0)))) return false;
        if (Policy::restricted_tables_are_readable) return true;
        protect_leaves(table);
    }
    if (!Policy::is_restricted_table(Table::load(slot))) return true;
    Table::store(slot, Policy::make_table(page_address(table)));
    flush_here(page_floor(address), all_pages);
    return true;
}

/// Exchanges a shared table for a copy. The mmap lock is held exclusively.
Result<void> AddressSpace::own_table(Page& table, VirtAddr address, Entry* slot) {
    if (!is_shared_table(table)) return {};
    Page* copy = TRY(allocate_page_table());
    const VirtAddr base{align_down(address.value, leaf_table_span)};
    claim_range(base, base + leaf_table_span);
    // No CPU may have the old table in its walk when the new one changes. Threads that run meanwhile fault and wait.
    Table::store(slot, Policy::empty());
    copy_table(table, *copy);
    flush_range(page_floor(address), ~u64{0});
    Table::store(slot, Policy::make_table(page_address(*copy)));
    drop_table_reference(table);
    return {};
}

/// The same for all of them in [begin, end).
Result<void> AddressSpace::own_tables(VirtAddr begin, VirtAddr end) {
    Result<void> result;
    if (!may_share_tables_.load(std::memory_order_relaxed)) return result;
    tables_.for_each_leaf_slot(begin, end, [&](Page& table, VirtAddr from, VirtAddr, Entry* slot) {
        if (result) result = own_table(table, from, slot);
    });
    return result;
}

/// For those that zap() of [begin, end) would not take out whole, be they tables or huge pages.
Result<void> AddressSpace::own_partial_tables(VirtAddr begin, VirtAddr end) {
    if (!may_share_tables_.load(std::memory_order_relaxed) && !has_huge_pages_.load(std::memory_order_relaxed))
        return {};
    for (Vma* vma = vmas_.find_ending_after(begin); vma && vma->begin < end; vma = vmas_.next(*vma)) {
        if (vma->is(vma_hugetlb)) continue;
        VirtAddr from = std::max(begin, vma->begin), to = std::min(end, vma->end);
        for (VirtAddr edge : {from, to}) {
            if (is_aligned(edge.value, leaf_table_span)) continue;
            VirtAddr inside = edge == to ? to - 1 : edge;
            TRY(split_huge_leaf(inside));
            TRY(own_tables(inside, inside + 1));
        }
    }
    return {};
}

} // namespace linnet::mm
