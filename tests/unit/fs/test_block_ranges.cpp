// Sets of blocks against std::set.
#include "block_ranges.hpp"

#include <gtest/gtest.h>
#include <random>
#include <set>

namespace linnet::test {
namespace {

TEST(BlockRanges, AreSetsOfBlocks) {
    std::mt19937 random(3);
    ext4::BlockRanges ranges;
    std::set<u64> model;
    for (int step = 0; step < 20'000; ++step) {
        const u64 begin = random() % 60, end = begin + 1 + random() % 12;
        if (random() % 2) {
            ASSERT_TRUE(ranges.add({begin, end}));
            for (u64 block = begin; block < end; ++block) model.insert(block);
        } else {
            u64 gone = 0;
            for (u64 block = begin; block < end; ++block) gone += model.erase(block);
            ASSERT_EQ(*ranges.remove({begin, end}), gone);
        }
        ASSERT_EQ(ranges.count(), model.size());
        for (u64 block = 0; block < 75; ++block) ASSERT_EQ(ranges.has(block), model.contains(block));
        const ext4::BlockRange first = ranges.first_in({begin, end});
        const auto wanted = model.lower_bound(begin);
        if (wanted == model.end() || *wanted >= end) {
            ASSERT_EQ(first.length(), 0u);
            continue;
        }
        ASSERT_EQ(first.begin, *wanted);
        for (u64 block = first.begin; block < first.end; ++block) ASSERT_TRUE(model.contains(block));
        ASSERT_TRUE(first.end == end || !model.contains(first.end));
    }
}

} // namespace
} // namespace linnet::test
