// The buddy allocator: blocks of 2^order frames, split and joined with their neighbour. It owns the links and the kind
// of free Pages. Not locked; the page allocator does that.
#pragma once

#include <mm/page.hpp>

namespace linnet::mm {

class BuddyAllocator {
public:
    constexpr BuddyAllocator() = default;
    BuddyAllocator(const BuddyAllocator&) = delete;

    /// A block of 2^order frames, its head no longer Free; null when there is none.
    Page* allocate(unsigned order);
    /// Gives a block back. It must lie wholly in page_array, aligned to its size.
    void free(Page& head, unsigned order);
    /// Gives all frames of [first, end) (frame numbers).
    void free_range(u64 first, u64 end);
    [[nodiscard]] u64 free_frames() const { return free_frames_; }
    [[nodiscard]] u64 free_blocks(unsigned order) const { return counts_[order]; }

private:
    void push(Page& head, unsigned order);
    void unlink(Page& head, unsigned order);

    Page* lists_[max_order + 1] = {};
    u64 counts_[max_order + 1] = {};
    u64 free_frames_ = 0;
};

} // namespace linnet::mm
