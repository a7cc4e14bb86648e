// A set of block numbers, as ranges.
#pragma once

#include <algorithm>
#include <lib/array_list.hpp>

namespace linnet::ext4 {

struct BlockRange {
    u64 begin = 0, end = 0;
    [[nodiscard]] u64 length() const { return end - begin; }
};

class BlockRanges {
public:
    [[nodiscard]] u64 count() const { return count_; }
    [[nodiscard]] bool has(u64 block) const {
        const usize place = first_behind(block);
        return place < ranges_.size() && ranges_[place].begin <= block;
    }
    /// The part of the set's first range that lies in `within`; empty when there is none.
    [[nodiscard]] BlockRange first_in(BlockRange within) const {
        const usize place = first_behind(within.begin);
        if (place == ranges_.size() || ranges_[place].begin >= within.end) return {within.end, within.end};
        return {std::max(ranges_[place].begin, within.begin), std::min(ranges_[place].end, within.end)};
    }
    /// ENOMEM, with which nothing has changed.
    Result<void> add(BlockRange range) {
        TRY(ranges_.try_reserve(ranges_.size() + 1));
        usize place = first_behind(range.begin);
        // What it touches becomes part of it.
        if (place > 0 && ranges_[place - 1].end == range.begin) --place;
        while (place < ranges_.size() && ranges_[place].begin <= range.end) {
            range = {std::min(range.begin, ranges_[place].begin), std::max(range.end, ranges_[place].end)};
            count_ -= ranges_[place].length();
            ranges_.remove_at(place);
        }
        insert(place, range);
        count_ += range.length();
        return {};
    }
    /// How many of them were in the set. ENOMEM, with which nothing has changed.
    Result<u64> remove(BlockRange range) {
        const u64 before = count_;
        TRY(ranges_.try_reserve(ranges_.size() + 1)); // a range may fall apart
        for (usize place = first_behind(range.begin); place < ranges_.size() && ranges_[place].begin < range.end;) {
            const BlockRange old = ranges_[place];
            ranges_.remove_at(place);
            count_ -= old.length();
            if (old.begin < range.begin) {
                insert(place++, {old.begin, range.begin});
                count_ += range.begin - old.begin;
            }
            if (old.end > range.end) {
                insert(place++, {range.end, old.end});
                count_ += old.end - range.end;
            }
        }
        return before - count_;
    }

private:
    /// The first range that ends behind `block`.
    [[nodiscard]] usize first_behind(u64 block) const {
        const auto all = ranges_.span();
        return static_cast<usize>(std::ranges::upper_bound(all, block, {}, &BlockRange::end) - all.begin());
    }
    /// There is room.
    void insert(usize place, BlockRange range) {
        (void)ranges_.try_push(range);
        std::rotate(ranges_.begin() + place, ranges_.end() - 1, ranges_.end());
    }

    ArrayList<BlockRange> ranges_; // in order, apart from each other
    u64 count_ = 0;                // of blocks
};

} // namespace linnet::ext4
