// Reclaim: generations, eviction of file pages, shrinkers, watermarks; and all of it from several CPUs at once.
#include "generations.hpp"
#include "machine.hpp"
#include "page_allocator.hpp"
#include "reclaim.hpp"
#include "threads.hpp"

#include <cstring>
#include <gtest/gtest.h>
#include <mm/knobs.hpp>
#include <mm/page_cache.hpp>
#include <mm/shrinker.hpp>
#include <random>

namespace linnet::test {

using arch::Access;

namespace {

constexpr u64 page = arch::page_size;
constexpr VirtAddr place{u64{9} << 30};
constexpr u64 no_limit = ~u64{0};

/// A file on a disk that is a row of words: page n holds disk[n] in its first word.
struct ModelDisk final : mm::PageSource {
    static constexpr usize size = 256;
    std::atomic<u64> disk[size]{};
    std::atomic<int> reads{0}, writes{0};
    std::atomic<bool> is_full{false};
    ModelDisk() {
        for (usize i = 0; i < size; ++i) disk[i] = i + 1;
    }
    Result<void> read_page(u64 index, mm::Page& target) override {
        ++reads;
        std::memset(mm::page_data(target), 0, page);
        word(target).store(disk[index].load(), std::memory_order_relaxed);
        return {};
    }
    Result<void> write_page(u64 index, mm::Page& source) override {
        if (is_full) return error(Errno::EIO);
        ++writes;
        disk[index] = word(source).load(std::memory_order_relaxed);
        return {};
    }
    static std::atomic<u64>& word(mm::Page& of) { return *mm::page_data<std::atomic<u64>>(of); }
};

u64 read_word(mm::FileObject& file, u64 index) {
    mm::PageRef found = MUST(file.get_page(index, Access::Read));
    return ModelDisk::word(*found).load(std::memory_order_relaxed);
}
void write_word(mm::FileObject& file, u64 index, u64 value) {
    mm::PageRef found = MUST(file.get_page(index, Access::Write));
    ModelDisk::word(*found).store(value, std::memory_order_relaxed);
    mm::note_dirty(*found); // it may have been stored meanwhile
}

/// Begins a new generation: all pages there are grow older. Reclaim does so when the oldest is empty.
u64 evict(u64 wanted, mm::Reclaimer who = mm::Reclaimer::Direct) { return mm::reclaim(wanted, who); }

mm::MapRequest request_for(mm::FileObject& file, u64 pages, u32 type, VirtAddr where = place) {
    mm::MapRequest request;
    request.address = where;
    request.length = pages * page;
    request.prot = abi::PROT_READ | abi::PROT_WRITE;
    request.flags = type | abi::MAP_FIXED;
    request.object = NullableRefPtr<mm::VmObject>(&file);
    return request;
}

TEST(Reclaim, CleanPagesComeBackFromTheSource) {
    start_machine();
    ModelDisk disk;
    auto file = MUST(mm::FileObject::create(disk, ModelDisk::size * page));
    for (u64 i = 0; i < ModelDisk::size; ++i) EXPECT_EQ(read_word(*file, i), i + 1);
    EXPECT_EQ(mm::generations::size(), ModelDisk::size);
    EXPECT_GE(evict(100), 100u);
    EXPECT_LE(file->resident_pages(), ModelDisk::size - 100);
    for (u64 i = 0; i < ModelDisk::size; ++i) EXPECT_EQ(read_word(*file, i), i + 1);
    EXPECT_GE(disk.reads, static_cast<int>(ModelDisk::size) + 100);
}

TEST(Reclaim, WhatWasUsedStays) {
    start_machine();
    ModelDisk disk;
    auto file = MUST(mm::FileObject::create(disk, ModelDisk::size * page));
    for (u64 i = 0; i < ModelDisk::size; ++i) (void)read_word(*file, i);
    // One round makes the pages old; what is used after it is young again.
    EXPECT_GT(evict(1), 0u);
    for (u64 i = 128; i < ModelDisk::size; ++i) (void)read_word(*file, i);
    const int before = disk.reads;
    EXPECT_GT(evict(64), 0u);
    for (u64 i = 128; i < ModelDisk::size; ++i) EXPECT_EQ(read_word(*file, i), i + 1);
    EXPECT_EQ(disk.reads, before);
}

TEST(Reclaim, DirtyPagesAreStoredByTheReclaimThreadOnly) {
    start_machine();
    ModelDisk disk;
    auto file = MUST(mm::FileObject::create(disk, ModelDisk::size * page));
    for (u64 i = 0; i < ModelDisk::size; ++i) write_word(*file, i, 1000 + i);
    (void)evict(no_limit);
    EXPECT_EQ(disk.writes, 0);
    EXPECT_EQ(file->resident_pages(), ModelDisk::size);
    disk.is_full = true;
    (void)evict(no_limit, mm::Reclaimer::Background);
    EXPECT_EQ(file->resident_pages(), ModelDisk::size);
    disk.is_full = false;
    EXPECT_GT(evict(no_limit, mm::Reclaimer::Background), 0u);
    EXPECT_GT(disk.writes, 0);
    EXPECT_LT(file->resident_pages(), ModelDisk::size);
    for (u64 i = 0; i < ModelDisk::size; ++i) EXPECT_EQ(read_word(*file, i), 1000 + i);
}

TEST(Reclaim, OldPagesThatCannotGoKeepNoYoungerOnes) {
    start_machine();
    ModelDisk disk;
    auto file = MUST(mm::FileObject::create(disk, ModelDisk::size * page));
    const mm::PageRef held = MUST(file->get_page(0, Access::Read));
    write_word(*file, 1, 1);
    for (u64 i = 2; i < 40; ++i) (void)read_word(*file, i);
    EXPECT_GE(evict(no_limit), 38u); // all that are as old, but for these two
    EXPECT_EQ(file->resident_pages(), 2u);
    for (u64 i = 2; i < ModelDisk::size; ++i) (void)read_word(*file, i);
    EXPECT_GE(evict(100), 100u);
    EXPECT_GE(evict(100), 100u);
    EXPECT_TRUE(file->find_page(0) && file->find_page(1));
    EXPECT_EQ(disk.writes, 0);
}

TEST(Reclaim, MappedPagesGoUnlessUsedOrLocked) {
    start_machine();
    Usage before = usage();
    {
        ModelDisk disk;
        auto file = MUST(mm::FileObject::create(disk, 64 * page));
        auto space = MUST(mm::AddressSpace::create());
        ASSERT_TRUE(space->map(request_for(*file, 64, abi::MAP_PRIVATE)));
        for (u64 i = 0; i < 32; ++i) ASSERT_NE(access(*space, place + i * page, Access::Read), nullptr);
        ASSERT_NE(access(*space, place, Access::Write), nullptr); // a private copy, which nobody can give again
        *access(*space, place, Access::Write) = 99;
        // Fresh entries carry the accessed mark: the first round takes it, a later one the page.
        for (int round = 0; round < 8; ++round) (void)evict(no_limit);
        EXPECT_EQ(file->resident_pages(), 0u);
        EXPECT_EQ(*access(*space, place, Access::Read), 99);
        EXPECT_EQ(*access(*space, place + 5 * page, Access::Read), 6);

        const VirtAddr locked = place + 64 * page;
        ASSERT_TRUE(space->map(request_for(*file, 32, abi::MAP_SHARED, locked)));
        ASSERT_TRUE(space->lock_range(locked, 32 * page, mm::AddressSpace::LockMode::Lock));
        for (int round = 0; round < 8; ++round) (void)evict(no_limit);
        EXPECT_EQ(file->resident_pages(), 32u);
        EXPECT_EQ(space->statistics().file, 33u); // what is locked in one mapping stays in the other too
    }
    EXPECT_EQ(usage(), before);
}

TEST(Reclaim, DropCachesTakesYoungPagesButNoMappedOnes) {
    start_machine();
    ModelDisk disk;
    auto file = MUST(mm::FileObject::create(disk, ModelDisk::size * page));
    auto space = MUST(mm::AddressSpace::create());
    ASSERT_TRUE(space->map(request_for(*file, 1, abi::MAP_SHARED)));
    ASSERT_NE(access(*space, place, Access::Read), nullptr);
    for (u64 i = 0; i < ModelDisk::size; ++i) (void)read_word(*file, i);
    write_word(*file, 7, 7);
    mm::drop_page_cache();
    EXPECT_EQ(file->resident_pages(), 2u); // the mapped one and the dirty one
}

TEST(Reclaim, GenerationsCountTheirPages) {
    start_machine();
    ModelDisk disk;
    const u64 before = mm::generations::size();
    {
        auto file = MUST(mm::FileObject::create(disk, ModelDisk::size * page));
        for (u64 i = 0; i < 50; ++i) (void)read_word(*file, i);
        const u64 read = file->resident_pages(); // some ahead
        EXPECT_GE(read, 50u);
        EXPECT_EQ(mm::generations::size(), before + read);
        EXPECT_GE(mm::generations::active_size(), read);
        for (int round = 0; round < 3; ++round) (void)evict(1);
        for (u64 i = 0; i < 50; ++i) (void)read_word(*file, i);
        EXPECT_EQ(mm::generations::size(), before + file->resident_pages());
        file->set_size(10 * page);
        EXPECT_EQ(mm::generations::size(), before + 10);
    }
    EXPECT_EQ(mm::generations::size(), before);
}

TEST(Reclaim, WatermarksFollowTheKnobs) {
    start_machine();
    const u64 before = mm::min_free_kbytes.stored;
    const mm::Watermarks marks = mm::watermarks();
    // 64 MiB less what is reserved: 4 times the root of its KiB, at least 128.
    EXPECT_GE(before, 900u);
    EXPECT_LE(before, 1024u);
    EXPECT_EQ(marks.min, before / (page / 1024));
    EXPECT_EQ(marks.low, marks.min + marks.min / 4);
    EXPECT_EQ(marks.high, marks.min + 2 * (marks.min / 4));
    mm::watermark_scale_factor.stored = 1000;
    mm::apply_min_free();
    EXPECT_EQ(mm::watermarks().low, marks.min + mm::managed_frames() / 10);
    mm::watermark_scale_factor.stored = 10;
    mm::min_free_kbytes.stored = u64{1} << 40;
    mm::apply_min_free();
    EXPECT_EQ(mm::watermarks().min, mm::managed_frames() / 4);
    mm::min_free_kbytes.stored = before;
    mm::apply_min_free();
}

/// A cache that says what it was asked.
struct CountingShrinker final : mm::Shrinker {
    u64 objects = 0, asked = 0;
    u64 count() override { return objects; }
    u64 scan(u64 wanted) override {
        asked += wanted == everything() ? objects : wanted;
        const u64 gone = std::min(wanted, objects);
        objects -= gone;
        return gone;
    }
};

TEST(Reclaim, ShrinkersArePressedHarderFromRoundToRound) {
    start_machine();
    static CountingShrinker shrinker;
    mm::add_shrinker(shrinker);
    shrinker.objects = 1 << 16;
    EXPECT_GE(evict(10), 10u);
    EXPECT_GE(shrinker.objects, (1u << 16) - 64); // a 4096th, once
    EXPECT_GE(evict(no_limit), 1u << 15);
    EXPECT_EQ(shrinker.objects, 0u);
}

TEST(Reclaim, AllocationReclaimsBeforeItFails) {
    start_machine();
    ModelDisk disk;
    auto file = MUST(mm::FileObject::create(disk, ModelDisk::size * page));
    for (u64 i = 0; i < ModelDisk::size; ++i) (void)read_word(*file, i);
    std::vector<mm::PageRef> taken;
    for (;;) {
        auto got = mm::allocate_page(mm::PageZeroing::Uninitialised, mm::PageKind::Anonymous);
        if (!got) break;
        taken.push_back(std::move(*got));
    }
    EXPECT_EQ(file->resident_pages(), 0u);
    // The reserve is left, and the kernel may have it.
    EXPECT_GE(mm::listed_free_frames() + 64, mm::watermarks().min);
    EXPECT_TRUE(mm::allocate_page(mm::PageZeroing::Uninitialised, mm::PageKind::Kernel));
    taken.clear();
    EXPECT_EQ(read_word(*file, 3), 4u);
}

/// Readers, writers, mappers and truncation beside reclaim of both kinds: nobody sees what was never written.
TEST(ConcurrentReclaim, NothingIsLostOrInvented) {
    start_machine();
    for (u32 i = 0; i < thread_count; ++i) mm::initialise_cpu(core::cpu(core::cpu_count() + i));
    const u64 pages_before = mm::generations::size();
    Usage before = usage();
    {
        ModelDisk disk;
        auto file = MUST(mm::FileObject::create(disk, ModelDisk::size * page));
        std::atomic<u64> newest[ModelDisk::size]; // written by one thread each
        for (usize i = 0; i < ModelDisk::size; ++i) newest[i] = i + 1;
        on_threads([&](unsigned self) {
            std::mt19937 random(self);
            auto space = MUST(mm::AddressSpace::create());
            ASSERT_TRUE(space->map(request_for(*file, ModelDisk::size, abi::MAP_SHARED)));
            for (int step = 0; step < steps(4000, 25); ++step) {
                const u64 index = random() % ModelDisk::size;
                const u64 mine = index - index % thread_count + self;
                switch (random() % 8) {
                case 0:
                    (void)evict(16, random() % 2 ? mm::Reclaimer::Background : mm::Reclaimer::Direct);
                    break;
                case 1:
                    newest[mine] = newest[mine] + ModelDisk::size;
                    write_word(*file, mine, newest[mine]);
                    break;
                case 2:
                    EXPECT_EQ(read_word(*file, mine), newest[mine].load());
                    break;
                case 3:
                    mm::drop_page_cache();
                    break;
                default:
                    EXPECT_EQ((read_word(*file, index) - 1) % ModelDisk::size, index);
                }
            }
        });
        for (u64 i = 0; i < ModelDisk::size; ++i) EXPECT_EQ(read_word(*file, i), newest[i].load());
    }
    EXPECT_EQ(mm::generations::size(), pages_before);
    EXPECT_EQ(usage(), before);
}

} // namespace

} // namespace linnet::test
