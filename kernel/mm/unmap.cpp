// munmap(2), and taking pages out of page tables.
#include "vma_edit.hpp"

namespace linnet::mm {

Result<void> AddressSpace::unmap(VirtAddr address, u64 length) {
    if (!is_aligned(address.value, arch::page_size) || length == 0) return error(Errno::EINVAL);
    length = align_up(length, arch::page_size);
    if (length == 0 || !arch::is_user_range(address, length)) return error(Errno::EINVAL);
    DoomedVmas doomed;
    core::WriteGuard guard(mmap_lock_);
    return unmap_locked(address, address + length, doomed);
}

Result<void> AddressSpace::unmap_locked(VirtAddr begin, VirtAddr end, DoomedVmas& doomed, Contents contents) {
    Vma* vma = vmas_.find_ending_after(begin);
    if (!vma || vma->begin >= end) return {};
    TRY(check_unsealed(begin, end));
    if (vma->begin < begin) {
        TRY(split(*vma, begin));
        vma = vmas_.next(*vma);
    }
    Vma* reaches_end = vma->end >= end ? vma : vmas_.find(end - 1);
    if (reaches_end && reaches_end->end > end) TRY(split(*reaches_end, end));

    Page* sole_table = find_own_table(begin, end);
    if (!sole_table) TRY(own_partial_tables(begin, end));
    note_resident_peak();
    TlbBatch batch(*this);
    Vma* below = vmas_.previous(*vma);
    VirtAddr floor = below ? below->end : VirtAddr{};
    VirtAddr first = vma->begin, last = first;
    while (vma && vma->begin < end) {
        Vma* next = vmas_.next(*vma);
        last = vma->end;
        mmap_lock_.claim(*vma);
        if (contents == Contents::Present) {
            give_back_promise(*vma);
            if (sole_table)
                zap_table(*sole_table, {vma->begin, vma->end}, *vma, batch, Zap::All);
            else
                zap(*vma, vma->begin, vma->end, batch);
        }
        account(*vma, -static_cast<i64>(vma->page_count()));
        take_out(*vma);
        unlink_vma(*vma);
        vma->next_doomed = doomed.first;
        doomed.first = vma;
        vma = next;
    }
    VirtAddr ceiling = vma ? vma->begin : user_tables_end;
    prune_tables(first, last, floor, ceiling, batch);
    // A larger hole has come up: the search for free room must see it.
    if (VirtAddr top = vma ? vma->begin : mmap_base; gap_hint_.value != 0 && top > gap_hint_)
        gap_hint_ = top < mmap_base ? top : mmap_base;
    return {};
}

void AddressSpace::prune_tables(VirtAddr begin, VirtAddr end, VirtAddr floor, VirtAddr ceiling, TlbBatch& batch) {
    tables_.prune(begin, end, floor, ceiling, [&](Page& table) {
        table_pages_.fetch_sub(1, std::memory_order_relaxed);
        batch.add_table(table);
    });
}

/// zap() where the range has more than one table, or one that is shared, or none.
bool AddressSpace::zap_by_walk(Vma& vma, AddressRange range, TlbBatch& batch, Zap what) {
    bool is_complete = true;
    tables_.for_each_leaf_slot(
        range.begin, range.end,
        [&](Page& table, VirtAddr from, VirtAddr to, Entry* slot) {
            if (is_shared_table(table)) {
                if (what == Zap::OwnTables) return void(is_complete = false);
                mmap_lock_.claim(vma);
                return zap_shared_table(table, {from, to}, slot, batch);
            }
            zap_table(table, {from, to}, vma, batch, what);
        },
        [&](VirtAddr from, VirtAddr to, Entry* slot) {
            if (what == Zap::OwnTables && to - from != arch::huge_page_size) return void(is_complete = false);
            zap_huge(slot, {from, to}, batch, what);
        });
    return is_complete;
}

/// Lets go of a shared table. own_partial_tables() has seen to it that all of it is to go.
void AddressSpace::zap_shared_table(Page& table, AddressRange range, Entry* slot, TlbBatch& batch) {
    VERIFY(range.end - range.begin == leaf_table_span);
    Table::store(slot, Policy::empty());
    table_pages_.fetch_sub(1, std::memory_order_relaxed);
    count_resident(PageKind::Anonymous, -i64{table.map_count.load(std::memory_order_relaxed)});
    if (batch.is_full()) batch.flush();
    batch.note_range(range.begin, range.end);
    batch.note_tables();
    batch.add_shared_table(table);
}

/// Stops early, with the address to go on at, when the batch is full.
VirtAddr AddressSpace::zap_in_table(Page& table, VirtAddr begin, VirtAddr end, Vma& vma, TlbBatch& batch, Zap what) {
    const bool counts = !is_physical(vma), is_dead = batch.is_dead();
    i64 anonymous = 0, others = 0;
    PageKind other_kind = PageKind::File;
    Cursor cursor(table, begin);
    for (; cursor.find_used(end); cursor.advance()) {
        Entry entry = cursor.entry();
        Page* page = counts ? &ram_page_of(Policy::address(entry, 0)) : nullptr;
        PageKind kind = page ? PageKind{page->kind} : PageKind::Reserved;
        if (kind == PageKind::Anonymous && what == Zap::KeepPrivate) continue;
        if (!is_dead) {
            if (page && batch.is_full()) break;
            cursor.exchange(Policy::empty());
            batch.note(cursor.address());
        } else {
            cursor.set(Policy::empty());
        }
        if (kind == PageKind::Reserved) continue;
        if (kind == PageKind::Anonymous) {
            ++anonymous;
        } else {
            ++others;
            other_kind = kind; // all pages of one object are of one kind
            note_unmapped(*page);
        }
        if (is_dead)
            unref_page(*page);
        else
            batch.add_page(*page);
    }
    if (anonymous && !is_dead) cursor.count_anonymous(-static_cast<i32>(anonymous));
    if (anonymous) count_resident(PageKind::Anonymous, -anonymous);
    if (others) count_resident(other_kind, -others);
    return cursor.address();
}

void AddressSpace::zap_with_flushes(Page& table, AddressRange rest, Vma& vma, TlbBatch& batch, Zap what) {
    do {
        batch.flush();
        rest.begin = zap_in_table(table, rest.begin, rest.end, vma, batch, what);
    } while (rest.begin < rest.end);
}

void unmap_object_range(Vma& vma, VirtAddr begin, VirtAddr end, bool keep_private) {
    TlbBatch batch(*vma.space);
    vma.space->zap(vma, begin, end, batch, keep_private ? AddressSpace::Zap::KeepPrivate : AddressSpace::Zap::All);
}

bool take_accessed_mark(Vma& vma, VirtAddr address, const Page& page) {
    Page* table = vma.space->tables_.find_leaf_table(address);
    if (!table) return false;
    AddressSpace::Cursor cursor(*table, address);
    auto entry = cursor.entry();
    // No flush: a processor that has the translation marks the entry again when it next walks the tables. Until then
    // the page looks less used than it is.
    while (AddressSpace::Policy::is_leaf(entry, 0) && AddressSpace::Policy::address(entry, 0) == page_address(page) &&
           AddressSpace::Policy::is_accessed(entry))
        if (cursor.compare_exchange(entry, AddressSpace::Policy::without_accessed(entry))) return true;
    return false;
}

void write_protect_mapping(Vma& vma, VirtAddr address) {
    AddressSpace& space = *vma.space;
    Page* table = space.tables_.find_leaf_table(address);
    if (!table) return;
    TlbBatch batch(space);
    AddressSpace::Cursor cursor(*table, address);
    auto entry = cursor.entry();
    while (!AddressSpace::Policy::is_empty(entry)) {
        arch::MappingFlags flags = AddressSpace::Policy::flags(entry, 0);
        if (!flags.writable) break;
        flags.writable = flags.dirty = false;
        auto fresh = AddressSpace::Policy::make_leaf(AddressSpace::Policy::address(entry, 0), flags, 0);
        if (!cursor.compare_exchange(entry, fresh)) continue;
        batch.note(address);
        break;
    }
    cursor.unlock();
}

} // namespace linnet::mm
