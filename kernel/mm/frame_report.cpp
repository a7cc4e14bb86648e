// What /proc shows of single frames and of the allocator's state. Everything is read without locks: a frame may change
// hands meanwhile, and the answer is then of a moment ago.
#include "huge_pages.hpp"
#include "page_allocator.hpp"
#include "reclaim.hpp"
#include "rmap.hpp"
#include "table_sharers.hpp"
#include <mm/statistics.hpp>

namespace linnet::mm {

namespace {

// Bits of /proc/kpageflags (Linux's documentation, "pagemap").
constexpr unsigned kpf_locked = 0, kpf_error = 1, kpf_uptodate = 3, kpf_dirty = 4, kpf_lru = 5, kpf_active = 6,
                   kpf_slab = 7, kpf_buddy = 10, kpf_mmap = 11, kpf_anon = 12, kpf_huge = 17, kpf_thp = 22,
                   kpf_swapbacked = 14, kpf_nopage = 20, kpf_zero_page = 24, kpf_pgtable = 26, kpf_reserved = 32;
constexpr u64 bit(unsigned number) { return u64{1} << number; }

const Page* frame(u64 number) { return page_of({number << arch::page_shift}); }

/// Of memory that user code can see.
u64 user_flags(const Page& page) {
    constexpr struct {
        PageFlag flag;
        unsigned number;
    } marks[] = {{page_locked, kpf_locked},
                 {page_error, kpf_error},
                 {page_up_to_date, kpf_uptodate},
                 {page_dirty, kpf_dirty},
                 {page_active, kpf_active}};
    u64 result = bit(kpf_lru);
    for (const auto& mark : marks)
        if (page.has(mark.flag)) result |= bit(mark.number);
    if (page.kind == PageKind::Anonymous) result |= bit(kpf_anon) | bit(kpf_uptodate);
    if (huge_mappings_of(page) > 0) result |= bit(kpf_thp);
    if (page.kind != PageKind::File) result |= bit(kpf_swapbacked);
    if (page.kind == PageKind::Anonymous || page.map_count.load(std::memory_order_relaxed) != 0)
        result |= bit(kpf_mmap);
    return result;
}

} // namespace

u64 frame_number_end() { return page_array.first_frame + page_array.count; }

void frame_mappings(u64 first, std::span<u64> counts) {
    auto is_anonymous = [&](u64 number) {
        const Page* page = frame(number);
        return page && page->kind == PageKind::Anonymous;
    };
    bool any = false;
    for (usize i = 0; i < counts.size(); ++i) counts[i] = 0, any = any || is_anonymous(first + i);
    if (any) count_table_sharers(first, counts);
    for (usize i = 0; i < counts.size(); ++i) {
        const Page* page = frame(first + i);
        const bool is_of_object =
            page && (page->kind == PageKind::File || page->kind == PageKind::Shared || page->kind == PageKind::Hugetlb);
        if (page && page->kind == PageKind::Anonymous)
            counts[i] += mapping_count(*page, nullptr);
        else
            counts[i] = is_of_object ? page->map_count.load(std::memory_order_relaxed) : 0;
    }
}

namespace {

u64 flags_of(u64 number) {
    const Page* page = frame(number);
    if (!page) return bit(kpf_nopage);
    switch (page->kind) {
    case PageKind::Reserved:
        return page == &zero_page() ? bit(kpf_zero_page) : bit(kpf_reserved);
    case PageKind::Free:
        return bit(kpf_buddy);
    case PageKind::Slab:
        return bit(kpf_slab);
    case PageKind::PageTable:
        return bit(kpf_pgtable);
    case PageKind::Anonymous:
    case PageKind::File:
    case PageKind::Shared:
        return user_flags(*page);
    case PageKind::Hugetlb:
        return bit(kpf_huge);
    case PageKind::Kernel:
    case PageKind::HeapBlock:
    case PageKind::Stack:
        return 0;
    }
    __builtin_unreachable();
}

} // namespace

void frame_flags(u64 first, std::span<u64> flags) {
    for (u64& word : flags) word = flags_of(first++);
}

ZoneStatistics zone_statistics() {
    ZoneStatistics result;
    result.first_frame = page_array.first_frame;
    result.spanned = page_array.count;
    result.managed = managed_frames();
    const Watermarks marks = watermarks();
    result.min = marks.min;
    result.low = marks.low;
    result.high = marks.high;
    return result;
}

FrameListStatistics frame_list_statistics(u32 cpu) {
    FrameListStatistics result;
    result.high = CpuPageCache::high_water;
    result.batch = CpuPageCache::batch;
    if (const auto* cache = static_cast<const CpuPageCache*>(core::cpu(cpu).page_cache)) result.count = cache->count();
    return result;
}

} // namespace linnet::mm
