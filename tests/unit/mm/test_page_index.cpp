// PageIndex against std::map.
#include "machine.hpp"
#include <gtest/gtest.h>
#include <map>
#include <mm/page_index.hpp>
#include <random>

namespace linnet::test {

namespace {

TEST(PageIndex, AgreesWithAMap) {
    std::vector<mm::Page> pages(64);
    for (u64 spread : {u64{1}, u64{50}, u64{5000}, u64{1} << 30, ~u64{0}}) {
        std::mt19937_64 random(spread);
        mm::PageIndex index;
        std::map<u64, mm::Page*> model;
        auto draw = [&] { return spread == ~u64{0} ? random() : random() % spread; };
        for (int step = 0; step < 20000; ++step) {
            u64 at = draw();
            switch (random() % 4) {
            case 0: {
                mm::Page& page = pages[random() % pages.size()];
                ASSERT_TRUE(index.insert(at, page));
                model[at] = &page;
                break;
            }
            case 1: {
                if (!model.empty() && random() % 2) at = model.begin()->first;
                auto it = model.find(at);
                ASSERT_EQ(index.remove(at), it == model.end() ? nullptr : it->second);
                model.erase(at);
                break;
            }
            case 2: {
                auto it = model.find(at);
                ASSERT_EQ(index.find(at), it == model.end() ? nullptr : it->second);
                break;
            }
            default: {
                auto it = model.lower_bound(at);
                u64 from = at;
                mm::Page* found = index.find_next(from);
                ASSERT_EQ(found, it == model.end() ? nullptr : it->second);
                if (found) ASSERT_EQ(from, it->first);
            }
            }
        }
        for (auto& [at, page] : model) ASSERT_EQ(index.remove(at), page);
        EXPECT_TRUE(index.is_empty());
    }
}

} // namespace
} // namespace linnet::test
