// What a tmpfs instance has used and may use. Shared by the superblock and by the objects that hold its
// pages, which can outlive it in mappings.
#pragma once

#include <atomic>
#include <lib/ref_ptr.hpp>
#include <lib/result.hpp>

namespace linnet::fs {

/// A number that may not pass its limit.
class Quota {
public:
    Result<void> charge(u64 count) {
        u64 used = used_.load(std::memory_order_relaxed);
        do {
            u64 limit = limit_.load(std::memory_order_relaxed);
            if (used > limit || count > limit - used) return error(Errno::ENOSPC);
        } while (!used_.compare_exchange_weak(used, used + count, std::memory_order_relaxed));
        return {};
    }
    void give_back(u64 count) { used_.fetch_sub(count, std::memory_order_relaxed); }
    u64 used() const { return used_.load(std::memory_order_relaxed); }
    u64 limit() const { return limit_.load(std::memory_order_relaxed); }
    void set_limit(u64 limit) { limit_.store(limit, std::memory_order_relaxed); }
    u64 available() const {
        u64 now = used();
        return now < limit() ? limit() - now : 0;
    }

private:
    std::atomic<u64> used_{0};
    std::atomic<u64> limit_{0};
};

struct TmpfsAccounting : RefCounted<TmpfsAccounting> {
    Quota pages;
    Quota inodes;
};

} // namespace linnet::fs
