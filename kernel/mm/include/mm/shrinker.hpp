// Shrinker: a cache of the kernel's own that can do with less when memory is short (names of files, empty slabs, spare
// stacks). Whoever owns the cache registers one; reclaim asks all of them in turn.
#pragma once

#include <lib/types.hpp>

namespace linnet::mm {

/// Both functions are called where sleeping is allowed, by threads that may hold locks of any kind over their
/// allocation: they take no lock that anybody holds while allocating, unless they only try to.
class Shrinker {
public:
    constexpr Shrinker() = default;
    Shrinker(const Shrinker&) = delete;
    /// How many objects could go; a guess.
    virtual u64 count() = 0;
    /// Looks at about `wanted` objects and lets go of what nobody uses; how many went. What was used of late is passed
    /// over, unless `wanted` is everything().
    virtual u64 scan(u64 wanted) = 0;
    static constexpr u64 everything() { return ~u64{0}; }
    /// Bytes of the heap that an object takes: what counts as SReclaimable. 0 when it isn't of the heap.
    virtual usize object_size() const { return 0; }

protected:
    ~Shrinker() = default;
};

/// For good: a shrinker is never taken out again.
void add_shrinker(Shrinker& shrinker);

} // namespace linnet::mm
