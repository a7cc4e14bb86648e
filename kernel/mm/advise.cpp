// madvise(2), mincore(2), msync(2), mlock(2) and its relatives.
#include "huge_pages.hpp"
#include "vma_edit.hpp"
#include <mm/page_cache.hpp>

namespace linnet::mm {

namespace {

bool is_known_advice(int advice) {
    switch (advice) {
    case abi::MADV_NORMAL:
    case abi::MADV_RANDOM:
    case abi::MADV_SEQUENTIAL:
    case abi::MADV_WILLNEED:
    case abi::MADV_DONTNEED:
    case abi::MADV_DONTNEED_LOCKED:
    case abi::MADV_FREE:
    case abi::MADV_REMOVE:
    case abi::MADV_DONTFORK:
    case abi::MADV_DOFORK:
    case abi::MADV_DONTDUMP:
    case abi::MADV_DODUMP:
    case abi::MADV_WIPEONFORK:
    case abi::MADV_KEEPONFORK:
    case abi::MADV_COLD:
    case abi::MADV_PAGEOUT:
    case abi::MADV_POPULATE_READ:
    case abi::MADV_POPULATE_WRITE:
    case abi::MADV_HUGEPAGE:
    case abi::MADV_NOHUGEPAGE:
    case abi::MADV_COLLAPSE:
    case abi::MADV_GUARD_INSTALL:
    case abi::MADV_GUARD_REMOVE:
        return true;
    // Without KSM and memory failure handling Linux says EINVAL to the rest.
    default:
        return false;
    }
}

/// Advice that would take pages away from a sealed mapping, now or in a child: allowed where the program could write
/// the same zeroes itself (mseal(2)).
bool is_sealed_against(const Vma& vma, int advice) {
    if (!vma.is(vma_sealed) || !vma.is_anonymous() || (vma.prot & abi::PROT_WRITE)) return false;
    switch (advice) {
    case abi::MADV_DONTNEED:
    case abi::MADV_DONTNEED_LOCKED:
    case abi::MADV_FREE:
    case abi::MADV_REMOVE:
    case abi::MADV_DONTFORK:
    case abi::MADV_WIPEONFORK:
        return true;
    default:
        return false;
    }
}

/// What is said where there is no range to follow advice on.
Result<void> refuse(VirtAddr address, u64 length, int advice) {
    if (!is_known_advice(advice) || !is_aligned(address.value, arch::page_size)) return error(Errno::EINVAL);
    const u64 rounded = align_up(length, arch::page_size);
    if ((length != 0 && rounded == 0) || address.value + rounded < address.value) return error(Errno::EINVAL);
    if (rounded == 0) return {};
    return error(Errno::ENOMEM);
}

} // namespace

inline Result<void> AddressSpace::follow_advice(VirtAddr begin, VirtAddr end, int advice) {
    switch (advice) {
    case abi::MADV_DONTNEED:
    case abi::MADV_DONTNEED_LOCKED:
    case abi::MADV_FREE:
    case abi::MADV_COLD:
    case abi::MADV_PAGEOUT:
        return discard(begin, end, advice);
    case abi::MADV_WILLNEED:
        return will_need(begin, end);
    case abi::MADV_REMOVE:
        return remove_from_object(begin, end);
    case abi::MADV_POPULATE_READ:
        return populate(begin, end - begin, arch::Access::Read);
    case abi::MADV_POPULATE_WRITE:
        return populate(begin, end - begin, arch::Access::Write);
    case abi::MADV_COLLAPSE:
        return collapse_range(begin, end);
    default:
        return mark_advice(begin, end, advice);
    }
}

Result<void> AddressSpace::advise(VirtAddr address, u64 length, int advice) {
    const u64 rounded = align_up(length, arch::page_size);
    if (rounded == 0 || !is_mappable(address, rounded)) [[unlikely]]
        return refuse(address, length, advice);
    return follow_advice(address, address + rounded, advice);
}

/// Advice that is a mark on the mapping.
[[gnu::noinline]] Result<void> AddressSpace::mark_advice(VirtAddr begin, VirtAddr end, int advice) {
    if (!is_known_advice(advice)) return error(Errno::EINVAL);
    core::WriteGuard guard(mmap_lock_);
    TlbBatch batch(*this);
    return change_each(begin, end, [&](Vma& part) { return advise_part(part, advice, batch); });
}

Result<void> AddressSpace::advise_part(Vma& part, int advice, TlbBatch& batch) {
    if (is_sealed_against(part, advice)) return error(Errno::EPERM);
    switch (advice) {
    case abi::MADV_NORMAL:
        part.flags &= ~u32{vma_random_read | vma_sequential_read};
        break;
    case abi::MADV_RANDOM:
        part.flags = (part.flags & ~u32{vma_sequential_read}) | vma_random_read;
        break;
    case abi::MADV_SEQUENTIAL:
        part.flags = (part.flags & ~u32{vma_random_read}) | vma_sequential_read;
        break;
    case abi::MADV_DONTFORK:
        part.flags |= vma_dont_fork;
        break;
    case abi::MADV_DOFORK:
        if (is_physical(part)) return error(Errno::EINVAL);
        part.flags &= ~u32{vma_dont_fork};
        break;
    case abi::MADV_DONTDUMP:
        part.flags |= vma_dont_dump;
        break;
    case abi::MADV_DODUMP:
        if (is_physical(part) || part.is(vma_droppable)) return error(Errno::EINVAL);
        part.flags &= ~u32{vma_dont_dump};
        break;
    case abi::MADV_WIPEONFORK:
        if (part.object || part.is(vma_shared)) return error(Errno::EINVAL);
        part.flags |= vma_wipe_on_fork;
        break;
    case abi::MADV_KEEPONFORK:
        if (part.is(vma_droppable)) return error(Errno::EINVAL);
        part.flags &= ~u32{vma_wipe_on_fork};
        break;
    case abi::MADV_HUGEPAGE:
        if (is_physical(part)) return error(Errno::EINVAL);
        part.flags = (part.flags & ~u32{vma_no_huge_page}) | vma_huge_page;
        break;
    case abi::MADV_NOHUGEPAGE:
        if (is_physical(part)) return error(Errno::EINVAL);
        part.flags = (part.flags & ~u32{vma_huge_page}) | vma_no_huge_page;
        break;
    case abi::MADV_GUARD_INSTALL:
        return install_guard(part, batch);
    case abi::MADV_GUARD_REMOVE:
        part.flags &= ~u32{vma_guard};
        break;
    default:
        return error(Errno::EINVAL);
    }
    return {};
}

/// A guard range is a mapping of its own that looks like part of its neighbours: what shows mappings joins them
/// (report.cpp). So whatever takes pages away leaves it in place, and whatever takes mappings away takes it too.
Result<void> AddressSpace::install_guard(Vma& part, TlbBatch& batch) {
    if (part.is(vma_locked) || part.is(vma_special) || part.is(vma_hugetlb) || is_physical(part))
        return error(Errno::EINVAL);
    TRY(own_partial_tables(part.begin, part.end));
    part.flags |= vma_guard;
    zap(part, part.begin, part.end, batch);
    return {};
}

/// The range lies in the mapping. Nothing when Zap::OwnTables does not do.
[[gnu::always_inline]] inline std::optional<Result<void>>
AddressSpace::discard_part(Vma& vma, AddressRange range, int advice, Zap what, TlbBatch& batch) {
    const bool only_checks = advice == abi::MADV_COLD || advice == abi::MADV_PAGEOUT;
    if (is_sealed_against(vma, advice)) return Result<void>(error(Errno::EPERM));
    if ((vma.is(vma_locked) && advice != abi::MADV_DONTNEED_LOCKED) || is_physical(vma))
        return Result<void>(error(Errno::EINVAL));
    if (advice == abi::MADV_FREE && (!vma.is_anonymous() || vma.is(vma_shared)))
        return Result<void>(error(Errno::EINVAL));
    if (vma.is(vma_hugetlb)) {
        if (only_checks || !is_aligned(range.begin.value, arch::huge_page_size))
            return Result<void>(error(Errno::EINVAL));
        const VirtAddr end = huge_page_floor(range.end);
        if (range.begin < end) discard_pool_pages(vma, range.begin, end, batch);
    } else if (!only_checks && !zap(vma, range.begin, range.end, batch, what)) {
        return {};
    }
    return Result<void>();
}

std::optional<Result<void>> AddressSpace::discard_locked(AddressRange range, int advice, Zap what, TlbBatch& batch) {
    bool hole = false;
    for (VirtAddr at = range.begin; at < range.end;) {
        Vma* vma = vmas_.find_ending_after(at);
        if (!vma || vma->begin >= range.end) {
            hole = true;
            break;
        }
        if (vma->begin > at) hole = true;
        const AddressRange part{std::max(at, vma->begin), std::min(range.end, vma->end)};
        auto done = discard_part(*vma, part, advice, what, batch);
        if (!done || !*done) return done;
        at = part.end;
    }
    return hole ? Result<void>(error(Errno::ENOMEM)) : Result<void>();
}

/// DONTNEED, FREE: pages go now (FREE allows that at any time). COLD, PAGEOUT: without swap nothing can go, only the
/// checks are due.
Result<void> AddressSpace::discard(VirtAddr begin, VirtAddr end, int advice) {
    {
        core::ReadGuard guard(mmap_lock_);
        TlbBatch batch(*this);
        Vma* vma = vmas_.find(begin); // mostly all of the range lies in one
        auto done = vma && end <= vma->end ? discard_part(*vma, {begin, end}, advice, Zap::OwnTables, batch)
                                           : discard_locked({begin, end}, advice, Zap::OwnTables, batch);
        if (done) [[likely]]
            return *done;
    }
    return discard_exclusively(begin, end, advice);
}

[[gnu::noinline]] Result<void> AddressSpace::discard_exclusively(VirtAddr begin, VirtAddr end, int advice) {
    core::WriteGuard guard(mmap_lock_);
    claim_range(begin, end);
    TRY(own_partial_tables(begin, end));
    TlbBatch batch(*this);
    return *discard_locked({begin, end}, advice, Zap::All, batch);
}

void AddressSpace::release_private_memory() {
    is_released_.store(true, std::memory_order_seq_cst);
    core::WriteGuard guard(mmap_lock_);
    TlbBatch batch(*this);
    for (Vma* vma = vmas_.first(); vma; vma = vmas_.next(*vma)) {
        if (vma->is(vma_shared) || is_physical(*vma)) continue;
        // What it would take memory to give back stays until the end of the process.
        if (own_partial_tables(vma->begin, vma->end)) zap(*vma, vma->begin, vma->end, batch);
    }
}

/// Reads file pages in ahead of their use; what fails, fails again when it is used.
Result<void> AddressSpace::will_need(VirtAddr begin, VirtAddr end) {
    bool hole = false;
    for (VirtAddr at = begin; at < end;) {
        NullableRefPtr<VmObject> object;
        u64 first = 0, last = 0;
        {
            core::ReadGuard guard(mmap_lock_);
            Vma* vma = vmas_.find_ending_after(at);
            if (!vma || vma->begin >= end) return error(Errno::ENOMEM);
            if (vma->begin > at) hole = true;
            VirtAddr from = std::max(at, vma->begin), to = std::min(end, vma->end);
            object = vma->object;
            first = vma->index_of(from);
            last = first + pages_in(to - from);
            at = to;
        }
        if (object && object->kind() == VmObject::Kind::File) object->as_file()->begin_reading(first, last - first);
    }
    if (hole) return error(Errno::ENOMEM);
    return {};
}

Result<void> AddressSpace::remove_from_object(VirtAddr begin, VirtAddr end) {
    for (VirtAddr at = begin; at < end;) {
        NullableRefPtr<VmObject> object;
        u64 first = 0, last = 0;
        {
            core::ReadGuard guard(mmap_lock_);
            Vma* vma = vmas_.find(at);
            if (!vma) return error(Errno::ENOMEM);
            if (vma->is(vma_locked) || !vma->object || is_physical(*vma)) return error(Errno::EINVAL);
            if (!vma->is(vma_shared) || !(vma->prot & abi::PROT_WRITE)) return error(Errno::EACCES);
            if (vma->object->kind() != VmObject::Kind::Shared) return error(Errno::EOPNOTSUPP);
            VirtAddr to = std::min(end, vma->end);
            object = vma->object;
            first = vma->index_of(at);
            last = first + pages_in(to - at);
            at = to;
        }
        object->punch_hole(first << arch::page_shift, last << arch::page_shift);
    }
    return {};
}

/// Whether an access by the program would need no fault, but perhaps one to set marks. The mmap lock is held.
bool AddressSpace::is_accessible(VirtAddr address, arch::Access access) const {
    return accessible_until(address, address + 1, access) > address;
}

/// Up to where, at most to `end` and within what one last-level table maps, an access from `address` on needs no fault;
/// `address` itself if it does.
VirtAddr AddressSpace::accessible_until(VirtAddr address, VirtAddr end, arch::Access access) const {
    end = std::min(end, VirtAddr{align_down(address.value, leaf_table_span)} + leaf_table_span);
    const Entry* slot = tables_.find_leaf_slot(address);
    if (!slot) return address;
    const bool writes = access == arch::Access::Write;
    const Entry upper = Table::load(slot);
    if (Policy::is_leaf(upper, 1)) return writes && !Policy::flags(upper, 1).writable ? address : end;
    const Page* table = Table::leaf_table_in(slot);
    if (!table || (writes && is_shared_table(*table))) return address;
    for (VirtAddr at = address; at < end; at += arch::page_size) {
        const Entry entry = Table::load(Table::entries(*table) + Table::index(at, 0));
        if (Policy::is_empty(entry) || (writes && !Policy::flags(entry, 0).writable)) return at;
    }
    return end;
}

Result<void> AddressSpace::populate(VirtAddr address, u64 length, arch::Access access) {
    VirtAddr end = address + align_up(length, arch::page_size);
    for (VirtAddr at = address; at < end;) {
        {
            core::ReadGuard guard(mmap_lock_);
            Vma* vma = vmas_.find(at);
            if (!vma) return error(Errno::ENOMEM);
            if (!allows(vma->prot, access)) return error(Errno::EINVAL);
            if (vma->is(vma_guard)) return error(Errno::EFAULT);
            const VirtAddr until = accessible_until(at, std::min(end, vma->end), access);
            if (until > at) {
                at = until;
                continue;
            }
        }
        switch (fault_with_growth(at, access, ForeignAccess::Checked)) {
        case FaultResult::Resolved:
            at += arch::page_size; // at least; what else came with it is passed over next
            break;
        case FaultResult::SegvAccErr:
            return error(Errno::EINVAL);
        case FaultResult::OutOfMemory:
        case FaultResult::SegvMapErr: // unmapped meanwhile
            return error(Errno::ENOMEM);
        default:
            return error(Errno::EFAULT);
        }
    }
    return {};
}

Result<void> AddressSpace::residency(VirtAddr address, std::span<u8> resident) {
    core::ReadGuard guard(mmap_lock_);
    for (u8& byte : resident) {
        Vma* vma = vmas_.find(address);
        if (!vma) return error(Errno::ENOMEM);
        bool present = is_accessible(address, arch::Access::Read);
        if (!present && vma->object && !is_physical(*vma) && !vma->is(vma_guard))
            present = static_cast<bool>(vma->object->find_page(vma->index_of(address)));
        byte = present ? 1 : 0;
        address += arch::page_size;
    }
    return {};
}

Result<void> AddressSpace::sync(VirtAddr address, u64 length, u32 flags) {
    constexpr u32 known = abi::MS_ASYNC | abi::MS_INVALIDATE | abi::MS_SYNC;
    if ((flags & ~known) || ((flags & abi::MS_ASYNC) && (flags & abi::MS_SYNC))) return error(Errno::EINVAL);
    if (!is_aligned(address.value, arch::page_size)) return error(Errno::EINVAL);
    u64 rounded = align_up(length, arch::page_size);
    if (address.value + rounded < address.value || (length != 0 && rounded == 0)) return error(Errno::ENOMEM);
    VirtAddr end = address + rounded;
    bool hole = false;
    for (VirtAddr at = address; at < end;) {
        NullableRefPtr<VmObject> object;
        u64 first = 0, count = 0;
        {
            core::ReadGuard guard(mmap_lock_);
            Vma* vma = vmas_.find_ending_after(at);
            if (!vma || vma->begin >= end) return error(Errno::ENOMEM);
            if (vma->begin > at) hole = true;
            if ((flags & abi::MS_INVALIDATE) && vma->is(vma_locked)) return error(Errno::EBUSY);
            VirtAddr from = std::max(at, vma->begin), to = std::min(end, vma->end);
            if (vma->is(vma_shared)) object = vma->object;
            first = vma->index_of(from);
            count = pages_in(to - from);
            at = to;
        }
        if (!(flags & abi::MS_SYNC) || !object || object->kind() != VmObject::Kind::File) continue;
        TRY(static_cast<FileObject&>(*object).write_back(first << arch::page_shift, (first + count)
                                                                                        << arch::page_shift));
    }
    if (hole) return error(Errno::ENOMEM);
    return {};
}

/// Pages of [begin, end) that a lock would add to the account.
u64 AddressSpace::unlocked_pages(VirtAddr begin, VirtAddr end) {
    u64 pages = 0;
    for (Vma* vma = vmas_.find_ending_after(begin); vma && vma->begin < end; vma = vmas_.next(*vma))
        if (!vma->is(vma_locked)) pages += pages_in(std::min(end, vma->end) - std::max(begin, vma->begin));
    return pages;
}

Result<void> AddressSpace::lock_range(VirtAddr address, u64 length, LockMode mode) {
    u64 offset = address.value & (arch::page_size - 1);
    u64 rounded = align_up(length + offset, arch::page_size);
    if (length + offset < length || (length != 0 && rounded == 0)) return error(Errno::EINVAL);
    address = page_floor(address);
    if (mode != LockMode::Unlock && limits.locked.load(std::memory_order_relaxed) == 0) return error(Errno::EPERM);
    if (rounded == 0) return {};
    if (!arch::is_user_range(address, rounded))
        return error(address.value + rounded < rounded ? Errno::EINVAL : Errno::ENOMEM);
    VirtAddr end = address + rounded;
    {
        core::WriteGuard guard(mmap_lock_);
        if (mode != LockMode::Unlock) {
            u64 limit = limits.locked.load(std::memory_order_relaxed);
            if (limit == 0) return error(Errno::EPERM);
            if (locked_pages_.load(std::memory_order_relaxed) + unlocked_pages(address, end) > pages_in(limit))
                return error(Errno::ENOMEM);
        }
        TRY(change_each(address, end, [&](Vma& part) -> Result<void> {
            if (!is_lockable(part)) return {};
            part.flags &= ~u32{vma_locked | vma_lock_on_fault};
            if (mode != LockMode::Unlock) part.flags |= vma_locked;
            if (mode == LockMode::LockOnFault) part.flags |= vma_lock_on_fault;
            return {};
        }));
    }
    if (mode != LockMode::Lock) return {};
    for (VirtAddr at = address; at < end; at += arch::page_size) {
        auto made = populate(at, arch::page_size, arch::Access::Write);
        // Read-only and inaccessible parts are made present as far as they can be.
        if (!made) made = populate(at, arch::page_size, arch::Access::Read);
        // Nobody has any right to it, or it lies beyond the end of its file: as good as not mapped.
        if (!made) return error(Errno::ENOMEM);
    }
    return {};
}

Result<void> AddressSpace::lock_all(u32 mcl_flags) {
    constexpr u32 known = abi::MCL_CURRENT | abi::MCL_FUTURE | abi::MCL_ONFAULT;
    if (mcl_flags == 0 || (mcl_flags & ~known) || mcl_flags == abi::MCL_ONFAULT) return error(Errno::EINVAL);
    u64 limit = limits.locked.load(std::memory_order_relaxed);
    if (limit == 0) return error(Errno::EPERM);
    bool on_fault = (mcl_flags & abi::MCL_ONFAULT) != 0;
    {
        core::WriteGuard guard(mmap_lock_);
        if ((mcl_flags & abi::MCL_CURRENT) && total_pages_.load(std::memory_order_relaxed) > pages_in(limit))
            return error(Errno::ENOMEM);
        future_lock_flags_ = mcl_flags & abi::MCL_FUTURE ? mcl_flags & ~abi::MCL_CURRENT : 0;
        if (!(mcl_flags & abi::MCL_CURRENT)) return {};
        for (Vma* vma = vmas_.first(); vma; vma = vmas_.next(*vma)) {
            if (!is_lockable(*vma)) continue;
            mmap_lock_.claim(*vma);
            account(*vma, -static_cast<i64>(vma->page_count()));
            vma->flags = (vma->flags & ~u32{vma_lock_on_fault}) | vma_locked | (on_fault ? u32{vma_lock_on_fault} : 0);
            account(*vma, static_cast<i64>(vma->page_count()));
        }
    }
    if (on_fault) return {};
    VirtAddr at{};
    for (;;) {
        VirtAddr begin, end;
        bool writes;
        {
            core::ReadGuard guard(mmap_lock_);
            Vma* vma = vmas_.find_ending_after(at);
            if (!vma) return {};
            begin = vma->begin, at = end = vma->end;
            writes = !vma->is(vma_shared) && (vma->prot & abi::PROT_WRITE);
        }
        (void)populate(begin, end - begin, writes ? arch::Access::Write : arch::Access::Read);
    }
}

Result<void> AddressSpace::unlock_all() {
    core::WriteGuard guard(mmap_lock_);
    future_lock_flags_ = 0;
    for (Vma* vma = vmas_.first(); vma; vma = vmas_.next(*vma)) {
        if (!is_lockable(*vma)) continue;
        mmap_lock_.claim(*vma);
        account(*vma, -static_cast<i64>(vma->page_count()));
        vma->flags &= ~u32{vma_locked | vma_lock_on_fault};
        account(*vma, static_cast<i64>(vma->page_count()));
    }
    return {};
}

} // namespace linnet::mm
