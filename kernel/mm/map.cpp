// mmap(2), brk(2) and the choice of addresses.
#include "vma_edit.hpp"
#include <abi_arch/mman.hpp>
#include <algorithm>
#include <mm/code_probes.hpp>

namespace linnet::mm {

Result<void> AddressSpace::check_limits(u64 pages, u32 prot, u32 vma_flags) const {
    return check_limits(pages, prot, vma_flags, {});
}

/// `replaced` is what the new mapping takes the place of.
Result<void> AddressSpace::check_limits(u64 pages, u32 prot, u32 vma_flags, const MappingTotals& replaced) const {
    u64 total = total_pages_.load(std::memory_order_relaxed) - replaced.pages;
    if (total + pages > pages_in(limits.address_space.load(std::memory_order_relaxed))) return error(Errno::ENOMEM);
    u64 data = data_pages_.load(std::memory_order_relaxed) - replaced.data;
    if (counts_as_data(prot, vma_flags) && data + pages > pages_in(limits.data.load(std::memory_order_relaxed)))
        return error(Errno::ENOMEM);
    if (vmas_.count() >= max_map_count) return error(Errno::ENOMEM);
    bool is_promised = is_accountable(prot, vma_flags) || (vma_flags & vma_accounted);
    if (is_promised && pages > replaced.accounted && !can_commit(pages - replaced.accounted))
        return error(Errno::ENOMEM);
    if ((vma_flags & vma_locked) &&
        locked_pages_.load(std::memory_order_relaxed) + pages > pages_in(limits.locked.load(std::memory_order_relaxed)))
        return error(Errno::EAGAIN);
    return {};
}

/// PR_SET_MDWE (prctl(2)): nothing that can be executed may be written to, or has not been executable before.
Result<void> AddressSpace::check_write_execute(u32 before, u32 prot) const {
    if (!(prot & abi::PROT_EXEC) || !write_execute_rules.load(std::memory_order_relaxed)) [[likely]]
        return {};
    if ((prot & abi::PROT_WRITE) || !(before & abi::PROT_EXEC)) return error(Errno::EACCES);
    return {};
}

MappingTotals AddressSpace::mapped_in(VirtAddr begin, VirtAddr end) {
    MappingTotals result;
    for (Vma* vma = vmas_.find_ending_after(begin); vma && vma->begin < end; vma = vmas_.next(*vma)) {
        u64 pages = pages_in(std::min(end, vma->end) - std::max(begin, vma->begin));
        result.pages += pages;
        if (counts_as_data(vma->prot, vma->flags)) result.data += pages;
        if (vma->is(vma_accounted)) result.accounted += pages;
    }
    return result;
}

/// Top-down from the base; where nothing fits there, bottom-up from a third of the user half, as Linux does.
VirtAddr AddressSpace::find_gap(u64 length, u64 alignment) {
    if (layout.grows_upwards)
        return vmas_.find_gap_bottom_up(length, mmap_base, arch::user_address_end, alignment, stack_guard_gap);
    if (alignment != arch::page_size) {
        const bool helps = gap_hint_.value != 0 && length > gap_hint_length_ && gap_hint_ < mmap_base;
        return vmas_.find_gap_top_down(length, lowest_user_address, helps ? gap_hint_ : mmap_base, alignment,
                                       stack_guard_gap);
    }
    if (gap_hint_.value == 0 || length <= gap_hint_length_ || gap_hint_ > mmap_base) {
        gap_hint_ = mmap_base;
        gap_hint_length_ = 0;
    }
    VirtAddr found = vmas_.find_gap_top_down(length, lowest_user_address, gap_hint_, arch::page_size, stack_guard_gap,
                                             &gap_hint_length_);
    if (found.value != 0) {
        gap_hint_ = found;
        return found;
    }
    gap_hint_ = {};
    VirtAddr third{align_down(arch::user_address_end.value / 3, arch::page_size)};
    return vmas_.find_gap_bottom_up(length, third, arch::user_address_end, arch::page_size, stack_guard_gap);
}

namespace {
/// Much private memory begins with a page table, and shares none of those with what lies above it: then fork copies no
/// entries (fork.cpp), and huge pages fit. Less would lose too many addresses between mappings.
bool wants_own_tables(const MapRequest& request, u64 length) {
    constexpr u64 least_tables = 16;
    return !request.object && !(request.flags & (abi::MAP_SHARED | abi::MAP_STACK | abi::MAP_GROWSDOWN)) &&
           length >= least_tables * leaf_table_span;
}
} // namespace

Result<VirtAddr> AddressSpace::choose_address(const MapRequest& request, u64 length) {
    if (length > arch::user_address_end.value) return error(Errno::ENOMEM);
    VirtAddr address = request.address;
    if (request.flags & (abi::MAP_FIXED | abi::MAP_FIXED_NOREPLACE)) {
        if (!is_aligned(address.value, arch::page_size)) return error(Errno::EINVAL);
        if (!arch::is_user_range(address, length)) return error(Errno::ENOMEM);
        if (address < lowest_user_address && !request.may_be_low) return error(Errno::EPERM);
        if (!(request.flags & abi::MAP_FIXED_NOREPLACE)) return address;
        Vma* other = vmas_.find_ending_after(address);
        if (other && other->begin < address + length) return error(Errno::EEXIST);
        return address;
    }
    if (address.value != 0) {
        address = {request.alignment > arch::page_size ? align_up(address.value, request.alignment)
                                                       : page_floor(address).value};
        if (address < lowest_user_address) address = lowest_user_address;
        if (arch::is_user_range(address, length)) {
            Vma* other = vmas_.find_ending_after(address);
            u64 guard = other && other->is(vma_grows_down) ? stack_guard_gap : 0;
            if (!other || (other->begin.value >= guard && address + length <= other->begin - guard)) return address;
        }
    }
    VirtAddr found{};
    if (request.flags & abi::map_32bit) {
        found = vmas_.find_gap_bottom_up(length, {0x4000'0000}, {0x8000'0000}, request.alignment, stack_guard_gap);
    } else {
        if (request.alignment < leaf_table_span && wants_own_tables(request, length))
            found = find_gap(length, leaf_table_span);
        if (found.value == 0) found = find_gap(length, request.alignment);
    }
    if (found.value == 0) return error(Errno::ENOMEM);
    return found;
}

/// Puts in a mapping like `described`, as part of a neighbour where it can be.
Result<void> AddressSpace::insert_mapping(Vma& described) {
    if (described.object) TRY(own_tables(described.begin, described.end)); // shared_tables.cpp
    i64 pages = static_cast<i64>(described.page_count());
    Vma* above = vmas_.find_ending_after(described.begin);
    Vma* below = above ? vmas_.previous(*above) : vmas_.last();
    if (below && can_merge(*below, described)) {
        account(described, pages);
        set_range(*below, below->begin, described.end);
        below->flags |= described.flags & vma_soft_dirty;
        if (above && can_merge(*below, *above)) merge(*below);
        return {};
    }
    if (above && can_merge(described, *above)) {
        account(described, pages);
        set_range(*above, described.begin, above->end);
        above->flags |= described.flags & vma_soft_dirty;
        return {};
    }
    Vma* vma = TRY(clone_vma(described));
    link_vma(*vma);
    below ? vmas_.insert_behind(*below, *vma) : vmas_.insert(*vma);
    account(*vma, pages);
    return {};
}

namespace {

u32 vma_flags_of(const MapRequest& request, u32 future_lock) {
    u32 flags = request.vma_flags | new_vma_flags;
    if (request.flags & abi::MAP_SHARED) flags |= vma_shared; // SHARED_VALIDATE contains the bit
    if (request.flags & abi::MAP_GROWSDOWN) flags |= vma_grows_down;
    // Who never promises too much reserves whatever the program says (Linux's documentation, overcommit accounting).
    if ((request.flags & abi::MAP_NORESERVE) && overcommit_mode != overcommit_never) flags |= vma_no_reserve;
    if (request.flags & abi::MAP_LOCKED) flags |= vma_locked;
    if (request.flags & abi::MAP_STACK) flags |= vma_no_huge_page; // most of a stack is never touched
    if (future_lock & abi::MCL_FUTURE) flags |= vma_locked;
    if (future_lock & abi::MCL_ONFAULT) flags |= vma_lock_on_fault;
    if (request.object && request.object->is_secret()) flags |= vma_locked | vma_dont_dump;
    if (request.object && request.object->is_hugetlb()) flags |= vma_hugetlb;
    if ((request.flags & abi::MAP_TYPE) == abi::MAP_DROPPABLE) {
        // Contents that may go at any time are neither promised nor locked, inherited or dumped (mmap(2)).
        flags &= ~u32{vma_locked | vma_lock_on_fault};
        flags |= vma_droppable | vma_no_reserve | vma_wipe_on_fork | vma_dont_dump;
    }
    return flags;
}

} // namespace

Result<VirtAddr> AddressSpace::map_locked(const MapRequest& request, u64 length, DoomedVmas& doomed) {
    VirtAddr address = TRY(choose_address(request, length));
    TRY(check_write_execute(request.prot, request.prot));
    u32 flags = vma_flags_of(request, future_lock_flags_);
    if ((request.flags & abi::MAP_LOCKED) && limits.locked.load(std::memory_order_relaxed) == 0)
        return error(Errno::EPERM);
    if (flags & vma_hugetlb) {
        if (!is_aligned(address.value | length, arch::huge_page_size)) return error(Errno::EINVAL);
        has_huge_pages_.store(true, std::memory_order_relaxed);
    }
    if (request.limits == MapRequest::Limits::Enforced) {
        MappingTotals replaced;
        if (request.flags & abi::MAP_FIXED) replaced = mapped_in(address, address + length);
        TRY(check_limits(pages_in(length), request.prot, flags, replaced));
    }
    bool is_device = request.object && request.object->kind() == VmObject::Kind::Physical;
    if (is_accountable(request.prot, flags) && !is_device) flags |= vma_accounted;
    Vma described;
    described.object = request.object;
    if ((flags & vma_shared) && !described.object)
        described.object = NullableRefPtr<VmObject>(TRY(AnonObject::create(
            length, flags & vma_no_reserve ? VmObject::Commitment::ByPage : VmObject::Commitment::Whole)));
    // Before the old mapping goes: what may fail has not failed.
    if (request.flags & abi::MAP_FIXED) TRY(unmap_locked(address, address + length, doomed));
    if (flags & vma_hugetlb) { // there must not even be an empty table
        TlbBatch batch(*this);
        prune_tables(address, address + length, address, address + length, batch);
    }
    described.begin = address;
    described.end = address + length;
    described.first_index = described.object ? pages_in(request.offset) : pages_in(address.value);
    described.label = request.label;
    described.promise = request.promise;
    described.flags = flags;
    described.prot = static_cast<u8>(request.prot & 7);
    described.max_prot = static_cast<u8>(request.max_prot & 7);
    TRY(insert_mapping(described));
    return address;
}

Result<VirtAddr> AddressSpace::map(const MapRequest& request) {
    if (request.length == 0) return error(Errno::EINVAL);
    u64 length = align_up(request.length, arch::page_size);
    if (length == 0) return error(Errno::ENOMEM);
    if (!is_aligned(request.offset, arch::page_size)) return error(Errno::EINVAL);
    u64 end_offset;
    if (request.object && __builtin_add_overflow(request.offset, length, &end_offset)) return error(Errno::EOVERFLOW);
    DoomedVmas doomed;
    VirtAddr address;
    bool fill;
    {
        core::WriteGuard guard(mmap_lock_);
        address = TRY(map_locked(request, length, doomed));
        u32 eager_lock = future_lock_flags_ & abi::MCL_ONFAULT ? 0 : future_lock_flags_;
        fill = (request.flags & (abi::MAP_POPULATE | abi::MAP_LOCKED)) || eager_lock;
        if ((request.flags & abi::MAP_NONBLOCK) && !(request.flags & abi::MAP_LOCKED)) fill = false;
    }
    if (fill) {
        bool write = (request.prot & abi::PROT_WRITE) && !(request.flags & abi::MAP_SHARED);
        // What can't be made present now faults later: mmap has succeeded.
        (void)populate(address, length, write ? arch::Access::Write : arch::Access::Read);
    }
    if (request.object && request.object->is_probed.load()) [[unlikely]]
        code_probes->on_mapped(*this, *request.object);
    return address;
}

Result<void> AddressSpace::remap_pages(VirtAddr address, u64 length, u64 first_index, u32 flags) {
    address = page_floor(address);
    length = align_down(length, arch::page_size);
    if (address + length <= address) return error(Errno::EINVAL);
    u64 end_index;
    if (__builtin_add_overflow(first_index, pages_in(length), &end_index)) return error(Errno::EINVAL);
    if (!arch::is_user_range(address, length)) return error(Errno::EINVAL);
    DoomedVmas doomed;
    {
        core::WriteGuard guard(mmap_lock_);
        Vma* vma = vmas_.find(address);
        if (!vma || !vma->is(vma_shared) || !vma->object || is_physical(*vma)) return error(Errno::EINVAL);
        for (Vma* part = vma; part->end < address + length;) {
            Vma* next = vmas_.next(*part);
            bool alike = next && next->begin == part->end && next->flags == vma->flags &&
                         next->object.get() == vma->object.get();
            if (!alike) return error(Errno::EINVAL);
            part = next;
        }
        if (end_index > u64{0x7fff'ffff'ffff'ffff} >> arch::page_shift) return error(Errno::EOVERFLOW);
        MapRequest request;
        request.address = address;
        request.prot = vma->prot;
        request.flags = abi::MAP_SHARED | abi::MAP_FIXED;
        if (vma->is(vma_locked)) request.flags |= abi::MAP_LOCKED;
        request.object = vma->object;
        request.label = vma->label;
        request.offset = first_index << arch::page_shift;
        request.max_prot = vma->max_prot;
        TRY(map_locked(request, length, doomed));
    }
    if (!(flags & abi::MAP_NONBLOCK)) (void)populate(address, length, arch::Access::Read);
    return {};
}

void AddressSpace::set_brk_begin(VirtAddr address) {
    core::WriteGuard guard(mmap_lock_);
    layout.brk_begin = address;
    brk_ = address;
}

VirtAddr AddressSpace::current_brk() const { return brk_; }

Result<void> AddressSpace::set_layout(const ExecLayout& fresh, VirtAddr brk) {
    for (VirtAddr address : {fresh.code_begin, fresh.code_end, fresh.data_begin, fresh.data_end, fresh.brk_begin, brk,
                             fresh.stack_begin, fresh.arg_begin, fresh.arg_end, fresh.env_begin, fresh.env_end})
        if (address < lowest_user_address || address >= arch::user_address_end) return error(Errno::EINVAL);
    const bool is_in_order = fresh.code_begin < fresh.code_end && fresh.data_begin <= fresh.data_end &&
                             fresh.brk_begin <= brk && fresh.arg_begin <= fresh.arg_end &&
                             fresh.env_begin <= fresh.env_end;
    const u64 data = (brk - fresh.brk_begin) + (fresh.data_end - fresh.data_begin);
    if (!is_in_order || data > limits.data.load(std::memory_order_relaxed)) return error(Errno::EINVAL);
    core::WriteGuard guard(mmap_lock_);
    layout = fresh;
    brk_ = brk;
    return {};
}

bool AddressSpace::has_mapping_above(VirtAddr address) {
    core::ReadGuard guard(mmap_lock_);
    return vmas_.find_ending_after(address) != nullptr;
}

Result<void> AddressSpace::grow_brk(VirtAddr from, VirtAddr to) {
    Vma* above = vmas_.find_ending_after(from);
    u64 guard = above && above->is(vma_grows_down) ? stack_guard_gap : 0;
    // A page stays free below what lies above.
    if (above && (above->begin.value < guard || above->begin - guard < to + arch::page_size))
        return error(Errno::ENOMEM);
    Vma heap;
    heap.begin = from;
    heap.end = to;
    heap.first_index = pages_in(from.value);
    heap.prot = abi::PROT_READ | abi::PROT_WRITE;
    heap.flags = vma_flags_of({}, future_lock_flags_);
    TRY(check_limits(heap.page_count(), heap.prot, heap.flags));
    heap.flags |= vma_accounted;
    return insert_mapping(heap);
}

VirtAddr AddressSpace::brk(VirtAddr address) {
    DoomedVmas doomed;
    VirtAddr populate_from{}, populate_to{};
    VirtAddr result;
    {
        core::WriteGuard guard(mmap_lock_);
        if (address < layout.brk_begin || address > arch::user_address_end) return brk_;
        u64 data = (address - layout.brk_begin) + (layout.data_end - layout.data_begin);
        if (data > limits.data.load(std::memory_order_relaxed)) return brk_;
        VirtAddr old_end{align_up(brk_.value, arch::page_size)};
        VirtAddr new_end{align_up(address.value, arch::page_size)};
        if (new_end < old_end) {
            if (!unmap_locked(new_end, old_end, doomed)) return brk_;
        } else if (new_end > old_end) {
            if (!grow_brk(old_end, new_end)) return brk_;
            if (future_lock_flags_ == abi::MCL_FUTURE) populate_from = old_end, populate_to = new_end;
        }
        result = brk_ = address;
    }
    if (populate_from < populate_to) (void)populate(populate_from, populate_to - populate_from, arch::Access::Write);
    return result;
}

} // namespace linnet::mm
