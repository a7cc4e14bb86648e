// mremap(2): shrink, grow in place, move.
//
// What a program knows as one mapping is several where it has guard ranges (MADV_GUARD_INSTALL). They are looked at as
// one, and move together; what is added at the end is no guard.
#include "vma_edit.hpp"
#include <algorithm>
#include <mm/code_probes.hpp>
#include <optional>
#include <utility>

namespace linnet::mm {

Result<VirtAddr> AddressSpace::remap(VirtAddr old_address, u64 old_length, u64 new_length, u32 flags,
                                     VirtAddr new_address) {
    constexpr u32 known = abi::MREMAP_MAYMOVE | abi::MREMAP_FIXED | abi::MREMAP_DONTUNMAP;
    if (flags & ~known) return error(Errno::EINVAL);
    if ((flags & (abi::MREMAP_FIXED | abi::MREMAP_DONTUNMAP)) && !(flags & abi::MREMAP_MAYMOVE))
        return error(Errno::EINVAL);
    if (!is_aligned(old_address.value, arch::page_size)) return error(Errno::EINVAL);
    old_length = align_up(old_length, arch::page_size);
    new_length = align_up(new_length, arch::page_size);
    if (new_length == 0) return error(Errno::EINVAL);
    if ((flags & abi::MREMAP_DONTUNMAP) && old_length != new_length) return error(Errno::EINVAL);
    if (!arch::is_user_range(old_address, old_length)) return error(Errno::EFAULT);
    if (flags & (abi::MREMAP_FIXED | abi::MREMAP_DONTUNMAP)) {
        if (!is_mappable(new_address, new_length)) return error(Errno::EINVAL);
        if (new_address < old_address + old_length && old_address < new_address + new_length)
            return error(Errno::EINVAL);
    }
    if ((flags & abi::MREMAP_FIXED) && new_address < lowest_user_address) return error(Errno::EPERM);
    DoomedVmas doomed;
    VirtAddr result;
    bool fill = false;
    {
        core::WriteGuard guard(mmap_lock_);
        result = TRY(remap_locked({old_address, old_length, new_length, flags, new_address}, doomed));
        Vma* vma = vmas_.find(result);
        fill = vma && vma->is(vma_locked) && !vma->is(vma_lock_on_fault) && new_length > old_length;
    }
    if (fill) (void)populate(result + old_length, new_length - old_length, arch::Access::Read);
    if (probed_objects.load() != 0) [[unlikely]]
        code_probes->on_changed(*this);
    return result;
}

Result<Vma*> AddressSpace::check_remap(Vma& found, const RemapRequest& request) {
    Vma* vma = &found;
    // A length of 0 asks for a second view of a shared mapping.
    if (request.old_length == 0 && !vma->is(vma_shared)) return error(Errno::EINVAL);
    if ((request.flags & abi::MREMAP_DONTUNMAP) && vma->is(vma_special)) return error(Errno::EINVAL);
    if (request.old_address + request.old_length > last_shown_with(*vma).end) return error(Errno::EFAULT);
    u32 flags_without_lock = vma->flags & ~u32{vma_locked};
    // The old mapping stays beside the new one, which is as long.
    if (request.flags & abi::MREMAP_DONTUNMAP)
        TRY(check_limits(pages_in(request.new_length), vma->prot, flags_without_lock));
    if (request.new_length <= request.old_length) return vma;
    if (vma->is(vma_special)) return error(Errno::EFAULT);
    u64 grow = pages_in(request.new_length - request.old_length);
    if (vma->is(vma_locked) &&
        locked_pages_.load(std::memory_order_relaxed) + grow > pages_in(limits.locked.load(std::memory_order_relaxed)))
        return error(Errno::EAGAIN);
    TRY(check_limits(grow, vma->prot, flags_without_lock));
    return vma;
}

Result<VirtAddr> AddressSpace::remap_locked(RemapRequest request, DoomedVmas& doomed) {
    bool has_target = (request.flags & abi::MREMAP_FIXED) != 0;
    bool keeps_old = (request.flags & abi::MREMAP_DONTUNMAP) != 0;
    VirtAddr old_end = request.old_address + request.old_length;
    Vma* vma = vmas_.find(request.old_address);
    if (!vma) return error(Errno::EFAULT);
    if (vma->is(vma_sealed)) return error(Errno::EPERM);
    if (vma->is(vma_hugetlb)) {
        TRY(round_to_pool_pages(request));
        old_end = request.old_address + request.old_length;
    }
    if (!has_target && !keeps_old && request.new_length <= request.old_length) {
        // Whatever lies in what is cut off goes, as by munmap(2).
        if (request.new_length < request.old_length)
            TRY(unmap_locked(request.old_address + request.new_length, old_end, doomed));
        return request.old_address;
    }
    vma = TRY(check_remap(*vma, request));
    if (request.new_length < request.old_length) {
        TRY(unmap_locked(request.old_address + request.new_length, old_end, doomed));
        request.old_length = request.new_length;
        old_end = request.old_address + request.old_length;
        vma = vmas_.find(request.old_address);
    }
    Vma& last = last_shown_with(*vma);
    if (!has_target && !keeps_old && request.old_length > 0 && old_end == last.end)
        if (TRY(expand_in_place(last, old_end, request.new_length - request.old_length))) return request.old_address;
    if (!(request.flags & abi::MREMAP_MAYMOVE)) return error(Errno::ENOMEM);
    if (has_target) {
        TRY(unmap_locked(request.new_address, request.new_address + request.new_length, doomed));
        vma = vmas_.find(request.old_address);
        if (vma->is(vma_hugetlb)) { // there must not even be an empty table
            TlbBatch batch(*this);
            const VirtAddr end = request.new_address + request.new_length;
            prune_tables(request.new_address, end, request.new_address, end, batch);
        }
    } else {
        // A hint that is free is taken (MREMAP_DONTUNMAP), else the kernel chooses.
        MapRequest choice;
        if (keeps_old) choice.address = request.new_address;
        request.new_address = TRY(choose_address(choice, request.new_length));
    }
    return move_mapping(*vma, request, doomed);
}

/// True when the room behind the mapping was free and has been taken.
Result<bool> AddressSpace::expand_in_place(Vma& vma, VirtAddr old_end, u64 grow) {
    if (!arch::is_user_range(old_end, grow)) return false;
    if (Vma* above = vmas_.next(vma)) {
        u64 guard = above->is(vma_grows_down) ? stack_guard_gap : 0;
        if (above->begin - old_end < grow + guard) return false;
    }
    if (vma.is(vma_guard)) {
        if (vmas_.count() >= max_map_count) return error(Errno::ENOMEM);
        Vma more;
        more.begin = old_end;
        more.end = old_end + grow;
        more.object = vma.object;
        more.first_index = vma.index_of(old_end);
        more.label = vma.label;
        more.flags = vma.flags & ~u32{vma_guard};
        more.prot = vma.prot;
        more.max_prot = vma.max_prot;
        more.protection_key = vma.protection_key;
        TRY(insert_mapping(more));
        return true;
    }
    if (vma.object) TRY(own_tables(old_end, old_end + grow)); // shared_tables.cpp
    account(vma, static_cast<i64>(pages_in(grow)));
    set_range(vma, vma.begin, old_end + grow);
    merge(vma);
    return true;
}

/// One more mapping at the place that a move goes to, claimed until it has its pages.
Result<Vma*> AddressSpace::add_target(Vma& source, AddressRange range, const RemapRequest& request, u32 flags) {
    if (source.object) TRY(own_tables(range.begin, range.end)); // shared_tables.cpp
    Vma* target = TRY(clone_vma(source));
    target->begin = range.begin;
    target->end = range.end;
    target->first_index = source.is_anonymous()
                              ? pages_in(range.begin.value)
                              : source.index_of(request.old_address + (range.begin - request.new_address));
    target->flags = flags;
    mmap_lock_.claim(*target);
    link_vma(*target, &source);
    vmas_.insert(*target);
    account(*target, static_cast<i64>(target->page_count()));
    return target;
}

/// Mappings for a move, one for each of those from `first` on that are to move. After ENOMEM some may be there.
Result<void> AddressSpace::make_targets(Vma& first, const RemapRequest& request) {
    const VirtAddr old_end = request.old_address + request.old_length;
    const VirtAddr new_end = request.new_address + request.new_length;
    auto next = [&](Vma& part) {
        Vma* behind = vmas_.next(part);
        return behind && behind->begin < old_end ? behind : nullptr;
    };
    VirtAddr end = request.new_address; // of what has been made
    Vma* last = &first;
    if (request.old_length > 0) {
        usize parts = 0;
        u32 dirty = 0;
        for (Vma* part = &first; part; part = next(*part)) ++parts, dirty |= part->flags & vma_soft_dirty;
        if (vmas_.count() + parts > max_map_count) return error(Errno::ENOMEM);
        for (Vma* part = &first; part; part = next(*part)) {
            mmap_lock_.claim(*part);
            const bool takes_rest = part->end == old_end && !part->is(vma_guard);
            const VirtAddr to = takes_rest ? new_end : end + (part->end - part->begin);
            TRY(add_target(*part, {end, to}, request, part->flags | dirty));
            end = to;
            last = part;
        }
    }
    if (end < new_end) TRY(add_target(*last, {end, new_end}, request, last->flags & ~u32{vma_guard}));
    return {};
}

/// Joins what has become alike in a range and at its ends.
void AddressSpace::merge_range(VirtAddr begin, VirtAddr end) {
    for (Vma* vma = vmas_.find(begin); vma && vma->begin < end; vma = vmas_.next(*vma)) vma = merge(*vma);
}

Result<VirtAddr> AddressSpace::move_mapping(Vma& vma, const RemapRequest& request, DoomedVmas& doomed) {
    if (vmas_.count() + 3 > max_map_count) return error(Errno::ENOMEM);
    const VirtAddr old_end = request.old_address + request.old_length;
    const VirtAddr new_end = request.new_address + request.new_length;
    Vma* source = &vma;
    if (request.old_length > 0) {
        source = TRY(isolate(vma, request.old_address, std::min(old_end, vma.end)));
        Vma& last = *vmas_.find(old_end - 1);
        TRY(isolate(last, last.begin, old_end));
    }
    const u64 moved = std::min(request.old_length, request.new_length);
    Result<void> result = make_targets(*source, request);
    if (result) {
        // Truncation may not run while entries are on their way.
        std::optional<core::MutexGuard> guard;
        if (source->object) guard.emplace(source->object->mappings_lock());
        result = move_entries(*source, request.old_address, request.new_address, moved);
        // No memory for a table: what has moved goes back, which needs no new tables.
        if (!result) MUST(move_entries(*source, request.new_address, request.old_address, moved));
    }
    if (!result) {
        TRY(unmap_locked(request.new_address, new_end, doomed, Contents::Moved));
        merge_range(request.old_address, old_end);
        return error(result.error());
    }
    // What was isolated for the move is part of its neighbours again.
    if (request.flags & abi::MREMAP_DONTUNMAP)
        empty_source(request.old_address, old_end);
    else if (request.old_length > 0)
        TRY(unmap_locked(request.old_address, old_end, doomed, Contents::Moved));
    merge_range(request.new_address, new_end);
    return request.new_address;
}

/// MREMAP_DONTUNMAP: the old mapping has lost its pages and guard ranges, and its lock went along with them.
void AddressSpace::empty_source(VirtAddr begin, VirtAddr end) {
    for (Vma* source = vmas_.find(begin); source && source->begin < end; source = vmas_.next(*source)) {
        source->has_private_pages.store(false, std::memory_order_relaxed);
        const u32 flags =
            std::exchange(source->flags, source->flags & ~u32{vma_locked | vma_lock_on_fault | vma_guard});
        account_change(*source, source->prot, flags, source->page_count());
    }
    merge_range(begin, end);
}

Result<void> AddressSpace::move_entries(const Vma& vma, VirtAddr from, VirtAddr to, u64 length) {
    TlbBatch batch(*this);
    Result<void> result;
    // A table whose range moves by whole tables is moved as one, else its entries are: what has moved counts as
    // written, so each is marked where that matters.
    const bool by_tables = ((from.value ^ to.value) & (leaf_table_span - 1)) == 0;
    const bool marks = tracks_writes(vma);
    auto move = [&](Page& table, VirtAddr begin, VirtAddr end, Entry* slot) {
        if (!result) return;
        batch.note_range(begin, end);
        VirtAddr target = to + (begin - from);
        if (by_tables && !marks && end - begin == leaf_table_span) {
            result = move_table(slot, target, batch);
            return;
        }
        result = own_table(table, begin, slot);
        while (result && begin < end) {
            // As much as lies in one table of the target.
            u64 room = leaf_table_span - (target.value & (leaf_table_span - 1));
            u64 part = std::min<u64>(end - begin, room);
            result = move_some(vma, *Table::leaf_table_in(slot), {begin, begin + part}, target);
            begin += part, target += part;
        }
    };
    auto move_huge = [&](VirtAddr begin, VirtAddr end, Entry* slot) {
        if (!result) return;
        if (by_tables) {
            batch.note_range(begin, end);
            if (marks) mark_soft_dirty(slot);
            result = move_table(slot, to + (begin - from), batch);
            return;
        }
        result = split_huge_leaf(begin);
        if (Page* table = Table::leaf_table_in(slot)) move(*table, begin, end, slot);
    };
    tables_.for_each_leaf_slot(from, from + length, move, move_huge);
    return result;
}

/// A huge page that has moved counts as written.
void AddressSpace::mark_soft_dirty(Entry* slot) {
    Entry entry = Table::load(slot);
    while (!Table::compare_exchange(slot, entry, Policy::with_soft_dirty(entry))) {
    }
}

/// Where the target has no table, as is usual, the slot is all that changes.
Result<void> AddressSpace::move_table(Entry* slot, VirtAddr target, TlbBatch& batch) {
    auto count = [&](Page&) { table_pages_.fetch_add(1, std::memory_order_relaxed); };
    Entry* target_slot = TRY(tables_.make_leaf_slot(target, count));
    Page* replaced = Table::leaf_table_in(target_slot);
    Table::store(target_slot, Table::exchange(slot, Policy::empty()));
    batch.note_tables();
    if (!replaced) return {};
    table_pages_.fetch_sub(1, std::memory_order_relaxed);
    batch.add_table(*replaced); // empty, for nothing is mapped there
    return {};
}

/// Moves the entries of a range of the mapping, which lie in `table`, to the one table of the target. The mmap lock is
/// held exclusively, so nobody else locks two tables of this address space.
Result<void> AddressSpace::move_some(const Vma& vma, Page& table, AddressRange range, VirtAddr target) {
    const auto [from, end] = range;
    Entry* at = Table::entries(table) + Table::index(from, 0);
    Entry* const last = at + pages_in(end - from);
    Entry* const first = at;
    while (at != last && Policy::is_empty(Table::load(at))) ++at;
    if (at == last) return {};
    TRY(own_tables(target, target + 1));
    Page* target_table = TRY(leaf_table(target));
    const PhysAddr zero = page_address(zero_page());
    Cursor source(table, from);
    std::optional<Cursor> other; // one table may be both
    if (target_table != &table) other.emplace(*target_table, target);
    Entry* to = Table::entries(*target_table) + Table::index(target, 0) + (at - first);
    const auto slots = static_cast<i32>(last - at);
    i32 without_page = 0; // of those slots: empty, or of no anonymous page
    auto move_each = [&] [[gnu::always_inline]] (auto is_anonymous) {
#pragma clang loop unroll_count(4)
        for (; at != last; ++at, ++to) {
            if (Policy::is_empty(Table::load(at))) [[unlikely]] {
                ++without_page;
                continue;
            }
            Entry entry = Table::exchange(at, Policy::empty());
            Table::store(to, Policy::with_soft_dirty(entry));
            if (!is_anonymous(Policy::address(entry, 0))) [[unlikely]]
                ++without_page;
        }
    };
    if (vma.is_anonymous())
        move_each([&](PhysAddr frame) { return frame != zero; });
    else
        move_each([&](PhysAddr frame) {
            const Page* page = page_of(frame);
            return page && page->kind == PageKind::Anonymous;
        });
    const i32 anonymous = slots - without_page;
    if (!other) return {};
    source.count_anonymous(-anonymous);
    other->count_anonymous(anonymous);
    return {};
}

} // namespace linnet::mm
