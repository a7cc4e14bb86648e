// The rounds of reclaim: which holder of pages is asked next, how hard shrinkers are pressed; and the counters.
//
// Lock order: ring_lock is a leaf; holders are pinned under it and asked without it.
#include "reclaim.hpp"
#include "generations.hpp"
#include "page_allocator.hpp"
#include <algorithm>
#include <core/spinlock.hpp>
#include <mm/evictable.hpp>
#include <mm/knobs.hpp>
#include <mm/shrinker.hpp>
#include <mm/statistics.hpp>

namespace linnet::mm {

/// All holders of evictable pages. Who was asked goes to the end.
class EvictionRing {
public:
    void add(EvictablePages& holder) {
        core::SpinGuard guard(lock_);
        holders_.push_back(holder);
        ++count_;
    }
    void remove(EvictablePages& holder) {
        core::SpinGuard guard(lock_);
        if (!holder.ring_node_.is_linked()) return;
        holders_.remove(holder);
        --count_;
    }
    /// The next holder, pinned; null when there is none that lives.
    EvictablePages* next() {
        core::SpinGuard guard(lock_);
        for (usize left = count_; left > 0; --left) {
            EvictablePages* holder = holders_.first();
            holders_.remove(*holder);
            holders_.push_back(*holder);
            if (holder->try_pin()) return holder;
        }
        return nullptr;
    }
    [[nodiscard]] usize count() const { return __atomic_load_n(&count_, __ATOMIC_RELAXED); }

private:
    static constinit core::LockClass lock_class_;
    core::SpinLock lock_{lock_class_};
    IntrusiveList<EvictablePages, &EvictablePages::ring_node_> holders_;
    usize count_ = 0;
};
constinit core::LockClass EvictionRing::lock_class_("eviction ring");

namespace {

[[clang::no_destroy]] constinit EvictionRing ring;
constinit std::atomic<Shrinker*> shrinkers[16];

/// How hard the first round presses: a 4096th of everything. The last looks at all.
constexpr unsigned first_priority = 12;
constexpr u64 least_scan = 32;

struct Counters {
    std::atomic<u64> scanned[2], stolen[2]; // by Reclaimer
    std::atomic<u64> activated{0};
    std::atomic<u64> objects_scanned{0};
    std::atomic<u64> stalls{0};
    std::atomic<u64> page_cache_drops{0}, object_drops{0};
};
constinit Counters counters{};

/// Every holder is asked at most once.
EvictionResult ask_holders(EvictionRequest request) {
    EvictionResult result;
    for (usize left = ring.count(); left > 0 && request.wanted > 0 && request.to_scan > 0; --left) {
        EvictablePages* holder = ring.next();
        if (!holder) break;
        const EvictionResult part = holder->evict(request);
        holder->unpin();
        request.wanted -= std::min(request.wanted, part.freed);
        request.to_scan -= std::min(request.to_scan, part.scanned);
        result += part;
    }
    return result;
}

u64 evict_some(u64 wanted, unsigned priority, Reclaimer who) {
    const u64 pages = generations::size();
    if (pages == 0 || generations::oldest_size() == 0) return 0;
    EvictionRequest request{.wanted = wanted, .to_scan = std::max(pages >> priority, least_scan)};
    if (who == Reclaimer::Background) request.writing = EvictionRequest::Writing::Yes;
    const EvictionResult result = ask_holders(request);
    const auto which = static_cast<usize>(who);
    counters.scanned[which].fetch_add(result.scanned, std::memory_order_relaxed);
    counters.stolen[which].fetch_add(result.freed, std::memory_order_relaxed);
    counters.activated.fetch_add(result.activated, std::memory_order_relaxed);
    return result.freed;
}

u64 shrink_some(unsigned priority) {
    u64 freed = 0;
    for (auto& slot : shrinkers) {
        Shrinker* shrinker = slot.load(std::memory_order_acquire);
        if (!shrinker) break;
        const u64 part = shrinker->count() >> priority;
        if (part == 0) continue;
        counters.objects_scanned.fetch_add(part, std::memory_order_relaxed);
        freed += shrinker->scan(priority == 0 ? Shrinker::everything() : part);
    }
    return freed;
}

} // namespace

void EvictablePages::start_eviction() { ring.add(*this); }
void EvictablePages::stop_eviction() { ring.remove(*this); }

void add_shrinker(Shrinker& shrinker) {
    for (auto& slot : shrinkers) {
        Shrinker* none = nullptr;
        if (slot.compare_exchange_strong(none, &shrinker)) return;
    }
    VERIFY(!"more shrinkers than slots");
}

u64 reclaim(u64 wanted, Reclaimer who) {
    ReclaimScope scope;
    if (who == Reclaimer::Direct) counters.stalls.fetch_add(1, std::memory_order_relaxed);
    u64 got = 0;
    for (unsigned priority = first_priority + 1; priority-- > 0 && got < wanted;) {
        got += evict_some(wanted - got, priority, who);
        got += shrink_some(priority);
    }
    if (got > 0) note_reclaim_progress();
    return got;
}

void drop_page_cache() {
    ReclaimScope scope;
    counters.page_cache_drops.fetch_add(1, std::memory_order_relaxed);
    (void)ask_holders({.wanted = ~u64{0}, .to_scan = ~u64{0}, .ages = EvictionRequest::Ages::All});
}

void release_kept_memory() {
    ReclaimScope scope;
    // What one gives back, as an inode with its name, may let another give more.
    for (int round = 0; round < 8 && shrink_some(0) > 0;) ++round;
    (void)drain_every_cpu();
}

void drop_kernel_caches() {
    counters.object_drops.fetch_add(1, std::memory_order_relaxed);
    release_kept_memory();
}

ReclaimStatistics reclaim_statistics() {
    ReclaimStatistics result;
    result.scanned_background = counters.scanned[static_cast<usize>(Reclaimer::Background)].load();
    result.scanned_direct = counters.scanned[static_cast<usize>(Reclaimer::Direct)].load();
    result.stolen_background = counters.stolen[static_cast<usize>(Reclaimer::Background)].load();
    result.stolen_direct = counters.stolen[static_cast<usize>(Reclaimer::Direct)].load();
    result.activated = counters.activated.load();
    result.objects_scanned = counters.objects_scanned.load();
    result.stalls = counters.stalls.load();
    result.page_cache_drops = counters.page_cache_drops.load();
    result.object_drops = counters.object_drops.load();
    result.background_runs = background_reclaim_runs();
    result.active_file = generations::active_size();
    const u64 evictable = generations::size();
    result.inactive_file = evictable - std::min(evictable, result.active_file);
    u64 bytes = 0;
    for (auto& slot : shrinkers)
        if (Shrinker* shrinker = slot.load(std::memory_order_acquire))
            bytes += shrinker->count() * shrinker->object_size();
    result.reclaimable_slab = bytes >> arch::page_shift;
    return result;
}

} // namespace linnet::mm
