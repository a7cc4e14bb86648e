// A bounded pool of frames that idle CPUs have cleared, so that whoever wants a zeroed page finds one. A CPU clears one
// frame at a time and only while it has nothing to run; nothing is cleared while memory is short, and under pressure
// the pool goes back first.
//
// Lock order: pool_lock is a leaf and masks interrupts, as the allocator's lock does.
#include "zeroed_pages.hpp"
#include "frame_poison.hpp"
#include "kasan.hpp"
#include "page_allocator.hpp"
#include "reclaim.hpp"
#include <algorithm>
#include <core/hooks.hpp>
#include <core/spinlock.hpp>

namespace linnet::mm {

namespace {

constexpr u64 most_frames = 1024;
constexpr u64 share_of_memory = 256; // at most one in so many frames

constinit core::LockClass pool_lock_class("zeroed pages");
constinit core::InterruptSpinLock pool_lock(pool_lock_class);
constinit Page* pool = nullptr;
constinit std::atomic<u64> made{0}, taken{0};

u64 limit() { return std::min(most_frames, managed_frames() / share_of_memory); }

Page* pop() {
    core::InterruptSpinGuard guard(pool_lock);
    Page* page = pool;
    if (!page) return nullptr;
    pool = page->next;
    zeroed_frames.store(zeroed_frames.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    return page;
}

void push(Page& page) {
    core::InterruptSpinGuard guard(pool_lock);
    page.next = pool;
    pool = &page;
    zeroed_frames.store(zeroed_frames.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

} // namespace

constinit std::atomic<u64> zeroed_frames{0};

Page* pop_zeroed_frame() {
    Page* page = pop();
    if (page) taken.fetch_add(1, std::memory_order_relaxed);
    return page;
}

bool wants_zeroed_frame() {
    // Free frames have a pattern of their own where writes to them are looked for.
    if (frame_poison::is_on || zeroed_frames.load(std::memory_order_relaxed) >= limit()) return false;
    return listed_free_frames() > 2 * watermarks().high;
}

void make_zeroed_frame() {
    Page* page = take_listed_frame();
    if (!page) return;
    kasan::allow(page_data(*page), arch::page_size);
    clear_page(page_data(*page));
    kasan::forbid(page_data(*page), arch::page_size, kasan::Poison::FreePage);
    made.fetch_add(1, std::memory_order_relaxed);
    push(*page);
}

u64 drain_zeroed_frames() {
    u64 frames = 0;
    for (; Page* page = pop(); ++frames) give_listed_frame(*page);
    return frames;
}

u64 zeroed_frames_made() { return made.load(std::memory_order_relaxed); }
u64 zeroed_frames_taken() { return taken.load(std::memory_order_relaxed); }

} // namespace linnet::mm

namespace linnet::hooks {

bool has_idle_work() { return mm::wants_zeroed_frame(); }
void do_idle_work() { mm::make_zeroed_frame(); }

} // namespace linnet::hooks
