// PageIndex: a radix tree from page number to Page*, 64 ways a node. A single page at index 0 needs no node at all, so
// small files cost only their page. The owner locks.
#pragma once

#include <lib/result.hpp>
#include <lib/types.hpp>

namespace linnet::mm {

struct Page;

class PageIndex {
public:
    constexpr PageIndex() = default;
    PageIndex(const PageIndex&) = delete;
    PageIndex& operator=(const PageIndex&) = delete;
    ~PageIndex();

    [[nodiscard]] Page* find(u64 index) const;
    /// The slots from `index` on that lie in one node, and in `count` how many (at least 1); each holds a Page or null.
    /// Null when nothing is near; `count` then says how many are empty.
    [[nodiscard]] Page* const* run(u64 index, usize& count) const;
    /// ENOMEM when there is no memory for a node. Replaces what is there.
    Result<void> insert(u64 index, Page& page);
    /// Takes the entry out and returns it; null when there was none.
    Page* remove(u64 index);
    /// The first entry at or after `from`; `from` becomes its index. Null when there is none.
    [[nodiscard]] Page* find_next(u64& from) const;
    [[nodiscard]] bool is_empty() const { return root_ == nullptr; }

private:
    static constexpr unsigned bits = 6;
    static constexpr unsigned ways = 1u << bits;
    struct Node {
        void* slots[ways] = {};
        u32 used = 0;
    };
    [[nodiscard]] bool covers(u64 index) const { return height_ * bits >= 64 || (index >> (height_ * bits)) == 0; }
    static void free_node(Node* node, unsigned height);
    static Page* find_next_in(void* entry, unsigned height, u64 base, u64& from);
    void prune(u64 index);

    void* root_ = nullptr; // a Page at height 0, else a Node
    unsigned height_ = 0;
};

} // namespace linnet::mm
