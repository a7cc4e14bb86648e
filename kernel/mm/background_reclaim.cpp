// The reclaim thread, which works from the low watermark up to the high one while others go on; and the thread that
// goes from CPU to CPU and empties what each keeps for itself. Two, because the first may wait for a file system to
// store pages, and who waits for the second may hold what that file system needs.
//
// Neither polls: they sleep until woken.
#include "page_allocator.hpp"
#include "reclaim.hpp"
#include "slab.hpp"
#include "zeroed_pages.hpp"
#include <algorithm>
#include <core/sched.hpp>
#include <core/wait_queue.hpp>
#include <mm/init.hpp>
#include <mm/statistics.hpp>

namespace linnet::mm {

namespace {

constexpr u32 most_failures = 16; // in a row, before the thread gives up until somebody frees something
constexpr u64 least_batch = 32;

constinit core::WaitQueue reclaim_waiters, progress_waiters, drain_waiters, drained;
constinit std::atomic<bool> is_started{false}, is_wanted{false};
constinit std::atomic<u32> failures{0};
constinit std::atomic<u64> runs{0};
constinit std::atomic<u64> freed{0}, given_up{0}; // frames, and times
constinit std::atomic<u64> stores{0};             // of pages, come to their end
constinit std::atomic<u32> stores_under_way{0};
constinit std::atomic<u64> drains_asked{0}, drains_done{0};

void balance() {
    runs.fetch_add(1, std::memory_order_relaxed);
    (void)drain_zeroed_frames();
    for (;;) {
        const u64 free = listed_free_frames(), high = watermarks().high;
        if (free >= high) {
            failures.store(0, std::memory_order_relaxed);
            return;
        }
        const u64 got = reclaim(std::max(high - free, least_batch), Reclaimer::Background);
        if (got == 0) failures.fetch_add(1, std::memory_order_relaxed);
        (got > 0 ? freed : given_up).fetch_add(std::max<u64>(got, 1), std::memory_order_relaxed);
        progress_waiters.wake_all();
        if (got == 0) return;
    }
}

void run_reclaim(void*) {
    core::current_thread().is_reclaiming = true;
    for (;;) {
        (void)core::wait_until(reclaim_waiters, core::Sleep::Deep, core::Deadline::never(),
                               [] { return is_wanted.exchange(false, std::memory_order_acquire); });
        balance();
    }
}

void run_drain(void*) {
    core::Thread& self = core::current_thread();
    self.is_reclaiming = true;
    for (;;) {
        (void)core::wait_until(drain_waiters, core::Sleep::Deep, core::Deadline::never(),
                               [] { return drains_done.load() != drains_asked.load(); });
        const u64 asked = drains_asked.load();
        const u64 cpus = core::online_cpus();
        for (u32 cpu = 0; cpu < core::cpu_count(); ++cpu) {
            if (!(cpus >> cpu & 1) || !core::set_affinity(self, u64{1} << cpu)) continue;
            (void)drain_magazines();
            (void)drain_this_cpu();
        }
        drains_done.store(asked);
        drained.wake_all();
    }
}

} // namespace

void wake_reclaim_thread() {
    if (!is_started.load(std::memory_order_relaxed) || failures.load(std::memory_order_relaxed) >= most_failures)
        return;
    if (!is_wanted.load(std::memory_order_relaxed) && !is_wanted.exchange(true, std::memory_order_release))
        reclaim_waiters.wake_one();
}

bool await_reclaim_thread() {
    // Clocks are no measure of a busy machine's disks, but whoever is stored for may hold what the store waits for.
    constexpr u64 patience_ns = 100'000'000, patience_with_stores_ns = 20 * patience_ns;
    if (core::current_thread().stores_for_reclaim || !is_started.load(std::memory_order_relaxed)) return false;
    const u64 freed_then = freed.load(), stored_then = stores.load(), given_up_then = given_up.load();
    const auto is_better = [&] { return freed.load() != freed_then || stores.load() != stored_then; };
    wake_reclaim_thread();
    (void)core::wait_until(progress_waiters, core::Sleep::Deep, core::Deadline::after(patience_ns),
                           [&] { return is_better() || given_up.load() != given_up_then; });
    // What is being stored can go soon, though the reclaim thread itself found nothing or waits for its own store.
    (void)core::wait_until(progress_waiters, core::Sleep::Deep, core::Deadline::after(patience_with_stores_ns),
                           [&] { return is_better() || stores_under_way.load() == 0; });
    return is_better();
}

StoringScope::StoringScope() { stores_under_way.fetch_add(1, std::memory_order_relaxed); }
StoringScope::~StoringScope() {
    if (is_stored_) stores.fetch_add(1, std::memory_order_relaxed);
    stores_under_way.fetch_sub(1, std::memory_order_relaxed);
    progress_waiters.wake_all();
}

void note_reclaim_progress() {
    if (failures.load(std::memory_order_relaxed) != 0) failures.store(0, std::memory_order_relaxed);
}

u64 background_reclaim_runs() { return runs.load(std::memory_order_relaxed); }

bool drain_every_cpu() {
    if (!is_started.load()) return false;
    const u64 mine = drains_asked.fetch_add(1) + 1;
    drain_waiters.wake_one();
    (void)core::wait_until(drained, core::Sleep::Deep, core::Deadline::never(),
                           [&] { return drains_done.load() >= mine; });
    return true;
}

Result<void> start_reclaim() {
    TRY(core::start_kernel_thread("kswapd0", run_reclaim, nullptr));
    TRY(core::start_kernel_thread("mm_drain", run_drain, nullptr));
    is_started.store(true);
    return {};
}

} // namespace linnet::mm
