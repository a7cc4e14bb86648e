// Adding up what the parts count.
#include "events.hpp"
#include "huge_pages.hpp"
#include "kernel_area.hpp"
#include "page_allocator.hpp"
#include "reclaim.hpp"
#include "space.hpp"
#include "zeroed_pages.hpp"
#include <algorithm>
#include <mm/statistics.hpp>

namespace linnet::mm {

namespace {
constinit std::atomic<u64> out_of_memory_kills{0};
}

void note_out_of_memory_kill() { out_of_memory_kills.fetch_add(1, std::memory_order_relaxed); }

MemoryStatistics memory_statistics() {
    MemoryStatistics result;
    result.total = managed_frames();
    result.free = free_frames();
    result.file_cache = used_frames(PageKind::File);
    result.shared = used_frames(PageKind::Shared);
    result.anonymous = used_frames(PageKind::Anonymous);
    result.file_mapped = mapped_object_frames();
    result.dirty = dirty_frames();
    result.slab = used_frames(PageKind::Slab);
    result.kernel_stacks = used_frames(PageKind::Stack);
    result.page_tables = used_frames(PageKind::PageTable);
    result.kernel_other = used_frames(PageKind::Kernel) + used_frames(PageKind::HeapBlock);
    result.virtual_area = kernel_area_frames();
    result.committed = committed_pages();
    result.commit_limit = commit_limit();
    result.locked = locked_pages_total();
    result.anonymous_huge = huge_page_counters.anonymous.load(std::memory_order_relaxed) * frames_per_huge_page;
    result.shared_huge = huge_page_counters.shared.load(std::memory_order_relaxed) * frames_per_huge_page;
    const ReclaimStatistics reclaim = reclaim_statistics();
    result.active_file = reclaim.active_file;
    result.inactive_file = reclaim.inactive_file;
    result.reclaimable_slab = std::min(reclaim.reclaimable_slab, result.slab);
    // Half of what could be reclaimed, at least what is below the low mark, is left to those who use it.
    const Watermarks marks = watermarks();
    const u64 file = reclaim.active_file + reclaim.inactive_file;
    result.available = result.free - std::min(result.free, marks.high) + file - std::min(file / 2, marks.low) +
                       result.reclaimable_slab - std::min(result.reclaimable_slab / 2, marks.low);
    return result;
}

u64 total_memory_pages() { return managed_frames(); }

MemoryEvents memory_events() {
    MemoryEvents result;
    result.page_faults = events(Event::Fault);
    result.pages_allocated = allocated_frame_events();
    result.pages_freed = freed_frame_events();
    result.copy_on_write = events(Event::CopyOnWrite);
    result.pages_zeroed_idle = zeroed_frames_made();
    result.zeroed_pages_taken = zeroed_frames_taken();
    result.address_space_switches = events(Event::AddressSpaceSwitch);
    result.tlb_local_flushes_of_all = events(Event::LocalFlushOfAll);
    result.tlb_local_flushes_of_pages = events(Event::LocalFlushOfPage);
    result.tlb_remote_flushes = events(Event::RemoteFlush);
    result.tlb_remote_flushes_received = events(Event::RemoteFlushReceived);
    result.major_faults = events(Event::MajorFault);
    result.out_of_memory_kills = out_of_memory_kills.load(std::memory_order_relaxed);
    return result;
}

HugePageEvents huge_page_events() {
    auto read = [](const std::atomic<u64>& counter) { return counter.load(std::memory_order_relaxed); };
    const HugePageCounters& counters = huge_page_counters;
    HugePageEvents result;
    result.fault_alloc = read(counters.fault_alloc);
    result.fault_fallback = read(counters.fault_fallback);
    result.zero_page_alloc = read(counters.zero_alloc);
    result.zero_page_alloc_failed = read(counters.zero_alloc_failed);
    result.split_page = read(counters.split_block);
    result.split_mapping = read(counters.split_mapping);
    result.collapse_alloc = read(counters.collapse_alloc);
    result.collapse_alloc_failed = read(counters.collapse_alloc_failed);
    result.background_collapsed = read(counters.background_collapsed);
    result.full_scans = read(counters.full_scans);
    return result;
}

void free_blocks(u64 (&counts)[free_block_orders]) { count_free_blocks(counts); }

bool is_memory_short() { return listed_free_frames() < 2 * watermarks().high; }

} // namespace linnet::mm
