// Huge pages: blocks of frames as large as the span of a last-level table, mapped by one entry of the level above.
//
// Each frame keeps a Page of its own. An anonymous block that is mapped whole has page_huge on its first frame, whose
// map_count counts the entries that map the block; together they own one reference to each of the frames. So a mapping
// of single frames is no different from any other, and when no entry maps the block whole any more, its frames go their
// own ways. Of a block of shared memory, or of the pool (mm/huge_pool.hpp), each entry owns one reference, and is one
// mapping, of every frame; page_huge says
// there that an object has all of it, in order, and is guarded by the object's lock of pages.
//
// The rules by which mappings get huge pages are Linux's (its documentation, "Transparent Hugepage Support").
#pragma once

#include "page_allocator.hpp"
#include <core/wait_queue.hpp>
#include <mm/knobs.hpp>
#include <mm/page_table.hpp>

namespace linnet::mm {

inline constexpr u64 frames_per_huge_page = entries_per_table;
static_assert(leaf_table_span == arch::huge_page_size);

inline constexpr VirtAddr huge_page_floor(VirtAddr address) {
    return {align_down(address.value, arch::huge_page_size)};
}

/// A zeroed anonymous block for one entry; null when there is none.
Page* allocate_huge_page(Effort effort);
/// The block of zeros that reads of untouched memory see, made at its first use; its frames are Reserved. Null when
/// there is no memory for it.
Page* huge_zero_page();

/// One more entry maps the block.
void note_huge_mapping(Page& head);
/// An entry that mapped it is gone, and no CPU reaches the block by it any more.
void drop_huge_mapping(Page& head);
/// Entries of single frames take the place of an entry that mapped an anonymous block.
void split_huge_mapping(Page& head);
/// Whether the entries that map the block are all there is of it: private memory.
inline bool is_private_block(const Page& head) {
    return head.kind == PageKind::Anonymous || (head.kind == PageKind::Hugetlb && !head.has(page_of_object));
}
/// Whether a private block is mapped by one entry and referred to by nothing else. Under the lock of that entry the
/// answer stays true.
bool is_only_huge_mapping(const Page& head);
/// How many entries map the anonymous block that a frame belongs to; 0 when it is part of none.
u32 huge_mappings_of(const Page& page);

/// The first frame of the block of that size that a frame lies in; null where memory begins within it.
Page* first_frame_of_huge_page(const Page& page);
/// A page leaves its object: if it was part of a huge page, that is no longer one. The object's lock of pages is held.
void forget_huge_page_of(const Page& page);

/// What khugepaged waits on: it is to start a round when the number has changed.
extern constinit core::WaitQueue khugepaged_sleep;
extern constinit std::atomic<u64> khugepaged_wake_ups;
/// Looks at khugepaged_pages_to_scan pages. Without work there was no address space that could have huge pages.
struct CollapseRound {
    bool has_work = false, has_memory = true;
};
CollapseRound run_collapse_round();

/// What /proc/vmstat and meminfo say of huge pages.
struct HugePageCounters {
    std::atomic<u64> anonymous{0}, shared{0}; // blocks that entries map whole, at present
    // Events.
    std::atomic<u64> fault_alloc{0}, fault_fallback{0}, zero_alloc{0}, zero_alloc_failed{0}, split_mapping{0},
        split_block{0}, collapse_alloc{0}, collapse_alloc_failed{0}, background_collapsed{0}, full_scans{0};
};
extern constinit HugePageCounters huge_page_counters;
inline void count_event(std::atomic<u64>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

} // namespace linnet::mm
