// mprotect(2).
#include "vma_edit.hpp"

namespace linnet::mm {

Result<void> AddressSpace::protect(VirtAddr address, u64 length, u32 prot, int protection_key) {
    if (!is_aligned(address.value, arch::page_size)) return error(Errno::EINVAL);
    if (length == 0) return {};
    length = align_up(length, arch::page_size);
    if (length == 0 || !arch::is_user_range(address, length)) return error(Errno::ENOMEM);
    VirtAddr end = address + length;
    core::WriteGuard guard(mmap_lock_);
    if (protection_key != same_key && !is_key_allocated(protection_keys_, protection_key)) return error(Errno::EINVAL);
    Vma* first = vmas_.find(address);
    if (prot & abi::PROT_GROWSDOWN) {
        first = vmas_.find_ending_after(address);
        if (!first || first->begin >= end) return error(Errno::ENOMEM);
        if (!first->is(vma_grows_down)) return error(Errno::EINVAL);
        address = first->begin;
    }
    if (!first) return error(Errno::ENOMEM);
    u8 rights = static_cast<u8>(prot & 7);
    TlbBatch batch(*this);
    // Up to the first hole or refusal the change is made, as on Linux.
    VirtAddr at = address;
    while (at < end) {
        Vma* vma = vmas_.find(at);
        if (!vma) return error(Errno::ENOMEM);
        if (vma->is(vma_sealed)) return error(Errno::EPERM);
        VirtAddr to = std::min(end, vma->end);
        int key = protection_key == same_key ? vma->protection_key : protection_key;
        if (vma->prot != rights || vma->protection_key != key) TRY(protect_part(*vma, at, to, rights, key, batch));
        at = to;
    }
    return {};
}

Result<void> AddressSpace::protect_part(Vma& vma, VirtAddr begin, VirtAddr end, u8 rights, int key, TlbBatch& batch) {
    if (rights & ~vma.max_prot) return error(Errno::EACCES);
    u64 pages = pages_in(end - begin);
    bool becomes_data = counts_as_data(rights, vma.flags) && !counts_as_data(vma.prot, vma.flags);
    if (becomes_data &&
        data_pages_.load(std::memory_order_relaxed) + pages > pages_in(limits.data.load(std::memory_order_relaxed)))
        return error(Errno::ENOMEM);
    bool is_promised_now = is_accountable(rights, vma.flags) && !vma.is(vma_accounted);
    if (is_promised_now && !can_commit(pages)) return error(Errno::ENOMEM);
    TRY(own_tables(begin, end));
    Vma* part = TRY(isolate(vma, begin, end));
    account(*part, -static_cast<i64>(pages));
    u8 before = std::exchange(part->prot, rights);
    if (is_promised_now) part->flags |= vma_accounted;
    // What was never written to needs no promise once it can't be.
    if (!(rights & abi::PROT_WRITE) && part->is_anonymous() && !part->has_private_pages.load(std::memory_order_relaxed))
        part->flags &= ~u32{vma_accounted};
    if (part->protection_key != key) batch.note_range(begin, end);
    part->protection_key = static_cast<u8>(key);
    account(*part, static_cast<i64>(pages));
    protect_entries(*part, before, batch);
    merge(*part);
    return {};
}

/// Brings the entries in line with the mapping's rights, of which it had `before`. A right to write is given at once
/// only where a write would change nothing but the page's owner: elsewhere the fault decides.
void AddressSpace::protect_entries(Vma& vma, u8 before, TlbBatch& batch) {
    const bool is_device = is_physical(vma), loses = (before & ~vma.prot) != 0;
    auto model = [&](arch::MappingFlags flags) {
        return Policy::make_leaf({}, is_device ? physical_flags(vma, flags) : flags, 0);
    };
    const Entry read_only = model(read_only_flags(vma)), full = model(full_flags(vma));
    const bool is_executable = (vma.prot & abi::PROT_EXEC) != 0;
    auto protect_table = [&](Page& table, VirtAddr from, VirtAddr to, Entry*) {
        for (Cursor cursor(table, from); cursor.address() < to; cursor.advance()) {
            Entry entry = cursor.entry();
            if (Policy::is_empty(entry)) continue;
            Page* page = counted_page(vma, Policy::address(entry, 0));
            if (is_executable && page) sync_code(*page);
            bool is_own = !vma.is(vma_shared) && page && page->kind == PageKind::Anonymous &&
                          page->refs.load(std::memory_order_acquire) == 1;
            Entry fresh;
            do {
                bool may_write = is_own || Policy::flags(entry, 0).writable;
                fresh = Policy::with_rights(entry, may_write ? full : read_only);
            } while (!cursor.compare_exchange(entry, fresh));
            if (loses) batch.note(cursor.address());
        }
    };
    auto protect_huge = [&](VirtAddr from, VirtAddr to, Entry* slot) {
        HugeTableCursor cursor(slot);
        Entry entry = cursor.entry();
        if (!Policy::is_leaf(entry, 1)) return;
        arch::MappingFlags flags = Policy::flags(entry, 1).writable ? full_flags(vma) : read_only_flags(vma);
        const Entry huge_model = Policy::make_leaf({}, flags, 1);
        while (!cursor.compare_exchange(entry, Policy::with_rights(entry, huge_model))) {
        }
        if (loses) batch.note_range(from, to);
    };
    tables_.for_each_leaf_slot(vma.begin, vma.end, protect_table, protect_huge);
}

} // namespace linnet::mm
