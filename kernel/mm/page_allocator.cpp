// The page allocator: buddy lists behind one spinlock, and per-CPU lists of single frames in front of them, which need
// only preemption turned off. Owns every Page that isn't Reserved.
//
// What is below the `min` watermark (reclaim.hpp) is not for user memory: it fails first, so that the kernel can still
// do what it takes to reclaim, or to kill somebody.
//
// Lock order: buddy_lock is a leaf. It masks interrupts for the sake of callers that hold locks which handlers take, as
// the slab's locks do.
#include "page_allocator.hpp"
#include "frame_poison.hpp"
#include "kasan.hpp"
#include "reclaim.hpp"
#include "rmap.hpp"
#include "zeroed_pages.hpp"
#include <algorithm>
#include <core/spinlock.hpp>
#include <cstring>
#include <mm/allocation_faults.hpp>
#include <mm/huge_pool.hpp>
#include <mm/knobs.hpp>

namespace linnet::mm {

constinit PageArray page_array;
constinit Tunable<u64> min_free_kbytes{0};
constinit Tunable<u64> watermark_scale_factor{10};
constinit CpuPageCache boot_cpu_page_cache;

namespace {

constinit core::LockClass buddy_lock_class("buddy");
constinit core::InterruptSpinLock buddy_lock(buddy_lock_class);
constinit BuddyAllocator buddy;
constexpr unsigned costly_order = 3; // beyond, reclaim would take too much for what it gives
constinit std::atomic<u64> managed{0};
constinit std::atomic<u64> min_mark{0}, low_mark{0}, high_mark{0};
constinit CpuPageCache* caches[core::CpuMask::max_cpus];

/// What fault injection calls frames of that kind. The heap's are none: it decides by the object.
bool fails_frame(PageKind kind) {
    if (kind == PageKind::Slab || kind == PageKind::HeapBlock) return false;
    return fails_by_request(kind == PageKind::PageTable ? AllocationClass::PageTables : AllocationClass::Pages);
}

/// Page tables and what the kernel itself needs stay for as long as they like; pages of objects and programs go.
Mobility mobility_of(PageKind kind) { return kind >= PageKind::Anonymous ? Mobility::User : Mobility::Kernel; }

bool is_user_kind(PageKind kind) { return kind >= PageKind::PageTable; }

/// How many frames must stay free when one of this kind is taken. Who is dying may take half of the reserve: it ends by
/// giving back all it has. What it takes to store pages may be file pages, too.
u64 reserve_for(PageKind kind, bool may_wait) {
    const core::Thread& self = core::current_thread();
    if (self.is_reclaiming || (!is_user_kind(kind) && !may_wait)) return 0;
    u64 reserve = min_mark.load(std::memory_order_relaxed);
    if (!is_user_kind(kind) || self.stores_for_reclaim) reserve /= 4; // for those who can't wait for reclaim
    return self.has_fatal_signal() ? reserve / 2 : reserve;
}

} // namespace

bool is_below_low_mark() { return buddy.free_frames() < low_mark.load(std::memory_order_relaxed); }

namespace {

/// Moves up to a batch of frames into the CPU's list. Preemption is off.
bool refill(CpuPageCache& cache, Mobility mobility, u64 reserve) {
    CpuPageCache::List& list = cache.lists[static_cast<usize>(mobility)];
    core::InterruptSpinGuard guard(buddy_lock);
    if (buddy.free_frames() <= reserve) return false;
    // One larger block taken apart keeps a CPU's frames together and costs one list operation.
    constexpr unsigned batch_order = std::countr_zero(CpuPageCache::batch);
    for (unsigned order = batch_order;; order = 0) {
        if (Page* block = buddy.allocate(order, mobility)) {
            u32 count = 1u << order;
            for (u32 i = count; i-- > 0;) {
                block[i].kind = PageKind::Kernel;
                block[i].order = 0;
                block[i].next = list.first;
                list.first = &block[i];
            }
            list.count += count;
            return true;
        }
        if (order == 0) return false;
    }
}

[[gnu::noinline]] void drain(CpuPageCache::List& list, u32 count) {
    core::InterruptSpinGuard guard(buddy_lock);
    while (count-- > 0 && list.first) {
        Page* page = list.first;
        list.first = page->next;
        --list.count;
        buddy.free(*page, 0);
    }
}

[[gnu::noinline]] void give_block(Page& block, unsigned order) {
    core::InterruptSpinGuard guard(buddy_lock);
    buddy.free(block, order);
}

CpuPageCache& this_cpu_cache() { return *static_cast<CpuPageCache*>(core::this_cpu().page_cache); }

Page* take_frame(PageKind kind) {
    core::disable_preemption();
    CpuPageCache& cache = this_cpu_cache();
    const Mobility mobility = mobility_of(kind);
    CpuPageCache::List* list = &cache.lists[static_cast<usize>(mobility)];
    bool is_low = false;
    if (!list->first) [[unlikely]] {
        // Could sleep but for this function's own guard.
        const bool may_wait = arch::current_thread()->preempt_count == 1 && arch::interrupts_enabled();
        const bool is_refilled = refill(cache, mobility, reserve_for(kind, may_wait));
        is_low = is_below_low_mark();
        // What the CPU keeps for the others is still better than none.
        if (!is_refilled) list = &cache.lists[1 - static_cast<usize>(mobility)];
        if (!list->first) {
            core::enable_preemption();
            if (is_low) wake_reclaim_thread();
            return nullptr;
        }
    }
    Page* page = list->first;
    list->first = page->next;
    --list->count;
    ++cache.used[static_cast<usize>(kind)];
    ++cache.allocated;
    core::enable_preemption();
    if (is_low) [[unlikely]]
        wake_reclaim_thread();
    return page;
}

/// Calls `take` until it succeeds or there is nothing left to reclaim: first with what this CPU keeps, then with what
/// reclaim gives, with what all CPUs keep, and at last, for user threads, with what the out-of-memory killer frees.
template <typename Take>
Page* take_after_reclaim(u64 frames, Take take) {
    constexpr int most_rounds = 64;
    constexpr u64 batch = 32;
    if (drain_this_cpu() + drain_zeroed_frames() > 0)
        if (Page* page = take()) return page;
    if (!may_reclaim()) return nullptr;
    for (int round = 0; round < most_rounds; ++round) {
        const bool progress = reclaim(std::max(frames, batch), Reclaimer::Direct) > 0;
        (void)drain_this_cpu();
        if (Page* page = take()) return page;
        // Dirty pages are not for this thread to store: it may hold what a file system needs for that.
        if (!progress && !await_reclaim_thread()) break;
    }
    if (drain_every_cpu())
        if (Page* page = take()) return page;
    // The one who is chosen to die may need locks that this thread holds: it isn't waited for without end.
    constexpr int most_kills = 600;
    for (int attempt = 0; attempt < most_kills && ask_out_of_memory_killer(); ++attempt)
        if (Page* page = take()) return page;
    return nullptr;
}

Page* take_zeroed_frame(PageKind kind) {
    if (zeroed_frames.load(std::memory_order_relaxed) == 0 || mobility_of(kind) != Mobility::User) return nullptr;
    Page* page = pop_zeroed_frame();
    if (!page) return nullptr;
    core::PreemptionGuard guard;
    CpuPageCache& cache = this_cpu_cache();
    ++cache.used[static_cast<usize>(kind)];
    ++cache.allocated;
    return page;
}

u64 square_root(u64 value) {
    u64 root = 0;
    for (u64 bit = u64{1} << 31; bit != 0; bit >>= 1)
        if ((root | bit) * (root | bit) <= value) root |= bit;
    return root;
}

void prepare(Page& page, PageKind kind) {
    page.kind = kind;
    page.flags.store(0, std::memory_order_relaxed);
    page.map_count.store(0, std::memory_order_relaxed);
    page.object = nullptr;
    page.index = 0;
    page.generation = 0;
    page.refs.store(1, std::memory_order_release);
}

void forbid_pages(Page& page, u64 count) {
    kasan::forbid(page_data(page), count << arch::page_shift, kasan::Poison::FreePage);
}

} // namespace

Result<PageRef> allocate_page(PageZeroing zeroing, PageKind kind) {
    if (fails_frame(kind)) [[unlikely]]
        return error(Errno::ENOMEM);
    Page* page = zeroing == PageZeroing::Zeroed ? take_zeroed_frame(kind) : nullptr;
    if (page) zeroing = PageZeroing::Uninitialised;
    if (!page) page = take_frame(kind);
    if (!page) [[unlikely]] {
        page = take_after_reclaim(1, [&] { return take_frame(kind); });
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
    const u64 reserve = reserve_for(kind, core::may_sleep());
    core::InterruptSpinGuard guard(buddy_lock);
    return buddy.free_frames() > reserve + (u64{1} << order) ? buddy.allocate(order, mobility_of(kind)) : nullptr;
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
    if (is_below_low_mark()) wake_reclaim_thread();
    // What is large is worth no more than a try: whoever asks has another way.
    if (!block && order <= costly_order)
        block = take_after_reclaim(u64{1} << order, [&] { return take_block(order, kind); });
    if (!block) return error(Errno::ENOMEM);
    return &prepare_block(block, order, zeroing, kind);
}

Page* allocate_block(unsigned order, PageZeroing zeroing, PageKind kind, Effort effort) {
    if (fails_frame(kind)) return nullptr;
    Page* block = take_block(order, kind);
    if (!block && effort == Effort::Shrink && may_reclaim()) {
        (void)drain_zeroed_frames();
        release_kept_memory();
        block = take_block(order, kind);
    }
    return block ? &prepare_block(block, order, zeroing, kind) : nullptr;
}

namespace {

[[gnu::always_inline]] inline void give_back(Page& page, unsigned order) {
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
    if (order > 0) [[unlikely]]
        return give_block(page, order);
    CpuPageCache::List& list = cache.lists[static_cast<usize>(mobility_of(kind))];
    page.next = list.first;
    list.first = &page;
    if (++list.count >= CpuPageCache::high_water) [[unlikely]]
        drain(list, CpuPageCache::batch);
}

} // namespace

void free_pages(Page& page, unsigned order) { give_back(page, order); }

void free_page(Page& page) {
    if (page.kind == PageKind::Hugetlb) [[unlikely]]
        return free_pool_frame(page);
    // A write may have marked it after a truncation had taken it away.
    if (page.kind == PageKind::File) note_clean(page);
    give_back(page, page.order);
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

u64 drain_this_cpu() {
    core::PreemptionGuard guard;
    CpuPageCache& cache = this_cpu_cache();
    CpuPageCache::List& list = cache.lists[static_cast<usize>(mobility_of(PageKind::PageTable))];
    while (Page* table = cache.tables) {
        cache.tables = table->next;
        --cache.table_count;
        table->next = list.first;
        list.first = table;
        ++list.count;
    }
    const u64 frames = cache.count();
    for (CpuPageCache::List& each : cache.lists) drain(each, each.count);
    return frames;
}

Page* take_listed_frame() {
    core::InterruptSpinGuard guard(buddy_lock);
    if (buddy.free_frames() <= high_mark.load(std::memory_order_relaxed)) return nullptr;
    Page* page = buddy.allocate(0, Mobility::User);
    if (!page) return nullptr;
    page->kind = PageKind::Kernel;
    page->order = 0;
    return page;
}

void give_listed_frame(Page& page) {
    core::InterruptSpinGuard guard(buddy_lock);
    buddy.free(page, 0);
}

void attach_page_cache(core::Cpu& cpu, CpuPageCache& cache) {
    caches[cpu.number] = &cache;
    cpu.page_cache = &cache;
}

void start_buddy_lists(void* map, u64 map_frames) {
    std::memset(map, 0, map_frames << arch::page_shift);
    buddy.set_block_map(static_cast<Mobility*>(map));
}

void give_frames(u64 first, u64 end) {
    forbid_pages(page_array.pages[first - page_array.first_frame], end - first);
    core::InterruptSpinGuard guard(buddy_lock);
    buddy.free_range(first, end);
    managed.fetch_add(end - first);
}

void start_page_allocator() {
    // As Linux: four times the square root of all memory in KiB.
    constexpr u64 least_kib = 128, most_kib = 262144;
    const u64 memory_kib = managed.load() * (arch::page_size / 1024);
    min_free_kbytes.stored = std::clamp(square_root(memory_kib * 16), least_kib, most_kib);
    apply_min_free();
}

/// The marks above `min` lie a quarter of it apart, or as many ten-thousandths of all memory as the knob says. `min` is
/// at most a quarter of all memory, so that some is left to use.
void apply_min_free() {
    const u64 all = managed.load();
    const u64 min = std::min(min_free_kbytes / (arch::page_size / 1024), all / 4);
    const u64 step = std::max(min / 4, all * watermark_scale_factor / 10000);
    min_mark.store(min);
    low_mark.store(min + step);
    high_mark.store(min + 2 * step);
}

Watermarks watermarks() { return {min_mark.load(), low_mark.load(), high_mark.load()}; }

u64 listed_free_frames() { return buddy.free_frames(); }

u64 managed_frames() { return managed.load(std::memory_order_relaxed); }

u64 free_frames() {
    u64 free = buddy.free_frames() + zeroed_frames.load(std::memory_order_relaxed);
    for (CpuPageCache* cache : caches)
        if (cache) free += cache->count() + cache->table_count;
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
    for (auto* end = word + arch::page_size / 8; word != end; word += 64) {
#pragma clang loop unroll(full)
        for (int i = 0; i < 64; ++i) word[i] = 0;
    }
}

__attribute__((no_builtin("memset", "memcpy"))) void copy_page(void* to, const void* from) {
    auto* target = static_cast<u64*>(to);
    auto* source = static_cast<const u64*>(from);
    for (auto* end = target + arch::page_size / 8; target != end; target += 32, source += 32) {
#pragma clang loop unroll(full)
        for (int i = 0; i < 32; ++i) target[i] = source[i];
    }
}

} // namespace linnet::mm
