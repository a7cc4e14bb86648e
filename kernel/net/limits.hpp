// Limits of sockets that somebody may change (/proc/sys/net), and the memory that queued messages may take.
#pragma once

#include <atomic>
#include <lib/result.hpp>
#include <lib/types.hpp>

namespace linnet::net {

/// socket(7), "/proc interfaces"; unix(7). Bytes, and numbers of messages and connections.
struct Limits {
    std::atomic<u64> write_default{212992};
    std::atomic<u64> read_default{212992};
    std::atomic<u64> write_most{212992};
    std::atomic<u64> read_most{212992};
    std::atomic<u64> control_most{131072}; // optmem_max
    std::atomic<u64> backlog_most{4096};   // somaxconn
    std::atomic<u64> datagrams{10};        // net/unix/max_dgram_qlen
};
extern constinit Limits limits;

/// Messages may hold a quarter of memory, all together, beyond a little that every socket may have. `MessageMemory`
/// is what one socket has sent and nobody has received; it takes from the whole by the batch.
class MessageMemory {
public:
    static constexpr usize free_allowance = 16 << 10;
    static constexpr usize batch = 64 << 10;

    [[nodiscard]] usize used() const { return used_.load(std::memory_order_relaxed); }
    /// ENOBUFS when the machine's share is used up.
    Result<void> take(usize bytes);
    void give_back(usize bytes);
    ~MessageMemory();

private:
    Result<void> take_batches(usize used);
    std::atomic<usize> used_{0};
    std::atomic<usize> reserved_{0}; // of the whole; changes while `used_` is beyond the allowance
};

/// All batches taken now, in bytes, for /proc/net/sockstat.
u64 message_memory_reserved();
/// The share of memory, from what there is; once.
void set_message_memory_limit(u64 bytes);

} // namespace linnet::net
