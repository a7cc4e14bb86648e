// For the operations that change mappings.
#pragma once

#include "space.hpp"

namespace linnet::mm {

/// Whether two neighbouring mappings are one. If either is vma_soft_dirty the whole will be.
bool can_merge(const Vma& first, const Vma& second);
/// Whether they would be, had they the same rights and flags.
bool continues(const Vma& first, const Vma& second);

/// Whether RLIMIT_DATA counts it: private and writable, not a stack (getrlimit(2)).
inline bool counts_as_data(u32 prot, u32 vma_flags) {
    return (prot & abi::PROT_WRITE) && !(vma_flags & (vma_shared | vma_grows_down));
}

inline bool counts_as_text(u32 prot) { return (prot & (abi::PROT_EXEC | abi::PROT_WRITE)) == abi::PROT_EXEC; }

/// An entry under the lock of its table, or of a table that nobody else has: what others did to it is seen already.
inline arch::PagingPolicy::Entry load_locked(const arch::PagingPolicy::Entry* slot) {
    return std::bit_cast<arch::PagingPolicy::Entry>(
        __atomic_load_n(reinterpret_cast<const u64*>(slot), __ATOMIC_RELAXED));
}
inline bool is_writable_leaf(arch::PagingPolicy::Entry entry) {
    return !arch::PagingPolicy::is_empty(entry) && arch::PagingPolicy::flags(entry, 0).writable;
}
/// Takes the right to write from such an entry, under the lock of its table, and returns it as it is then. Entries of
/// private mappings that lack the right are copy-on-write already.
inline arch::PagingPolicy::Entry protect_leaf(arch::PagingPolicy::Entry* slot, arch::PagingPolicy::Entry entry) {
    using Table = PageTable<arch::PagingPolicy>;
    auto fresh = arch::PagingPolicy::without_write(entry);
    const auto found = Table::exchange(slot, fresh);
    if (std::bit_cast<u64>(found) == std::bit_cast<u64>(entry)) [[likely]]
        return fresh;
    // The processor has marked it meanwhile. It does so once more at most, as accessed, and that may get lost.
    fresh = arch::PagingPolicy::without_write(found);
    Table::exchange(slot, fresh);
    return fresh;
}

/// Calls change(Vma&), which changes flags, for each part of a mapping in [begin, end), split off for it, and joins
/// neighbours afterwards.
/// ENOMEM at the end when part of the range isn't mapped; the rest has been changed then, as Linux does.
template <typename Change>
Result<void> AddressSpace::change_each(VirtAddr begin, VirtAddr end, Change change) {
    bool hole = false;
    VirtAddr at = begin;
    while (at < end) {
        Vma* vma = vmas_.find_ending_after(at);
        if (!vma || vma->begin >= end) return error(Errno::ENOMEM);
        if (vma->begin > at) hole = true;
        VirtAddr from = std::max(at, vma->begin), to = std::min(end, vma->end);
        Vma* part = TRY(isolate(*vma, from, to));
        u32 old_flags = part->flags;
        Result<void> changed = change(*part);
        account_change(*part, part->prot, old_flags, part->page_count());
        merge(*part);
        TRY(std::move(changed));
        at = to;
    }
    if (hole) return error(Errno::ENOMEM);
    return {};
}

} // namespace linnet::mm
