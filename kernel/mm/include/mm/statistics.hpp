// Numbers about memory as a whole, for /proc/meminfo, sysinfo(2), /proc/vmstat.
#pragma once

#include <lib/types.hpp>
#include <mm/page.hpp>
#include <span>

namespace linnet::mm {

/// All in pages.
struct MemoryStatistics {
    u64 total = 0; // RAM that the allocator manages, what it has given away included (MemTotal)
    u64 free = 0;
    u64 file_cache = 0;
    u64 shared = 0; // tmpfs, shared anonymous memory (Shmem)
    u64 anonymous = 0;
    u64 file_mapped = 0;
    u64 dirty = 0;
    u64 slab = 0;
    u64 kernel_stacks = 0;
    u64 page_tables = 0;
    u64 kernel_other = 0;
    u64 virtual_area = 0; // VmallocUsed
    u64 committed = 0;    // Committed_AS
    u64 commit_limit = 0;
    u64 locked = 0;
    u64 anonymous_huge = 0, shared_huge = 0; // of anonymous and shared, what huge pages map
    u64 active_file = 0, inactive_file = 0;  // of file_cache, by age
    u64 reclaimable_slab = 0;                // of slab: caches that shrinkers empty
    u64 available = 0;                       // what programs could get without killing anything (MemAvailable); a guess
};
MemoryStatistics memory_statistics();
/// MemoryStatistics::total alone, at next to no cost.
u64 total_memory_pages();

/// Events since boot.
struct MemoryEvents {
    u64 page_faults = 0;
    u64 major_faults = 0;
    u64 pages_allocated = 0;
    u64 pages_freed = 0;
    u64 copy_on_write = 0;
    u64 address_space_switches = 0;
    u64 tlb_local_flushes_of_all = 0, tlb_local_flushes_of_pages = 0; // the latter in pages
    u64 tlb_remote_flushes = 0, tlb_remote_flushes_received = 0;
    u64 out_of_memory_kills = 0;
    u64 pages_zeroed_idle = 0, zeroed_pages_taken = 0; // by CPUs with nothing to run; and by who wanted such pages
};
MemoryEvents memory_events();

/// Events of huge pages since boot (Linux's documentation, "Transparent Hugepage Support", monitoring usage).
struct HugePageEvents {
    u64 fault_alloc = 0, fault_fallback = 0;
    u64 zero_page_alloc = 0, zero_page_alloc_failed = 0;
    u64 split_page = 0, split_mapping = 0; // whole blocks, and entries
    u64 collapse_alloc = 0, collapse_alloc_failed = 0;
    u64 background_collapsed = 0, full_scans = 0; // by khugepaged
};
HugePageEvents huge_page_events();
/// What reclaim has done since boot, and what it has before it. Pages and objects.
struct ReclaimStatistics {
    u64 scanned_background = 0, scanned_direct = 0; // pages looked at (pgscan_kswapd, pgscan_direct)
    u64 stolen_background = 0, stolen_direct = 0;   // and freed (pgsteal_*)
    u64 activated = 0;                              // found used
    u64 objects_scanned = 0;                        // of shrinkers (slabs_scanned)
    u64 stalls = 0;                                 // allocations that had to reclaim themselves (allocstall)
    u64 page_cache_drops = 0, object_drops = 0;     // by /proc/sys/vm/drop_caches
    u64 background_runs = 0;                        // pageoutrun
    u64 active_file = 0, inactive_file = 0, reclaimable_slab = 0;
};
ReclaimStatistics reclaim_statistics();
/// A process was chosen to die for its memory.
void note_out_of_memory_kill();

inline constexpr unsigned free_block_orders = max_order + 1;
/// Free blocks by order (/proc/buddyinfo).
void free_blocks(u64 (&counts)[free_block_orders]);

/// Of each frame from number `first` (address / page size) on: how many user mappings show it, and its bits of
/// /proc/kpageflags. The first looks at all shared page tables: ask for many at a time. May sleep.
void frame_mappings(u64 first, std::span<u64> counts);
void frame_flags(u64 first, std::span<u64> flags);
/// One behind the last frame.
u64 frame_number_end();

/// All memory is one zone (/proc/zoneinfo). In pages.
struct ZoneStatistics {
    u64 first_frame = 0;
    u64 spanned = 0;
    u64 managed = 0;
    u64 min = 0, low = 0, high = 0; // the watermarks (reclaim.hpp)
};
ZoneStatistics zone_statistics();

/// The free frames that a CPU keeps to itself.
struct FrameListStatistics {
    u64 count = 0, high = 0, batch = 0;
};
FrameListStatistics frame_list_statistics(u32 cpu);

/// Whether free frames are so few that whoever can do without page cache should: soon reclaim begins, or has begun.
bool is_memory_short();

} // namespace linnet::mm
