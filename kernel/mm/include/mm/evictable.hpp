// What reclaim can take pages from: the page cache of a file (FileObject); an address space, once there is swap.
//
// A page that may be evicted is in a generation (generations.hpp) from the moment its holder adds it. Reclaim goes
// round the holders and asks each for what is left of the oldest generation.
#pragma once

#include <lib/intrusive_list.hpp>
#include <lib/types.hpp>

namespace linnet::mm {

struct EvictionRequest {
    u64 wanted = 0;  // pages to free
    u64 to_scan = 0; // pages to look at, at most
    /// drop_caches takes what is clean and unmapped, used or not.
    enum class Ages : u8 { Oldest, All } ages = Ages::Oldest;
    /// Only the reclaim thread writes: others may hold locks that storing needs.
    enum class Writing : u8 { No, Yes } writing = Writing::No;
};

struct EvictionResult {
    u64 scanned = 0;
    u64 freed = 0;
    u64 activated = 0; // had been used: moved to the youngest generation
    EvictionResult& operator+=(const EvictionResult& other) {
        scanned += other.scanned;
        freed += other.freed;
        activated += other.activated;
        return *this;
    }
};

class EvictablePages {
public:
    /// Frees some of its pages. The caller holds a pin; sleeping is allowed, but locks of any kind may be held: it only
    /// tries to take sleeping locks, unless the request lets it write.
    virtual EvictionResult evict(const EvictionRequest& request) = 0;
    /// Keeps the holder alive; false when it is dying. Under a spinlock.
    virtual bool try_pin() = 0;
    virtual void unpin() = 0;

protected:
    EvictablePages() = default;
    ~EvictablePages() = default;
    /// To be called when it can be pinned, and before it dies.
    void start_eviction();
    void stop_eviction();

private:
    friend class EvictionRing;
    ListNode ring_node_;
};

} // namespace linnet::mm
