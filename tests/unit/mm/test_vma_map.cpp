// VmaMap against a bitmap of pages.
#include "machine.hpp"
#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <vector>

namespace linnet::test {

namespace {

constexpr u64 pages = 512, base = 0x10'0000, page = arch::page_size;

struct Model {
    std::vector<mm::Vma*> owner = std::vector<mm::Vma*>(pages, nullptr);
    bool is_free(u64 first, u64 count) const {
        for (u64 i = first; i < first + count; ++i)
            if (i >= pages || owner[i]) return false;
        return true;
    }
    /// The answers by trying every place.
    u64 highest_gap(u64 count) const {
        for (u64 first = pages - count + 1; first-- > 0;)
            if (is_free(first, count)) return base + first * page;
        return 0;
    }
    u64 lowest_gap(u64 count) const {
        for (u64 first = 0; first + count <= pages; ++first)
            if (is_free(first, count)) return base + first * page;
        return 0;
    }
};

TEST(VmaMap, FindsGapsAndMappingsLikeTheModel) {
    std::mt19937 random(4);
    mm::VmaMap map;
    Model model;
    std::vector<std::unique_ptr<mm::Vma>> vmas;
    VirtAddr low{base}, high{base + pages * page};
    for (int step = 0; step < 20000; ++step) {
        u64 count = 1 + random() % 12;
        if (random() % 2 || vmas.empty()) {
            bool top_down = random() % 2;
            u64 expected = top_down ? model.highest_gap(count) : model.lowest_gap(count);
            VirtAddr found = top_down ? map.find_gap_top_down(count * page, low, high, page, 0)
                                      : map.find_gap_bottom_up(count * page, low, high, page, 0);
            ASSERT_EQ(found.value, expected);
            if (!expected) continue;
            auto vma = std::make_unique<mm::Vma>();
            vma->begin = found;
            vma->end = found + count * page;
            for (u64 i = 0; i < count; ++i) model.owner[(found.value - base) / page + i] = vma.get();
            map.insert(*vma);
            vmas.push_back(std::move(vma));
        } else {
            usize i = random() % vmas.size();
            for (auto& owner : model.owner)
                if (owner == vmas[i].get()) owner = nullptr;
            map.remove(*vmas[i]);
            vmas[i] = std::move(vmas.back());
            vmas.pop_back();
        }
        u64 at = random() % pages;
        ASSERT_EQ(map.find({base + at * page + random() % page}), model.owner[at]);
        mm::Vma* after = nullptr;
        for (u64 i = at; i < pages && !after; ++i) after = model.owner[i];
        ASSERT_EQ(map.find_ending_after({base + at * page}), after);
        ASSERT_EQ(map.count(), vmas.size());
    }
    while (!vmas.empty()) map.remove(*vmas.back()), vmas.pop_back();
}

TEST(VmaMap, KeepsTheGapBelowAStack) {
    mm::VmaMap map;
    mm::Vma stack;
    stack.begin = {base + 400 * page};
    stack.end = {base + 410 * page};
    stack.flags = mm::vma_grows_down;
    map.insert(stack);
    VirtAddr found = map.find_gap_top_down(page, {base}, stack.end, page, 256 * page);
    EXPECT_EQ(found.value, base + (400 - 256 - 1) * page);
    found = map.find_gap_bottom_up(150 * page, {base}, {base + 1000 * page}, page, 256 * page);
    EXPECT_EQ(found.value, stack.end.value);
    map.remove(stack);
}

} // namespace
} // namespace linnet::test
