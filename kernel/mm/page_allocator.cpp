// The page allocator: buddy lists behind one spinlock, and per-CPU lists of single frames in front of them, which need
// only preemption turned off. Owns every Page that isn't Reserved.
//
// A reserve below the low watermark is for the kernel alone: user pages fail first, so that the kernel can still do
// what it takes to kill somebody.
//
// Lock order: buddy_lock is a leaf. It masks interrupts for the sake of callers that hold locks which handlers take, as
// the slab's locks do.
#include "page_allocator.hpp"
#include "frame_poison.hpp"
#include "kasan.hpp"
#include <algorithm>
#include <core/spinlock.hpp>
#include <mm/allocation_faults.hpp>
#include <mm/huge_pool.hpp>
#include <mm/knobs.hpp>

namespace linnet::mm {

constinit PageArray page_array;
constinit Tunable<u64> min_free_kbytes{0};
constinit CpuPageCache boot_cpu_page_cache;

namespace {

constinit core::LockClass buddy_lock_class("buddy");
constinit core::InterruptSpinLock buddy_lock(buddy_lock_class);
constinit BuddyAllocator buddy;
constinit std::atomic<u64> managed{0};
constinit std::atomic<u64> low_watermark{0};
constinit CpuPageCache* caches[core::CpuMask::max_cpus];
constinit std::atomic<Shrinker> shrinkers[4];

/// What fault injection calls frames of that kind. The heap's are none: it decides by the object.
bool fails_frame(PageKind kind) {
    if (kind == PageKind::Slab || kind == PageKind::HeapBlock) return false;
    return fails_by_request(kind == PageKind::PageTable ? AllocationClass::PageTables : AllocationClass::Pages);
}

bool is_user_kind(PageKind kind) { return kind >= PageKind::PageTable; }

/// How many frames must stay free when one of this kind is taken. Who is dying may take half of the reserve: it ends by
/// giving back all it has.
u64 reserve_for(PageKind kind) {
    if (!is_user_kind(kind)) return 0;
    u64 reserve = low_watermark.load(std::memory_order_relaxed);
    return core::current_thread().has_fatal_signal() ? reserve / 2 : reserve;
}

/// Moves up to a batch of frames into the CPU's list. Preemption is off.
bool refill(CpuPageCache& cache, PageKind kind) {
    core::InterruptSpinGuard guard(buddy_lock);
    if (buddy.free_frames() <= reserve_for(kind)) return false;
    // One larger block taken apart keeps a CPU's frames together and costs one list operation.
    constexpr unsigned batch_order = std::countr_zero(CpuPageCache::batch);
    for (unsigned order = batch_order;; order = 0) {
        if (Page* block = buddy.allocate(order)) {
            u32 count = 1u << order;
            for (u32 i = count; i-- > 0;) {
                block[i].kind = PageKind::Kernel;
                block[i].order = 0;
                block[i].next = cache.list;
                cache.list = &block[i];
            }
            cache.count += count;
            return true;
        }
        if (order == 0) return false;
    }
}

void drain(CpuPageCache& cache, u32 count) {
    core::InterruptSpinGuard guard(buddy_lock);
    while (count-- > 0 && cache.list) {
        Page* page = cache.list;
        cache.list = page->next;
        --cache.count;
        buddy.free(*page, 0);
    }
}

CpuPageCache& this_cpu_cache() { return *static_cast<CpuPageCache*>(core::this_cpu().page_cache); }

Page* take_frame(PageKind kind) {
    core::disable_preemption();
    CpuPageCache& cache = this_cpu_cache();
    Page* page = cache.list;
    if (!page) [[unlikely]] {
        if (!refill(cache, kind)) {
            core::enable_preemption();
            return nullptr;
        }
        page = cache.list;
    }
    cache.list = page->next;
    --cache.count;
    ++cache.used[static_cast<usize>(kind)];
    ++cache.allocated;
    core::enable_preemption();
    return page;
}

/// Gets frames out of other parts of the kernel's caches; returns how many objects and frames went.
u64 shrink() {
    u64 got = 0;
    {
        core::PreemptionGuard guard;
        CpuPageCache& cache = this_cpu_cache();
        while (Page* table = cache.tables) {
            cache.tables = table->next;
            --cache.table_count;
            table->next = cache.list;
            cache.list = table;
            ++cache.count;
        }
        got += cache.count;
        drain(cache, cache.count);
    }
    if (!core::may_sleep()) return got;
    for (auto& slot : shrinkers)
        if (Shrinker shrinker = slot.load(std::memory_order_acquire)) got += shrinker();
    return got;
}

void prepare(Page& page, PageKind kind) {
    page.kind = kind;
    page.flags.store(0, std::memory_order_relaxed);
    page.map_count.store(0, std::memory_order_relaxed);
    page.object = nullptr;
    page.index = 0;
    page.refs.store(1, std::memory_order_release);
}

void forbid_pages(Page& page, u64 count) {
    kasan::forbid(page_data(page), count << arch::page_shift, kasan::Poison::FreePage);
}

} // namespace

Result<PageRef> allocate_page(PageZeroing zeroing, PageKind kind) {
    if (fails_frame(kind)) [[unlikely]]
        return error(Errno::ENOMEM);
    Page* page = take_frame(kind);
    while (!page) {
        if (shrink() == 0) return error(Errno::ENOMEM);
        page = take_frame(kind);
        if (!page) return error(Errno::ENOMEM);
    }
    kasan::allow(page_data(*page), arch::page_size);
    frame_poison::check(*page, 1);
    prepare(*page, kind);
    if (zeroing == PageZeroing::Zeroed) clear_page(page_data(*page));
    return PageRef::adopt(*page);
}

namespace {

Page* take_block(unsigned order, PageKind kind) {
    core::InterruptSpinGuard guard(buddy_lock);
    return buddy.free_frames() > reserve_for(kind) + (u64{1} << order) ? buddy.allocate(order) : nullptr;
}

Page& prepare_block(Page* block, unsigned order, PageZeroing zeroing, PageKind kind) {
    {
        core::PreemptionGuard guard;
        CpuPageCache& cache = this_cpu_cache();
        cache.used[static_cast<usize>(kind)] += i64{1} << order;
        cache.allocated += u64{1} << order;
    }
    kasan::allow(page_data(*block), arch::page_size << order);
    frame_poison::check(*block, u64{1} << order);
    prepare(*block, kind);
    if (zeroing == PageZeroing::Zeroed)
        for (usize i = 0; i < (usize{1} << order); ++i) clear_page(page_data(block[i]));
    return *block;
}

} // namespace

Result<Page*> allocate_pages(unsigned order, PageZeroing zeroing, PageKind kind) {
    if (order == 0) return TRY(allocate_page(zeroing, kind)).release();
    if (order > max_order || fails_frame(kind)) return error(Errno::ENOMEM);
    Page* block = take_block(order, kind);
    if (!block && shrink() != 0) block = take_block(order, kind);
    if (!block) return error(Errno::ENOMEM);
    return &prepare_block(block, order, zeroing, kind);
}

Page* try_allocate_block(unsigned order, PageKind kind) {
    Page* block = fails_frame(kind) ? nullptr : take_block(order, kind);
    return block ? &prepare_block(block, order, PageZeroing::Zeroed, kind) : nullptr;
}

void free_pages(Page& page, unsigned order) {
    core::PreemptionGuard guard;
    CpuPageCache& cache = this_cpu_cache();
    PageKind kind = page.kind;
    VERIFY(kind != PageKind::Reserved && kind != PageKind::Free);
    cache.used[static_cast<usize>(kind)] -= i64{1} << order;
    cache.freed += u64{1} << order;
    page.kind = PageKind::Kernel;
    page.refs.store(0, std::memory_order_relaxed);
    frame_poison::fill(page, u64{1} << order);
    forbid_pages(page, u64{1} << order);
    if (order > 0) {
        core::InterruptSpinGuard lock(buddy_lock);
        buddy.free(page, order);
        return;
    }
    page.next = cache.list;
    cache.list = &page;
    if (++cache.count >= CpuPageCache::high_water) drain(cache, CpuPageCache::batch);
}

void free_page(Page& page) {
    if (page.kind == PageKind::Hugetlb) [[unlikely]]
        return free_pool_frame(page);
    free_pages(page, page.order);
}

void split_block(Page& head, unsigned order) {
    const PageKind kind = head.kind;
    head.order = 0;
    for (usize i = 1; i < (usize{1} << order); ++i) {
        (&head)[i].order = 0;
        prepare((&head)[i], kind);
    }
}

void unref_block(Page& head, unsigned order) {
    Page* const first = &head;
    Page* const end = first + (usize{1} << order);
    // Who finds only one reference, which is his own, is alone.
    const bool is_whole =
        std::all_of(first, end, [](Page& page) { return page.refs.load(std::memory_order_acquire) == 1; });
    if (!is_whole) {
        for (Page* page = first; page != end; ++page) unref_page(*page);
        return;
    }
    for (Page* page = first + 1; page != end; ++page) page->kind = PageKind::Kernel;
    free_pages(head, order);
}

Page* take_zeroed_table() {
    core::PreemptionGuard guard;
    CpuPageCache& cache = this_cpu_cache();
    Page* table = cache.tables;
    // Where tables fail on request, allocate_page() decides.
    if (!table || armed_allocation_classes.load(std::memory_order_relaxed) != 0) return nullptr;
    cache.tables = table->next;
    --cache.table_count;
    ++cache.used[static_cast<usize>(PageKind::PageTable)];
    ++cache.allocated;
    prepare(*table, PageKind::PageTable);
    return table;
}

bool keep_zeroed_table(Page& table) {
    core::PreemptionGuard guard;
    CpuPageCache& cache = this_cpu_cache();
    if (frame_poison::is_on || cache.table_count == CpuPageCache::most_tables) return false;
    --cache.used[static_cast<usize>(PageKind::PageTable)];
    ++cache.freed;
    table.kind = PageKind::Kernel;
    table.refs.store(0, std::memory_order_relaxed);
    table.next = cache.tables;
    cache.tables = &table;
    ++cache.table_count;
    return true;
}

void attach_page_cache(core::Cpu& cpu, CpuPageCache& cache) {
    caches[cpu.number] = &cache;
    cpu.page_cache = &cache;
}

void give_frames(u64 first, u64 end) {
    forbid_pages(page_array.pages[first - page_array.first_frame], end - first);
    core::InterruptSpinGuard guard(buddy_lock);
    buddy.free_range(first, end);
    managed.fetch_add(end - first);
}

void start_page_allocator() {
    u64 frames = managed.load();
    u64 reserve = frames / 256;
    min_free_kbytes.stored = (reserve < 64 ? 64 : (reserve > 1024 ? 1024 : reserve)) * (arch::page_size / 1024);
    apply_min_free();
}

/// At most a quarter of all memory, so that some is left to use.
void apply_min_free() {
    u64 frames = min_free_kbytes / (arch::page_size / 1024), most = managed.load() / 4;
    low_watermark.store(frames < most ? frames : most);
}

u64 shrink_caches() { return shrink(); }

void add_shrinker(Shrinker shrinker) {
    for (auto& slot : shrinkers) {
        Shrinker none = nullptr;
        if (slot.compare_exchange_strong(none, shrinker)) return;
    }
    VERIFY(!"more shrinkers than slots");
}

u64 managed_frames() { return managed.load(std::memory_order_relaxed); }

u64 reserved_frames() { return low_watermark.load(std::memory_order_relaxed); }

u64 free_frames() {
    u64 free = buddy.free_frames();
    for (CpuPageCache* cache : caches)
        if (cache) free += cache->count + cache->table_count;
    return free;
}

u64 used_frames(PageKind kind) {
    i64 used = 0;
    for (CpuPageCache* cache : caches)
        if (cache) used += cache->used[static_cast<usize>(kind)];
    return used > 0 ? static_cast<u64>(used) : 0;
}

u64 allocated_frame_events() {
    u64 sum = 0;
    for (CpuPageCache* cache : caches)
        if (cache) sum += cache->allocated;
    return sum;
}

u64 freed_frame_events() {
    u64 sum = 0;
    for (CpuPageCache* cache : caches)
        if (cache) sum += cache->freed;
    return sum;
}

void count_free_blocks(u64 (&counts)[max_order + 1]) {
    core::InterruptSpinGuard guard(buddy_lock);
    for (unsigned order = 0; order <= max_order; ++order) counts[order] = buddy.free_blocks(order);
}

// Written as plain word stores: under emulation, where instructions are counted, string instructions are no cheaper.
__attribute__((no_builtin("memset", "memcpy"))) void clear_page(void* page) {
    auto* word = static_cast<u64*>(page);
    for (auto* end = word + arch::page_size / 8; word != end; word += 16) {
#pragma clang loop unroll(full)
        for (int i = 0; i < 16; ++i) word[i] = 0;
    }
}

__attribute__((no_builtin("memset", "memcpy"))) void copy_page(void* to, const void* from) {
    auto* target = static_cast<u64*>(to);
    auto* source = static_cast<const u64*>(from);
    for (auto* end = target + arch::page_size / 8; target != end; target += 8, source += 8) {
#pragma clang loop unroll(full)
        for (int i = 0; i < 8; ++i) target[i] = source[i];
    }
}

} // namespace linnet::mm
