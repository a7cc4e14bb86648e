// The buddy allocator: blocks of 2^order frames, split and joined with their neighbour. It owns the links and the kind
// of free Pages. Not locked; the page allocator does that.
//
// Frames that the kernel keeps for long would soon leave no memory in one piece. So what is given out for the kernel
// and what programs get comes from different blocks of the size of a huge page, as long as there is room for both: each
// such block serves one of the two from the time it is split until it is whole again.
#pragma once

#include <mm/page.hpp>

namespace linnet::mm {

/// How long a frame may be expected to stay: as long as the kernel likes, or until its program ends.
enum class Mobility : u8 { Kernel, User };

class BuddyAllocator {
public:
    constexpr BuddyAllocator() = default;
    BuddyAllocator(const BuddyAllocator&) = delete;

    /// To be called first, with a byte, zero, for each block of the size of a huge page in page_array.
    void set_block_map(Mobility* map) { map_ = map; }
    /// A block of 2^order frames, its head no longer Free; null when there is none.
    Page* allocate(unsigned order, Mobility mobility);
    /// Gives a block back. It must lie wholly in page_array, aligned to its size.
    void free(Page& head, unsigned order);
    /// Gives all frames of [first, end) (frame numbers).
    void free_range(u64 first, u64 end);
    /// May be asked without the lock.
    [[nodiscard]] u64 free_frames() const { return free_frames_.load(std::memory_order_relaxed); }
    [[nodiscard]] u64 free_blocks(unsigned order) const { return counts_[order]; }

private:
    void push(Page& head, unsigned order);
    void unlink(Page& head, unsigned order);
    Page* take(unsigned order, unsigned found, Mobility mobility);
    Mobility& mobility_of(const Page& page);
    /// Blocks as large as a huge page are in the first lists, whoever had them.
    Page*& list(const Page& head, unsigned order) {
        return lists_[order < huge_page_order ? static_cast<usize>(mobility_of(head)) : 0][order];
    }

    Mobility* map_ = nullptr;
    Page* lists_[2][max_order + 1] = {};
    u64 counts_[max_order + 1] = {};
    void count_free(u64 frames) {
        free_frames_.store(free_frames_.load(std::memory_order_relaxed) + frames, std::memory_order_relaxed);
    }
    std::atomic<u64> free_frames_{0};
};

} // namespace linnet::mm
