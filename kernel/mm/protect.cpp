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
    constexpr u8 all_rights = abi::PROT_READ | abi::PROT_WRITE | abi::PROT_EXEC;
    TlbBatch batch(*this);
    // Up to the first hole or refusal the change is made, as on Linux.
    for (Vma* vma = first;;) {
        if (vma->is(vma_sealed)) return error(Errno::EPERM);
        u8 rights = static_cast<u8>(prot & all_rights);
        if (prot & executable_where_allowed) rights |= vma->max_prot & abi::PROT_EXEC;
        TRY(check_write_execute(vma->prot, rights));
        VirtAddr to = std::min(end, vma->end);
        int key = protection_key == same_key ? vma->protection_key : protection_key;
        if (vma->prot != rights || vma->protection_key != key) TRY(protect_part(*vma, address, to, rights, key, batch));
        if (to == end) return {};
        address = to;
        vma = vmas_.find(address);
        if (!vma) return error(Errno::ENOMEM);
    }
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
    mmap_lock_.claim(vma);
    Page* table = find_own_table(begin, end);
    if (!table) table = TRY(own_sole_table(begin, end));
    const u8 before = vma.prot;
    u32 flags = vma.flags;
    if (is_promised_now) flags |= vma_accounted;
    // What was never written to needs no promise once it can't be.
    if (!(rights & abi::PROT_WRITE) && vma.is_anonymous() && !vma.has_private_pages.load(std::memory_order_relaxed))
        flags &= ~u32{vma_accounted};
    const bool changes_key = vma.protection_key != key, is_whole = begin == vma.begin && end == vma.end;
    Vma* part = &vma;
    if (!is_whole) {
        Vma* neighbour = changes_key ? nullptr : TRY(give_to_neighbour(vma, begin, end, rights, flags));
        if (neighbour) {
            account_change(*neighbour, before, vma.flags, pages);
            protect_entries(*neighbour, {begin, end}, before, table, batch);
            return {};
        }
        part = TRY(isolate(vma, begin, end));
    }
    const u32 flags_before = std::exchange(part->flags, flags);
    part->prot = rights;
    if (changes_key) batch.note_range(begin, end);
    part->protection_key = static_cast<u8>(key);
    account_change(*part, before, flags_before, pages);
    protect_entries(*part, {begin, end}, before, table, batch);
    merge(*part);
    return {};
}

/// Where a mapping's first or last part becomes like the neighbour there, the border between the two moves. Returns
/// the neighbour, or null when it takes a mapping more or less.
Result<Vma*> AddressSpace::give_to_neighbour(Vma& vma, VirtAddr begin, VirtAddr end, u8 rights, u32 flags) {
    if ((begin == vma.begin) == (end == vma.end)) return nullptr;
    const bool is_first_part = begin == vma.begin;
    Vma* neighbour = is_first_part ? vmas_.previous(vma) : vmas_.next(vma);
    if (!neighbour || neighbour->prot != rights || ((neighbour->flags ^ flags) & ~u32{vma_soft_dirty})) return nullptr;
    if (is_first_part ? !continues(*neighbour, vma) : !continues(vma, *neighbour)) return nullptr;
    VirtAddr border = is_first_part ? end : begin;
    if (ends_within_huge_page(vma, border)) return error(Errno::EINVAL);
    if (!is_aligned(border.value, leaf_table_span)) TRY(split_huge_leaf(border));
    if (vma.has_private_pages.load(std::memory_order_relaxed)) neighbour->has_private_pages.store(true);
    // One grows before the other shrinks: truncation meets each page at least once.
    if (is_first_part) {
        set_range(*neighbour, neighbour->begin, end);
        set_range(vma, end, vma.end);
    } else {
        set_range(*neighbour, begin, neighbour->end);
        set_range(vma, vma.begin, begin);
    }
    neighbour->flags |= flags & vma_soft_dirty;
    return neighbour;
}

/// Makes the tables for the range this address space's own. Returns the table when there is no more than one.
[[gnu::noinline]] Result<Page*> AddressSpace::own_sole_table(VirtAddr begin, VirtAddr end) {
    TRY(own_tables(begin, end));
    return find_own_table(begin, end);
}

/// What mprotect(2) does to the last-level entries of a mapping that has its new rights already.
struct AddressSpace::EntryChange {
    const Vma& vma;
    TlbBatch& batch;
    const bool loses; // some right, so that the TLBs have to hear of it
    const bool is_device = is_physical(vma), tracks = tracks_writes(vma);
    const bool is_executable = (vma.prot & abi::PROT_EXEC) != 0, grants_write = (vma.prot & abi::PROT_WRITE) != 0;
    const bool may_own = grants_write && !vma.is(vma_shared) && !is_device;
    const Entry read_only = is_device ? device_model(read_only_flags(vma)) : read_only_model(vma);
    const Entry full = is_device ? device_model(full_flags(vma)) : full_model(vma);

    [[nodiscard]] Entry device_model(arch::MappingFlags flags) const {
        return Policy::make_leaf({}, physical_flags(vma, flags), 0);
    }
    /// A right to write is given at once only where a write would change nothing but the page's owner: elsewhere the
    /// fault decides.
    [[nodiscard]] bool may_write(Entry entry) const {
        if (!grants_write) return false;
        if (Policy::flags(entry, 0).writable) return true;
        if (!may_own || (tracks && !Policy::is_soft_dirty(entry))) return false;
        const Page& page = ram_page_of(Policy::address(entry, 0));
        return page.kind == PageKind::Anonymous && page.refs.load(std::memory_order_acquire) == 1;
    }
    /// Before the right to execute is given. The mapping is claimed: no page comes up meanwhile.
    [[gnu::noinline]] void sync_all(Page& table, AddressRange range) const {
        for (Cursor cursor(table, range.begin); cursor.find_used(range.end); cursor.advance())
            if (Page* page = counted_page(vma, Policy::address(cursor.entry(), 0))) sync_code(*page);
    }
    [[gnu::noinline]] void apply(Page& table, AddressRange range) const {
        if (is_executable) sync_all(table, range);
        const Entry when_writable = full, otherwise = read_only; // else read anew for each entry
        Cursor cursor(table, range.begin);
        while (cursor.address() < range.end && Policy::is_empty(cursor.entry())) cursor.advance();
        const VirtAddr first = cursor.address();
        VirtAddr last = first;
        for (; cursor.address() < range.end; cursor.advance()) {
            Entry entry = cursor.entry();
            if (Policy::is_empty(entry)) continue;
            while (!cursor.compare_exchange(entry,
                                            Policy::with_rights(entry, may_write(entry) ? when_writable : otherwise))) {
            }
            last = cursor.address() + arch::page_size;
        }
        if (loses && first < last) batch.note_range(first, last);
    }
    void apply_to_huge(Entry* slot, AddressRange range) const {
        HugeTableCursor cursor(slot);
        Entry entry = cursor.entry();
        if (!Policy::is_leaf(entry, 1)) return;
        arch::MappingFlags flags = Policy::flags(entry, 1).writable ? full_flags(vma) : read_only_flags(vma);
        const Entry huge_model = Policy::make_leaf({}, flags, 1);
        while (!cursor.compare_exchange(entry, Policy::with_rights(entry, huge_model))) {
        }
        if (loses) batch.note_range(range.begin, range.end);
    }
};

/// Brings the entries of part of a mapping in line with its rights, of which that part had `before`. `sole` is the only
/// table, where that is known.
void AddressSpace::protect_entries(const Vma& vma, AddressRange range, u8 before, Page* sole, TlbBatch& batch) {
    const EntryChange change{.vma = vma, .batch = batch, .loses = (before & ~vma.prot) != 0};
    sole ? change.apply(*sole, range) : protect_by_walk(change, range);
}

[[gnu::noinline]] void AddressSpace::protect_by_walk(const EntryChange& change, AddressRange range) {
    tables_.for_each_leaf_slot(
        range.begin, range.end,
        [&](Page& table, VirtAddr from, VirtAddr to, Entry*) { change.apply(table, {from, to}); },
        [&](VirtAddr from, VirtAddr to, Entry* slot) { change.apply_to_huge(slot, {from, to}); });
}

} // namespace linnet::mm
