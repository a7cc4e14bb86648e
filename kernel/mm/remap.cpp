// mremap(2): shrink, grow in place, move.
#include "vma_edit.hpp"

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
    if (flags & abi::MREMAP_FIXED) {
        if (!is_mappable(new_address, new_length)) return error(Errno::EINVAL);
        if (new_address < old_address + old_length && old_address < new_address + new_length)
            return error(Errno::EINVAL);
        if (new_address < lowest_user_address) return error(Errno::EPERM);
    }
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
    return result;
}

Result<Vma*> AddressSpace::check_remap(const RemapRequest& request) {
    Vma* vma = vmas_.find(request.old_address);
    if (!vma) return error(Errno::EFAULT);
    if (vma->is(vma_sealed)) return error(Errno::EPERM);
    // A length of 0 asks for a second view of a shared mapping.
    if (request.old_length == 0 && !vma->is(vma_shared)) return error(Errno::EINVAL);
    if ((request.flags & abi::MREMAP_DONTUNMAP) && vma->is(vma_special)) return error(Errno::EINVAL);
    if (request.old_address + request.old_length > vma->end) return error(Errno::EFAULT);
    if (request.new_length <= request.old_length) return vma;
    if (vma->is(vma_special)) return error(Errno::EFAULT);
    u64 grow = pages_in(request.new_length - request.old_length);
    if (vma->is(vma_locked) &&
        locked_pages_.load(std::memory_order_relaxed) + grow > pages_in(limits.locked.load(std::memory_order_relaxed)))
        return error(Errno::EAGAIN);
    u32 flags_without_lock = vma->flags & ~u32{vma_locked};
    TRY(check_limits(grow, vma->prot, flags_without_lock));
    return vma;
}

Result<VirtAddr> AddressSpace::remap_locked(RemapRequest request, DoomedVmas& doomed) {
    bool has_target = (request.flags & abi::MREMAP_FIXED) != 0;
    bool keeps_old = (request.flags & abi::MREMAP_DONTUNMAP) != 0;
    Vma* vma = TRY(check_remap(request));
    VirtAddr old_end = request.old_address + request.old_length;
    if (request.new_length < request.old_length) {
        TRY(unmap_locked(request.old_address + request.new_length, old_end, doomed));
        request.old_length = request.new_length;
        old_end = request.old_address + request.old_length;
        vma = vmas_.find(request.old_address);
    }
    if (!has_target && !keeps_old && request.old_length == request.new_length) return request.old_address;
    if (!has_target && !keeps_old && request.old_length > 0 && old_end == vma->end)
        if (TRY(expand_in_place(*vma, old_end, request.new_length - request.old_length))) return request.old_address;
    if (!(request.flags & abi::MREMAP_MAYMOVE)) return error(Errno::ENOMEM);
    if (has_target) {
        TRY(unmap_locked(request.new_address, request.new_address + request.new_length, doomed));
        vma = vmas_.find(request.old_address);
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
    account(vma, static_cast<i64>(pages_in(grow)));
    set_range(vma, vma.begin, old_end + grow);
    merge(vma);
    return true;
}

Result<VirtAddr> AddressSpace::move_mapping(Vma& vma, const RemapRequest& request, DoomedVmas& doomed) {
    if (vmas_.count() + 3 > max_map_count) return error(Errno::ENOMEM);
    TRY(own_tables(request.old_address, request.old_address + request.old_length));
    Vma* source = &vma;
    VirtAddr old_end = request.old_address + request.old_length;
    if (request.old_length > 0) source = TRY(isolate(vma, request.old_address, old_end));
    Vma* target = TRY(clone_vma(*source));
    target->first_index =
        source->is_anonymous() ? pages_in(request.new_address.value) : source->index_of(request.old_address);
    target->begin = request.new_address;
    target->end = request.new_address + request.new_length;
    bool keeps_old = (request.flags & abi::MREMAP_DONTUNMAP) != 0;
    link_vma(*target, source);
    vmas_.insert(*target);
    account(*target, static_cast<i64>(target->page_count()));
    u64 moved = std::min(request.old_length, request.new_length);
    Result<void> result;
    if (source->object) {
        // Truncation may not run while entries are on their way.
        core::MutexGuard guard(source->object->mappings_lock());
        result = move_entries(request.old_address, request.new_address, moved);
    } else {
        result = move_entries(request.old_address, request.new_address, moved);
    }
    if (!result) {
        // No memory for a table: what has moved goes back, which needs no new tables.
        MUST(move_entries(request.new_address, request.old_address, moved));
        TRY(unmap_locked(target->begin, target->end, doomed));
        return error(result.error());
    }
    if (keeps_old)
        source->has_private_pages.store(false, std::memory_order_relaxed);
    else if (request.old_length > 0)
        TRY(unmap_locked(request.old_address, old_end, doomed));
    merge(*target);
    return request.new_address;
}

Result<void> AddressSpace::move_entries(VirtAddr from, VirtAddr to, u64 length) {
    TlbBatch batch(*this);
    VirtAddr end = from + length;
    Result<void> result;
    tables_.for_each_leaf_table(from, end, [&](Page& table, VirtAddr begin, VirtAddr stop) {
        batch.note(begin);
        batch.note(stop - 1);
        for (VirtAddr at = begin; result && at < stop;) result = move_some(table, at, stop, from, to);
    });
    return result;
}

/// Moves a handful of entries from `at` on, and steps `at` behind them. Both tables are never locked together.
Result<void> AddressSpace::move_some(Page& table, VirtAddr& at, VirtAddr end, VirtAddr from, VirtAddr to) {
    struct Moving {
        VirtAddr address;
        Entry entry;
    };
    Moving moving[32];
    usize count = 0;
    i32 anonymous = 0;
    VirtAddr target = to + (at - from);
    // All targets of one handful lie in one table, which is made before anything is taken out.
    u64 room = leaf_table_span - (target.value & (leaf_table_span - 1));
    VirtAddr stop = end - at > room ? at + room : end;
    Page* target_table = nullptr;
    {
        Cursor cursor(table, at);
        while (cursor.address() < stop && Policy::is_empty(cursor.entry())) cursor.advance();
        at = cursor.address();
    }
    if (at >= stop) return {};
    target_table = TRY(leaf_table(to + (at - from)));
    {
        Cursor cursor(table, at);
        for (; cursor.address() < stop && count < std::size(moving); cursor.advance()) {
            if (Policy::is_empty(cursor.entry())) continue;
            Entry entry = cursor.exchange(Policy::empty());
            moving[count++] = {cursor.address(), entry};
            Page* page = page_of(Policy::address(entry, 0));
            if (page && page->kind == PageKind::Anonymous) ++anonymous;
        }
        at = cursor.address();
        cursor.count_anonymous(-anonymous);
    }
    if (count == 0) return {};
    VirtAddr first = to + (moving[0].address - from);
    Cursor cursor(*target_table, first);
    for (usize i = 0; i < count; ++i) {
        while (cursor.address() < to + (moving[i].address - from)) cursor.advance();
        cursor.set(moving[i].entry);
    }
    cursor.count_anonymous(anonymous);
    return {};
}

} // namespace linnet::mm
