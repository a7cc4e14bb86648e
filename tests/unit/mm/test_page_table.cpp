// PageTable and PageCursor over simulated memory, against a map of entries.
#include "machine.hpp"
#include <gtest/gtest.h>
#include <map>
#include <random>

namespace linnet::test {

using Policy = arch::PagingPolicy;
using Table = mm::PageTable<Policy>;
using Cursor = mm::PageCursor<Policy>;

namespace {

struct Tables {
    Table table;
    Tables() { table = Table(mm::page_address(*MUST(mm::allocate_page_table()))); }
    ~Tables() {
        // Tables are freed empty.
        table.for_each_leaf_slot({}, {u64{1} << 47}, [](mm::Page& leaf, VirtAddr from, VirtAddr to, auto*) {
            for (Cursor cursor(leaf, from); cursor.address() < to; cursor.advance()) cursor.set(Policy::empty());
        });
        table.prune({}, {u64{1} << 47}, {}, {u64{1} << 47}, [](mm::Page& page) { mm::free_page_table(page); });
        mm::free_page_table(*mm::page_of(table.root()));
    }
};

TEST(PageTable, AgreesWithAMapAndLeavesNothing) {
    start_machine();
    u64 before = usage().page_tables;
    {
        Tables tables;
        std::map<u64, u64> model;
        std::mt19937_64 random(3);
        const u64 clusters[] = {0x400000, 0x1f'ffff'0000, 0x5555'5555'0000, 0x7fff'fff0'0000};
        for (int step = 0; step < 30000; ++step) {
            u64 at = clusters[random() % 4] + (random() % 700) * arch::page_size;
            if (at >= arch::user_address_end.value) continue;
            if (random() % 3) {
                u64 frame = (1 + random() % 10000) * arch::page_size;
                mm::Page* leaf = MUST(tables.table.make_leaf_table({at}, [](mm::Page&) {}));
                Cursor(*leaf, {at}).set(Policy::make_leaf({frame}, {.writable = true, .user = true}, 0));
                model[at] = frame;
            } else {
                mm::Page* leaf = tables.table.find_leaf_table({at});
                auto it = model.find(at);
                if (it == model.end()) continue;
                ASSERT_NE(leaf, nullptr);
                auto old = Cursor(*leaf, {at}).exchange(Policy::empty());
                ASSERT_EQ(Policy::address(old, 0).value, it->second);
                model.erase(it);
            }
        }
        std::map<u64, u64> seen;
        tables.table.for_each_leaf_slot(
            {}, arch::user_address_end, [&](mm::Page& leaf, VirtAddr from, VirtAddr to, auto*) {
                for (Cursor cursor(leaf, from); cursor.address() < to; cursor.advance())
                    if (!Policy::is_empty(cursor.entry()))
                        seen[cursor.address().value] = Policy::address(cursor.entry(), 0).value;
            });
        EXPECT_EQ(seen, model);
    }
    EXPECT_EQ(usage().page_tables, before);
}

TEST(PageTable, PruneKeepsTablesThatNeighboursUse) {
    start_machine();
    Tables tables;
    u64 base = u64{8} << 30;
    VirtAddr first{base}, second{base + arch::huge_page_size - arch::page_size};
    ASSERT_TRUE(tables.table.make_leaf_table(first, [](mm::Page&) {}));
    int freed = 0;
    auto count = [&](mm::Page& page) { ++freed, mm::free_page_table(page); };
    // A neighbour in the same table: nothing may go.
    tables.table.prune(first, first + arch::page_size, {}, second, count);
    EXPECT_EQ(freed, 0);
    // Room up to the end of the table, but not of the one above.
    tables.table.prune(first, first + arch::page_size, first, first + arch::huge_page_size, count);
    EXPECT_EQ(freed, 1);
    EXPECT_EQ(tables.table.find_leaf_table(first), nullptr);
    tables.table.prune(first, first + arch::page_size, {}, {u64{1} << 47}, count);
    EXPECT_EQ(freed, 3);
}

} // namespace
} // namespace linnet::test
