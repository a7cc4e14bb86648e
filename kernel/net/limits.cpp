// The account of what queued messages take.
#include "limits.hpp"

namespace linnet::net {

constinit Limits limits;

namespace {

constinit std::atomic<u64> most_of_all{64 << 20};
constinit std::atomic<u64> taken_of_all{0};

} // namespace

u64 message_memory_reserved() { return taken_of_all.load(std::memory_order_relaxed); }
void set_message_memory_limit(u64 bytes) { most_of_all.store(bytes, std::memory_order_relaxed); }

Result<void> MessageMemory::take(usize bytes) {
    const usize used = used_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    if (used <= free_allowance) [[likely]]
        return {};
    Result<void> reserved = take_batches(used);
    if (!reserved) used_.fetch_sub(bytes, std::memory_order_relaxed);
    return reserved;
}

void MessageMemory::give_back(usize bytes) {
    const usize used = used_.fetch_sub(bytes, std::memory_order_relaxed) - bytes;
    if (used <= free_allowance && reserved_.load(std::memory_order_relaxed) != 0)
        taken_of_all.fetch_sub(reserved_.exchange(0, std::memory_order_relaxed), std::memory_order_relaxed);
}

/// Two threads that take and give at once may leave a batch too few reserved: the limit is not exact.
Result<void> MessageMemory::take_batches(usize used) {
    const usize needed = (used - free_allowance + batch - 1) / batch * batch;
    usize reserved = reserved_.load(std::memory_order_relaxed);
    while (reserved < needed) {
        const u64 more = needed - reserved;
        if (taken_of_all.fetch_add(more, std::memory_order_relaxed) + more >
            most_of_all.load(std::memory_order_relaxed)) {
            taken_of_all.fetch_sub(more, std::memory_order_relaxed);
            return error(Errno::ENOBUFS);
        }
        if (reserved_.compare_exchange_weak(reserved, needed, std::memory_order_relaxed)) return {};
        taken_of_all.fetch_sub(more, std::memory_order_relaxed);
    }
    return {};
}

MessageMemory::~MessageMemory() { taken_of_all.fetch_sub(reserved_.load(), std::memory_order_relaxed); }

} // namespace linnet::net
