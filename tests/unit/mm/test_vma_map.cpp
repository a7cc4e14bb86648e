// VmaMap against an array of pages and a bitmap of those in use.
#include "machine.hpp"
#include <array>
#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <vector>

namespace linnet::test {

namespace {

constexpr u64 pages = 512, base = 0x10'0000, page = arch::page_size;

struct Model {
    using Bits = std::array<u64, pages / 64>;
    std::vector<mm::Vma*> owner = std::vector<mm::Vma*>(pages, nullptr);
    Bits free{};

    Model() { free.fill(~u64{0}); }
    void set(u64 first, u64 count, mm::Vma* vma) {
        for (u64 i = first; i < first + count; ++i) {
            owner[i] = vma;
            u64 bit = u64{1} << (i % 64);
            free[i / 64] = vma ? free[i / 64] & ~bit : free[i / 64] | bit;
        }
    }
    /// Where `count` free pages begin: each page together with its followers, one more at each turn.
    Bits gaps(u64 count) const {
        Bits result = free;
        for (u64 i = 1; i < count; ++i)
            for (usize word = 0; word < result.size(); ++word) {
                u64 above = word + 1 < result.size() ? result[word + 1] : 0;
                result[word] &= result[word] >> 1 | above << 63;
            }
        return result;
    }
    u64 highest_gap(u64 count) const {
        Bits found = gaps(count);
        for (usize word = found.size(); word-- > 0;)
            if (found[word]) return base + (word * 64 + 63 - static_cast<u64>(std::countl_zero(found[word]))) * page;
        return 0;
    }
    u64 lowest_gap(u64 count) const {
        Bits found = gaps(count);
        for (usize word = 0; word < found.size(); ++word)
            if (found[word]) return base + (word * 64 + static_cast<u64>(std::countr_zero(found[word]))) * page;
        return 0;
    }
};

TEST(VmaMap, FindsGapsAndMappingsLikeTheModel) {
    std::mt19937 random(4);
    mm::VmaMap map;
    Model model;
    std::vector<std::unique_ptr<mm::Vma>> vmas;
    VirtAddr low{base}, high{base + pages * page};
    const int count_of_steps = steps(250'000, 40); // ten million with --long
    for (int step = 0; step < count_of_steps; ++step) {
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
            model.set((found.value - base) / page, count, vma.get());
            map.insert(*vma);
            vmas.push_back(std::move(vma));
        } else {
            usize i = random() % vmas.size();
            model.set((vmas[i]->begin.value - base) / page, vmas[i]->page_count(), nullptr);
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
        if (after) {
            u64 next_page = (after->end.value - base) / page;
            mm::Vma* next = nullptr;
            for (u64 i = next_page; i < pages && !next; ++i) next = model.owner[i];
            ASSERT_EQ(map.next(*after), next);
            if (next) ASSERT_EQ(map.previous(*next), after);
        }
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
