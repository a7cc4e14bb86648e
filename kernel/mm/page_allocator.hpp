// The inside of the page allocator, for boot_memory.cpp and statistics.cpp.
#pragma once

#include "buddy.hpp"
#include <core/thread.hpp>

namespace linnet::mm {

inline constexpr usize page_kind_count = static_cast<usize>(PageKind::Hugetlb) + 1;

/// Per-CPU part of the allocator: single frames kept aside, and counters that only their CPU changes (others add them
/// up).
struct CpuPageCache {
    static constexpr u32 batch = 32;      // frames moved between a CPU and the buddy lists at once
    static constexpr u32 high_water = 96; // frames above which a batch goes back
    static constexpr u32 most_tables = 32;
    struct List {
        Page* first = nullptr;
        u32 count = 0;
    };
    List lists[2];          // by Mobility
    Page* tables = nullptr; // freed page tables, which are all zero: the next table need not be cleared
    u32 table_count = 0;
    i64 used[page_kind_count] = {};
    u64 allocated = 0;
    u64 freed = 0;

    [[nodiscard]] u32 count() const { return lists[0].count + lists[1].count; }
};

extern constinit CpuPageCache boot_cpu_page_cache;

/// What is done for a large block: nothing, or what the kernel keeps to be faster is given back, so that frames join.
enum class Effort : u8 { Try, Shrink };
/// A block of 2^order frames, or null.
Page* allocate_block(unsigned order, PageZeroing zeroing, PageKind kind, Effort effort);

/// Called first by boot code, with room for a byte for each block of the size of a huge page.
void start_buddy_lists(void* map, u64 map_frames);
/// Called once by boot code with the frames that the allocator may hand out: free_frames() of them are in `buddy` now.
void start_page_allocator();
/// The locked buddy lists; boot code and release_boot_memory() add to them.
void give_frames(u64 first, u64 end);
void attach_page_cache(core::Cpu& cpu, CpuPageCache& cache);

/// A zeroed frame that was a page table, or null; and giving one back, false when the list is full.
Page* take_zeroed_table();
bool keep_zeroed_table(Page& table);

/// A frame straight from the buddy lists, in nobody's count, unless memory is short; and giving it back.
Page* take_listed_frame();
void give_listed_frame(Page& page);

u64 managed_frames();
u64 free_frames();
u64 used_frames(PageKind kind);
u64 allocated_frame_events();
u64 freed_frame_events();
void count_free_blocks(u64 (&counts)[max_order + 1]);

} // namespace linnet::mm
