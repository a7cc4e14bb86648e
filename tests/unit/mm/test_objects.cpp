// Mappings of objects: shared memory, page-cache files, truncation.
#include "machine.hpp"
#include <cstring>
#include <gtest/gtest.h>
#include <mm/page_cache.hpp>
#include <vector>

namespace linnet::test {

using arch::Access;
using mm::FaultResult;

namespace {

constexpr u64 page = arch::page_size;
constexpr VirtAddr place{u64{5} << 30};

mm::MapRequest request_for(NullableRefPtr<mm::VmObject> object, u64 pages, u32 type, VirtAddr where = place) {
    mm::MapRequest request;
    request.address = where;
    request.length = pages * page;
    request.prot = abi::PROT_READ | abi::PROT_WRITE;
    request.flags = type | abi::MAP_FIXED;
    request.object = std::move(object);
    return request;
}

/// A file whose page n is filled with n + 1.
struct CountingSource final : mm::PageSource {
    int reads = 0, writes = 0;
    bool fails = false;
    Result<void> read_page(u64 index, mm::Page& target) override {
        ++reads;
        if (fails) return error(Errno::EIO);
        std::memset(mm::page_data(target), static_cast<int>(index + 1), page);
        return {};
    }
    Result<void> write_page(u64, mm::Page&) override { return ++writes, Result<void>{}; }
};

/// One that is told when its reads in the background end.
struct BackgroundSource final : mm::PageSource {
    int reads = 0;
    bool takes = true;
    struct Pending {
        mm::FileObject* object;
        u64 index;
        std::vector<mm::Page*> pages;
    };
    std::vector<Pending> pending;
    static void fill(u64 index, mm::Page& target) {
        std::memset(mm::page_data(target), static_cast<int>(index + 1), page);
    }
    Result<void> read_page(u64 index, mm::Page& target) override {
        ++reads;
        fill(index, target);
        return {};
    }
    Result<void> write_page(u64, mm::Page&) override { return {}; }
    bool reads_in_background() const override { return true; }
    u64 read_ahead_pages() const override { return 32; }
    usize begin_reading(mm::FileObject& object, u64 index, std::span<mm::Page* const> pages) override {
        if (!takes) return 0;
        pending.push_back({&object, index, {pages.begin(), pages.end()}});
        return pages.size();
    }
    void end(mm::FileObject::ReadOutcome outcome) {
        for (Pending& each : pending) {
            if (outcome == mm::FileObject::ReadOutcome::Done)
                for (usize i = 0; i < each.pages.size(); ++i) fill(each.index + i, *each.pages[i]);
            each.object->finish_reading(each.index, each.pages, outcome);
            for (mm::Page* left : each.pages)
                if (left) mm::unref_page(*left);
            each.object->end_reading();
        }
        pending.clear();
    }
    [[nodiscard]] u64 begun() const {
        u64 sum = 0;
        for (const Pending& each : pending) sum += each.pages.size();
        return sum;
    }
};

using Outcome = mm::FileObject::ReadOutcome;

TEST(Objects, ReadingAheadBringsWindows) {
    start_machine();
    Usage before = usage();
    {
        BackgroundSource source;
        auto file = MUST(mm::FileObject::create(source, 200 * page - 100));
        mm::ReadAhead reader;
        EXPECT_TRUE(reader.goes_on_at(0));
        file->read_ahead(reader, 0, 1, mm::FileObject::Found::Nothing);
        EXPECT_EQ(source.begun(), 4u);
        EXPECT_TRUE(reader.is_due(1));
        source.end(Outcome::Done);
        EXPECT_EQ(MUST(file->get_page(0, Access::Read)).data<u8>()[0], 1);
        EXPECT_EQ(source.reads, 0);
        u64 expected_first = 4;
        for (u64 expected : {8, 16, 32, 32}) {
            file->read_ahead(reader, 0, 1, mm::FileObject::Found::Mark);
            EXPECT_EQ(source.begun(), expected);
            EXPECT_EQ(source.pending.front().index, expected_first);
            EXPECT_TRUE(reader.is_due(expected_first));
            expected_first += expected;
            source.end(Outcome::Done);
        }
        // Elsewhere it gets what it asks for.
        file->read_ahead(reader, 150, 3, mm::FileObject::Found::Nothing);
        EXPECT_EQ(source.begun(), 3u);
        source.end(Outcome::Done);
        // The end of the file; behind it there are zeros.
        file->begin_reading(198, 1000);
        EXPECT_EQ(source.begun(), 2u);
        source.end(Outcome::Done);
        const auto last = MUST(file->get_page(199, Access::Read));
        EXPECT_EQ(last.data<u8>()[page - 101], 200);
        EXPECT_EQ(last.data<u8>()[page - 100], 0);
        file->detach();
    }
    EXPECT_EQ(usage(), before);
}

TEST(Objects, WhatCouldNotBeReadAheadIsReadByWhoWantsIt) {
    start_machine();
    Usage before = usage();
    {
        BackgroundSource source;
        auto file = MUST(mm::FileObject::create(source, 100 * page));
        file->begin_reading(10, 8);
        source.end(Outcome::Failed);
        EXPECT_FALSE(file->find_page(12));
        EXPECT_EQ(MUST(file->get_page(12, Access::Read)).data<u8>()[0], 13);
        EXPECT_EQ(source.reads, 1);
        EXPECT_EQ(MUST(file->get_page(12, Access::Read)).data<u8>()[0], 13);
        EXPECT_EQ(source.reads, 1);
        // What is stored past the pages is not lost in one of them.
        const u8 stored[] = {99};
        file->note_stored(14 * page, stored);
        EXPECT_EQ(MUST(file->get_page(15, Access::Read)).data<u8>()[0], 16);
        file->drop_unused(0, 100 * page);
        EXPECT_EQ(file->resident_pages(), 0u);
        source.takes = false;
        file->begin_reading(10, 8);
        EXPECT_EQ(file->resident_pages(), 0u);
        EXPECT_EQ(MUST(file->get_page(10, Access::Read)).data<u8>()[0], 11);
        file->detach();
    }
    EXPECT_EQ(usage(), before);
}

TEST(Objects, PagesThatAreCutOffWhileTheyAreReadGo) {
    start_machine();
    Usage before = usage();
    {
        BackgroundSource source;
        auto file = MUST(mm::FileObject::create(source, 100 * page));
        file->begin_reading(10, 8);
        file->set_size(12 * page + 5);
        source.end(Outcome::Done);
        EXPECT_EQ(file->resident_pages(), 3u);
        const auto last = MUST(file->get_page(12, Access::Read));
        EXPECT_EQ(last.data<u8>()[4], 13);
        EXPECT_EQ(last.data<u8>()[5], 0);
        EXPECT_EQ(source.reads, 0);
        file->detach();
    }
    EXPECT_EQ(usage(), before);
}

TEST(Objects, SharedMemoryIsSharedOverFork) {
    start_machine();
    Usage before = usage();
    {
        auto parent = MUST(mm::AddressSpace::create());
        mm::MapRequest request = request_for({}, 4, abi::MAP_SHARED | abi::MAP_ANONYMOUS);
        ASSERT_TRUE(parent->map(request));
        *access(*parent, place, Access::Write) = 5;
        auto child = MUST(parent->fork());
        EXPECT_EQ(*access(*child, place, Access::Read), 5);
        *access(*child, place + page, Access::Write) = 6;
        EXPECT_EQ(*access(*parent, place + page, Access::Read), 6);
        EXPECT_EQ(MUST(parent->identify(place + 8)), MUST(child->identify(place + 8)));
    }
    EXPECT_EQ(usage(), before);
}

TEST(Objects, PrivateFilePagesAreSharedUntilWritten) {
    start_machine();
    Usage before = usage();
    {
        CountingSource source;
        auto file = MUST(mm::FileObject::create(source, 40 * page - 100));
        NullableRefPtr<mm::VmObject> object(file.get());
        auto first = MUST(mm::AddressSpace::create());
        auto second = MUST(mm::AddressSpace::create());
        ASSERT_TRUE(first->map(request_for(object, 50, abi::MAP_PRIVATE)));
        ASSERT_TRUE(second->map(request_for(object, 50, abi::MAP_PRIVATE)));
        EXPECT_EQ(*access(*first, place + 3 * page, Access::Read), 4);
        EXPECT_EQ(source.reads, 1);
        u8* shared = access(*second, place + 3 * page, Access::Read);
        EXPECT_EQ(shared, access(*first, place + 3 * page, Access::Read));
        EXPECT_EQ(source.reads, 1);
        *access(*first, place + 3 * page, Access::Write) = 77;
        EXPECT_EQ(*access(*second, place + 3 * page, Access::Read), 4);
        *access(*second, place + 10 * page, Access::Write) = 78; // written first, without a read before
        EXPECT_EQ(*access(*first, place + 10 * page, Access::Read), 11);
        FaultResult refusal{};
        EXPECT_EQ(access(*first, place + 40 * page, Access::Read, &refusal), nullptr);
        EXPECT_EQ(refusal, FaultResult::BusAdrErr);
        source.fails = true;
        EXPECT_EQ(access(*first, place + 20 * page, Access::Read, &refusal), nullptr);
        EXPECT_EQ(refusal, FaultResult::BusAdrErr);
        source.fails = false;
        EXPECT_EQ(*access(*first, place + 20 * page, Access::Read), 21);
        auto child = MUST(first->fork());
        EXPECT_EQ(*access(*child, place + 3 * page, Access::Read), 77);
        EXPECT_EQ(*access(*child, place + 4 * page, Access::Read), 5);
    }
    EXPECT_EQ(usage(), before);
}

TEST(Objects, NeighboursAreMappedAround) {
    start_machine();
    CountingSource source;
    auto file = MUST(mm::FileObject::create(source, 64 * page));
    for (u64 i = 0; i < 64; ++i) ASSERT_TRUE(file->get_page(i, Access::Read));
    auto space = MUST(mm::AddressSpace::create());
    mm::MapRequest request = request_for(NullableRefPtr<mm::VmObject>(file.get()), 64, abi::MAP_PRIVATE);
    request.prot = abi::PROT_READ | abi::PROT_EXEC;
    ASSERT_TRUE(space->map(request));
    ASSERT_NE(access(*space, place + 20 * page, Access::Execute), nullptr);
    EXPECT_EQ(space->statistics().file, 16u);
    EXPECT_EQ(mm::memory_statistics().file_mapped, 16u);
}

TEST(Objects, TruncationUnmapsEverywhere) {
    start_machine();
    Usage before = usage();
    {
        auto object = MUST(mm::AnonObject::create(20 * page));
        NullableRefPtr<mm::VmObject> pointer(object.get());
        auto space = MUST(mm::AddressSpace::create());
        VirtAddr second = place + (u64{1} << 30);
        ASSERT_TRUE(space->map(request_for(pointer, 20, abi::MAP_SHARED)));
        ASSERT_TRUE(space->map(request_for(pointer, 20, abi::MAP_PRIVATE, second)));
        for (u64 i = 0; i < 20; ++i) *access(*space, place + i * page + 3000, Access::Write) = static_cast<u8>(i + 1);
        *access(*space, second + 7 * page + 3000, Access::Write) = 99;
        object->set_size(5 * page + 2000);
        EXPECT_EQ(object->resident_pages(), 6u);
        EXPECT_EQ(*access(*space, place + 4 * page + 3000, Access::Read), 5);
        EXPECT_EQ(*access(*space, place + 5 * page + 3000, Access::Read), 0); // the rest of the last page
        FaultResult refusal{};
        EXPECT_EQ(access(*space, place + 6 * page, Access::Read, &refusal), nullptr);
        EXPECT_EQ(refusal, FaultResult::BusAdrErr);
        EXPECT_EQ(access(*space, second + 7 * page, Access::Read, &refusal), nullptr); // private copies go too
        object->set_size(20 * page);
        EXPECT_EQ(*access(*space, place + 7 * page + 3000, Access::Read), 0);
        object->punch_hole(100, 3 * page);
        EXPECT_EQ(*access(*space, place + 3000, Access::Read), 0);
        EXPECT_EQ(*access(*space, place + 2 * page + 3000, Access::Read), 0);
        EXPECT_EQ(*access(*space, place + 3 * page + 3000, Access::Read), 4);
    }
    EXPECT_EQ(usage(), before);
}

TEST(Objects, WritesToSharedFilePagesAreNoticed) {
    start_machine();
    CountingSource source;
    auto file = MUST(mm::FileObject::create(source, 8 * page));
    auto space = MUST(mm::AddressSpace::create());
    ASSERT_TRUE(space->map(request_for(NullableRefPtr<mm::VmObject>(file.get()), 8, abi::MAP_SHARED)));
    EXPECT_EQ(*access(*space, place, Access::Read), 1);
    EXPECT_EQ(mm::memory_statistics().dirty, 0u);
    *access(*space, place, Access::Write) = 9;
    EXPECT_EQ(mm::memory_statistics().dirty, 1u);
    ASSERT_TRUE(space->sync(place, 8 * page, abi::MS_SYNC));
    EXPECT_EQ(source.writes, 1);
    EXPECT_EQ(mm::memory_statistics().dirty, 0u);
    *access(*space, place, Access::Write) = 10; // noticed again
    EXPECT_EQ(mm::memory_statistics().dirty, 1u);
    ASSERT_TRUE(space->sync(place, 8 * page, abi::MS_SYNC));
    EXPECT_EQ(source.writes, 2);
}

TEST(Objects, PagesMarkedAfterATruncationAreCountedNoMore) {
    start_machine();
    CountingSource source;
    auto file = MUST(mm::FileObject::create(source, 8 * page));
    {
        auto written = MUST(file->get_page(2, Access::Write));
        EXPECT_EQ(mm::memory_statistics().dirty, 1u);
        file->set_size(page);
        EXPECT_EQ(mm::memory_statistics().dirty, 0u);
        mm::note_dirty(*written); // by a writer that the truncation overtook
    }
    EXPECT_EQ(mm::memory_statistics().dirty, 0u);
}

/// Takes runs, and notes how long they were.
struct RunSource final : mm::PageSource {
    std::vector<usize> reads, writes;
    u64 bad = ~u64{0}; // the index that can't be read
    Result<void> read_page(u64 index, mm::Page& target) override {
        mm::Page* const only = &target;
        return read_pages(index, {&only, 1});
    }
    Result<void> write_page(u64, mm::Page&) override { return error(Errno::EIO); }
    Result<void> read_pages(u64 index, std::span<mm::Page* const> pages) override {
        reads.push_back(pages.size());
        for (usize i = 0; i < pages.size(); ++i) {
            if (index + i == bad) return error(Errno::EIO);
            std::memset(mm::page_data(*pages[i]), static_cast<int>(index + i + 1), page);
        }
        return {};
    }
    Result<void> write_pages(u64, std::span<mm::Page* const> pages) override {
        writes.push_back(pages.size());
        return {};
    }
};

TEST(Objects, SequentialReadersFindPagesThere) {
    start_machine();
    Usage before = usage();
    {
        RunSource source;
        auto file = MUST(mm::FileObject::create(source, 101 * page - 1));
        for (u64 index = 0; index < 101; ++index)
            EXPECT_EQ(*MUST(file->get_page(index, Access::Read)).data<u8>(), index + 1);
        EXPECT_EQ(source.reads, (std::vector<usize>{4, 8, 16, 32, 32, 9}));
    }
    {
        RunSource source;
        auto file = MUST(mm::FileObject::create(source, 100 * page));
        for (u64 index : {50, 20, 70}) EXPECT_TRUE(file->get_page(index, Access::Read));
        EXPECT_EQ(source.reads, (std::vector<usize>{1, 1, 1})); // no order, nothing read ahead
    }
    EXPECT_EQ(usage(), before);
}

TEST(Objects, NothingIsReadAheadBehindTheEnd) {
    start_machine();
    RunSource source;
    auto file = MUST(mm::FileObject::create(source, page));
    EXPECT_TRUE(file->get_page(0, Access::Read));
    EXPECT_TRUE(file->get_page(1, Access::Read));
    EXPECT_TRUE(file->get_page(2, Access::Read));
    EXPECT_EQ(source.reads, (std::vector<usize>{1, 1, 1}));
}

TEST(Objects, WhatCannotBeReadAheadHurtsNobodyElse) {
    start_machine();
    Usage before = usage();
    {
        RunSource source;
        source.bad = 2;
        auto file = MUST(mm::FileObject::create(source, 8 * page));
        EXPECT_EQ(*MUST(file->get_page(0, Access::Read)).data<u8>(), 1);
        EXPECT_EQ(*MUST(file->get_page(1, Access::Read)).data<u8>(), 2);
        EXPECT_EQ(file->get_page(2, Access::Read).error(), Errno::EIO);
        EXPECT_EQ(*MUST(file->get_page(3, Access::Read)).data<u8>(), 4);
        source.bad = ~u64{0};
        EXPECT_EQ(*MUST(file->get_page(2, Access::Read)).data<u8>(), 3);
    }
    EXPECT_EQ(usage(), before);
}

TEST(Objects, DirtyNeighboursAreStoredTogether) {
    start_machine();
    RunSource source;
    constexpr u64 most = mm::FileObject::large_batch, end = 48 + most;
    auto file = MUST(mm::FileObject::create(source, end * page));
    for (u64 index : {3, 4, 5, 7}) EXPECT_TRUE(file->get_page(index, Access::Write));
    for (u64 index = 40; index < end; ++index) EXPECT_TRUE(file->get_page(index, Access::Write));
    EXPECT_TRUE(file->write_back(0, end * page));
    EXPECT_EQ(source.writes, (std::vector<usize>{3, 1, most, 8}));
    source.writes.clear();
    EXPECT_TRUE(file->write_back(0, end * page));
    EXPECT_TRUE(source.writes.empty());
}

TEST(Objects, MovedMappingsShowTheSamePages) {
    start_machine();
    auto object = MUST(mm::AnonObject::create(16 * page));
    auto space = MUST(mm::AddressSpace::create());
    ASSERT_TRUE(space->map(request_for(NullableRefPtr<mm::VmObject>(object.get()), 16, abi::MAP_SHARED)));
    for (u64 i = 0; i < 16; ++i) *access(*space, place + i * page, Access::Write) = static_cast<u8>(i);
    VirtAddr moved = MUST(space->remap(place + 4 * page, 4 * page, 8 * page, abi::MREMAP_MAYMOVE, {}));
    EXPECT_EQ(*access(*space, moved + page, Access::Read), 5);
    EXPECT_EQ(*access(*space, moved + 6 * page, Access::Read), 10);
    EXPECT_EQ(access(*space, place + 4 * page, Access::Read), nullptr);
    EXPECT_EQ(*access(*space, place + 8 * page, Access::Read), 8);
    // A second view.
    VirtAddr again = MUST(space->remap(place, 0, 2 * page, abi::MREMAP_MAYMOVE, {}));
    EXPECT_EQ(access(*space, again + page, Access::Read), access(*space, place + page, Access::Read));
}

} // namespace
} // namespace linnet::test
