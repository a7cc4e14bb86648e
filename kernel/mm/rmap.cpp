// Counters of mapped and dirty pages. A page counts once however often it is mapped.
#include "rmap.hpp"
#include "huge_pages.hpp"
#include <algorithm>
#include <mm/page_cache.hpp>

namespace linnet::mm {

namespace {
constinit std::atomic<u64> mapped{0}, dirty{0};
}

void note_mapped(Page& page) {
    const bool is_first = page.map_count.fetch_add(1, std::memory_order_relaxed) == 0;
    if (is_first && page.kind != PageKind::Hugetlb) mapped.fetch_add(1, std::memory_order_relaxed);
}

void note_unmapped(Page& page) {
    const bool is_last = page.map_count.fetch_sub(1, std::memory_order_relaxed) == 1;
    if (is_last && page.kind != PageKind::Hugetlb) mapped.fetch_sub(1, std::memory_order_relaxed);
}

/// Each entry that shows a private page owns one of its references; whoever else looks at it holds one for a moment
/// only. A last-level table that several address spaces have is one entry, and one mapping for each of them.
u32 mapping_count(const Page& page, const Page* table) {
    u32 count = page.map_count.load(std::memory_order_relaxed);
    if (page.kind == PageKind::Anonymous) {
        const u32 other_owners = table ? table->refs.load(std::memory_order_relaxed) - 1 : 0;
        const u32 huge = huge_mappings_of(page); // they have one reference together
        count = page.refs.load(std::memory_order_relaxed) + other_owners + (huge > 1 ? huge - 1 : 0);
    }
    return std::max(count, 1u);
}

u64 mapped_object_frames() { return mapped.load(std::memory_order_relaxed); }

void note_dirty(Page& page) {
    if (page.flags.fetch_or(page_dirty, std::memory_order_acq_rel) & page_dirty) return;
    dirty.fetch_add(1, std::memory_order_relaxed);
    // Who changes a page holds its object; one that was cut off has none.
    if (VmObject* object = __atomic_load_n(&page.object, __ATOMIC_ACQUIRE))
        if (FileObject* file = object->as_file()) file->tell_dirty();
}

void note_clean(Page& page) {
    if (page.flags.fetch_and(~u32{page_dirty}, std::memory_order_acq_rel) & page_dirty)
        dirty.fetch_sub(1, std::memory_order_relaxed);
}

u64 dirty_frames() { return dirty.load(std::memory_order_relaxed); }

} // namespace linnet::mm
