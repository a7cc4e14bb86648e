// Frames of page tables.
#include "page_allocator.hpp"
#include <algorithm>
#include <mm/page_table.hpp>

namespace linnet::mm {

namespace {
using Policy = arch::PagingPolicy;

bool is_zero(const Page& table) {
    const u64* words = page_data<u64>(table);
    return std::all_of(words, words + entries_per_table, [](u64 word) { return word == 0; });
}
} // namespace

Result<Page*> allocate_page_table() {
    u64 empty = std::bit_cast<u64>(Policy::empty());
    Page* table = take_zeroed_table();
    if (!table) table = TRY(allocate_page(PageZeroing::Zeroed, PageKind::PageTable)).release();
    DEBUG_ASSERT(empty != 0 || is_zero(*table));
    if (empty != 0) std::fill_n(page_data<u64>(*table), entries_per_table, empty);
    // Two tables of the same kind are locked together by fork, the parent's first: no class to check.
    new (table->lock_storage) core::SpinLock();
    return table;
}

void free_page_table(Page& table) {
    // Every entry was taken out before: the table is as good as new.
    DEBUG_ASSERT(std::bit_cast<u64>(Policy::empty()) != 0 || is_zero(table));
    if (std::bit_cast<u64>(Policy::empty()) != 0 || !keep_zeroed_table(table)) free_page(table);
}

} // namespace linnet::mm
