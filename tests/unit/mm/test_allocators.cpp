// The page allocator and the heap: what they hand out is disjoint, keeps its contents, and comes back whole.
#include "machine.hpp"
#include "slab.hpp"
#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <mm/heap.hpp>
#include <random>
#include <thread>
#include <vector>

namespace linnet::test {

namespace {

TEST(PageAllocator, CountsWhatTheMachineHas) {
    start_machine();
    mm::MemoryStatistics now = mm::memory_statistics();
    EXPECT_GT(now.total, (u64{60} << 20) / arch::page_size);
    EXPECT_LE(now.total, (u64{64} << 20) / arch::page_size);
    EXPECT_LE(now.free, now.total);
    // Memory that isn't there has no page; reserved memory is nobody's.
    EXPECT_EQ(mm::page_of({u64{1} << 40}), nullptr);
    EXPECT_EQ(mm::page_of({0x10'0000})->kind, mm::PageKind::Reserved);
    EXPECT_EQ(mm::page_of({0x10'0000 + 0x20000})->kind, mm::PageKind::Reserved);
}

TEST(PageAllocator, RandomBlocksAreAlignedDisjointAndComeBack) {
    start_machine();
    u64 free_before = mm::memory_statistics().free;
    struct Block {
        mm::Page* page;
        unsigned order;
        u8 mark;
    };
    std::mt19937 random(1);
    std::vector<Block> blocks;
    auto check_and_free = [&](usize i) {
        Block block = blocks[i];
        auto* bytes = mm::page_data<u8>(*block.page);
        usize size = arch::page_size << block.order;
        ASSERT_EQ(bytes[0], block.mark);
        ASSERT_EQ(bytes[size - 1], block.mark);
        mm::free_pages(*block.page, block.order);
        blocks[i] = blocks.back();
        blocks.pop_back();
    };
    for (int step = 0; step < 20000; ++step) {
        if (blocks.size() < 200 && random() % 2) {
            unsigned order = random() % 6 == 0 ? random() % (mm::max_order + 1) : random() % 3;
            auto block = mm::allocate_pages(order);
            if (!block) continue;
            auto* bytes = mm::page_data<u8>(**block);
            usize size = arch::page_size << order;
            ASSERT_EQ(mm::page_address(**block).value % size, 0u);
            ASSERT_EQ(bytes[0] | bytes[size - 1] | bytes[size / 2], 0);
            u8 mark = static_cast<u8>(random() | 1);
            std::memset(bytes, mark, size);
            blocks.push_back({*block, order, mark});
        } else if (!blocks.empty()) {
            check_and_free(random() % blocks.size());
        }
    }
    while (!blocks.empty()) check_and_free(0);
    EXPECT_EQ(mm::memory_statistics().free, free_before);
    // Freed single frames join to the largest blocks again.
    auto largest = mm::allocate_pages(mm::max_order);
    ASSERT_TRUE(largest);
    mm::free_pages(**largest, mm::max_order);
}

TEST(PageAllocator, ExhaustionIsAnErrorAndLeavesAReserve) {
    start_machine();
    u64 free_before = mm::memory_statistics().free;
    std::vector<mm::PageRef> pages;
    for (;;) {
        auto page = mm::allocate_page(mm::PageZeroing::Uninitialised, mm::PageKind::Anonymous);
        if (!page) break;
        pages.push_back(std::move(*page));
    }
    EXPECT_GE(pages.size() + 2000, free_before);
    // The kernel still gets some.
    EXPECT_TRUE(mm::allocate_page());
    pages.clear();
    EXPECT_EQ(mm::memory_statistics().free, free_before);
}

TEST(Heap, RandomSizesKeepTheirContents) {
    start_machine();
    struct Object {
        u8* bytes;
        usize size;
        u8 mark;
    };
    std::mt19937 random(2);
    std::vector<Object> objects;
    for (int step = 0; step < 50000; ++step) {
        if (objects.size() < 500 && random() % 2) {
            usize size = random() % 20 == 0 ? 1 + random() % 40000 : 1 + random() % 1200;
            auto* bytes = static_cast<u8*>(mm::allocate_bytes(size));
            ASSERT_NE(bytes, nullptr);
            ASSERT_EQ(reinterpret_cast<u64>(bytes) % 16, 0u);
            ASSERT_GE(mm::usable_size(bytes), size);
            u8 mark = static_cast<u8>(random());
            std::memset(bytes, mark, size);
            objects.push_back({bytes, size, mark});
        } else if (!objects.empty()) {
            usize i = random() % objects.size();
            Object object = objects[i];
            ASSERT_TRUE(std::all_of(object.bytes, object.bytes + object.size, [&](u8 b) { return b == object.mark; }));
            mm::free_bytes(object.bytes);
            objects[i] = objects.back();
            objects.pop_back();
        }
    }
    for (Object& object : objects) mm::free_bytes(object.bytes);
    mm::drain_magazines();
    for (usize i = 0; i < mm::slab_class_count(); ++i) {
        mm::SlabClassStatistics line = mm::slab_class_statistics(i);
        EXPECT_LE(line.slabs, 1 + line.active_objects) << line.object_size;
    }
}

TEST(Heap, AlignmentIsKept) {
    start_machine();
    for (usize alignment : {16, 32, 64, 128, 256, 512, 1024, 2048, 4096})
        for (usize size : {1, 63, 64, 65, 500, 5000}) {
            void* object = mm::allocate_bytes_aligned(size, alignment);
            ASSERT_NE(object, nullptr);
            EXPECT_EQ(reinterpret_cast<u64>(object) % alignment, 0u) << size;
            mm::free_bytes(object);
        }
}

TEST(Heap, ManyThreads) {
    start_machine();
    auto work = [](unsigned seed) {
        std::mt19937 random(seed);
        std::vector<u64*> objects;
        for (int step = 0; step < 5000; ++step) {
            if (objects.size() < 100 && random() % 2) {
                usize size = 16 + random() % 500;
                auto* object = static_cast<u64*>(mm::allocate_bytes(size));
                *object = reinterpret_cast<u64>(object) ^ seed;
                objects.push_back(object);
            } else if (!objects.empty()) {
                u64* object = objects.back();
                ASSERT_EQ(*object, reinterpret_cast<u64>(object) ^ seed);
                mm::free_bytes(object);
                objects.pop_back();
            }
        }
        for (u64* object : objects) mm::free_bytes(object);
    };
    std::vector<std::thread> threads;
    for (u32 i = 0; i < 4; ++i) mm::initialise_cpu(core::cpu(core::cpu_count() + i));
    for (unsigned i = 1; i <= 4; ++i) threads.emplace_back(work, i);
    for (auto& thread : threads) thread.join();
}

} // namespace
} // namespace linnet::test
