// Soft-dirty marks: which pages a process has written to since somebody asked (Linux's documentation, "soft-dirty").
//
// A mark is a software bit of the leaf that shows the page, where the architecture's entries have one as Linux's do. A
// leaf that may be written through is marked, so forgetting a mark takes the right to write, and the next write faults
// (full_flags()). A mapping that is newer than the last clearing is vma_soft_dirty: all of it counts as written, and
// only in such a mapping may a leaf without a mark be writable. Pages that mremap(2) moves are marked.
//
// Tables that are shared since a fork are copied first, where they hold a mark: the marks are each process's own.
#include "huge_pages.hpp"
#include "space.hpp"

namespace linnet::mm {

namespace {

using Policy = arch::PagingPolicy;
using Table = PageTable<Policy>;
using Entry = Policy::Entry;

bool needs_clearing(Entry entry, unsigned level) {
    return Policy::is_soft_dirty(entry) || Policy::flags(entry, level).writable;
}

bool needs_clearing(const Page& table, VirtAddr begin, VirtAddr end) {
    const Entry* slot = Table::entries(table) + Table::index(begin, 0);
    for (u64 i = 0; i < pages_in(end - begin); ++i)
        if (const Entry entry = Table::load(slot + i); !Policy::is_empty(entry) && needs_clearing(entry, 0))
            return true;
    return false;
}

} // namespace

Result<void> AddressSpace::clear_soft_dirty_in(Vma& vma, TlbBatch& batch) {
    Result<void> result;
    auto clear_in_table = [&](Page& found, VirtAddr from, VirtAddr to, Entry* slot) {
        Page* table = &found;
        if (!result || !needs_clearing(*table, from, to)) return;
        if (is_shared_table(*table)) {
            result = own_table(*table, from, slot);
            if (!result) return;
            table = Table::leaf_table_in(slot);
        }
        for (Cursor cursor(*table, from); cursor.find_used(to); cursor.advance()) {
            Entry entry = cursor.entry();
            if (!needs_clearing(entry, 0)) continue;
            batch.note(cursor.address());
            while (!cursor.compare_exchange(entry, Policy::without_soft_dirty(entry))) {
            }
        }
    };
    auto clear_in_huge = [&](VirtAddr from, VirtAddr to, Entry* slot) {
        HugeTableCursor cursor(slot);
        Entry entry = cursor.entry();
        if (!Policy::is_leaf(entry, 1) || !needs_clearing(entry, 1)) return;
        batch.note_range(from, to);
        while (!cursor.compare_exchange(entry, Policy::without_soft_dirty(entry))) {
        }
    };
    tables_.for_each_leaf_slot(vma.begin, vma.end, clear_in_table, clear_in_huge);
    return result;
}

Result<void> AddressSpace::clear_soft_dirty() {
    if (!Policy::has_soft_dirty) return {};
    core::WriteGuard guard(mmap_lock_);
    TlbBatch batch(*this);
    for (Vma* vma = vmas_.first(); vma; vma = vmas_.next(*vma)) {
        mmap_lock_.claim(*vma); // faults look at the flag
        // Devices' and pool pages have no marks of their own, as on Linux.
        if (!is_physical(*vma) && !vma->is(vma_hugetlb)) TRY(clear_soft_dirty_in(*vma, batch));
        vma->flags &= ~u32{vma_soft_dirty};
    }
    return {};
}

} // namespace linnet::mm
