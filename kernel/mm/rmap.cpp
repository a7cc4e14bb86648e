// Counters of mapped and dirty pages. A page counts once however often it is mapped.
#include "rmap.hpp"

namespace linnet::mm {

namespace {
constinit std::atomic<u64> mapped{0}, dirty{0};
}

void note_mapped(Page& page) {
    if (page.map_count.fetch_add(1, std::memory_order_relaxed) == 0) mapped.fetch_add(1, std::memory_order_relaxed);
}

void note_unmapped(Page& page) {
    if (page.map_count.fetch_sub(1, std::memory_order_relaxed) == 1) mapped.fetch_sub(1, std::memory_order_relaxed);
}

u64 mapped_object_frames() { return mapped.load(std::memory_order_relaxed); }

void note_dirty(Page& page) {
    if (!(page.flags.fetch_or(page_dirty, std::memory_order_acq_rel) & page_dirty))
        dirty.fetch_add(1, std::memory_order_relaxed);
}

void note_clean(Page& page) {
    if (page.flags.fetch_and(~u32{page_dirty}, std::memory_order_acq_rel) & page_dirty)
        dirty.fetch_sub(1, std::memory_order_relaxed);
}

u64 dirty_frames() { return dirty.load(std::memory_order_relaxed); }

} // namespace linnet::mm
