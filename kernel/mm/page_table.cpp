// Frames of page tables.
#include <mm/page_table.hpp>

namespace linnet::mm {

Result<Page*> allocate_page_table() {
    Page* table = TRY(allocate_page(PageZeroing::Zeroed, PageKind::PageTable)).release();
    using Policy = arch::PagingPolicy;
    u64 empty = std::bit_cast<u64>(Policy::empty());
    if (empty != 0)
        for (usize i = 0; i < entries_per_table; ++i) page_data<u64>(*table)[i] = empty;
    // Two tables of the same kind are locked together by fork and mremap, parent's or lower first: no class to check.
    new (table->lock_storage) core::SpinLock();
    return table;
}

void free_page_table(Page& table) { free_page(table); }

} // namespace linnet::mm
