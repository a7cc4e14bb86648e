// Memory management from several CPUs at once: frames, heap, page cache, faults, truncation and fork beside one
// another. ThreadSanitizer watches in its own build; here too nothing may be handed out twice, lost or left behind.
#include "machine.hpp"
#include "threads.hpp"

#include <cstring>
#include <gtest/gtest.h>
#include <mm/heap.hpp>
#include <mm/page_cache.hpp>
#include <random>

namespace linnet::test {

using arch::Access;

namespace {

constexpr u64 page = arch::page_size;
constexpr VirtAddr place{u64{7} << 30};

/// on_threads() with the per-CPU caches that memory management wants.
template <typename F>
void on_cpus(F work) {
    start_machine();
    for (u32 i = 0; i < thread_count; ++i) mm::initialise_cpu(core::cpu(core::cpu_count() + i));
    on_threads(work);
}

mm::MapRequest request_for(NullableRefPtr<mm::VmObject> object, u64 pages, u32 type, VirtAddr where) {
    mm::MapRequest request;
    request.address = where;
    request.length = pages * page;
    request.prot = abi::PROT_READ | abi::PROT_WRITE;
    request.flags = type | abi::MAP_FIXED;
    request.object = std::move(object);
    return request;
}

TEST(ConcurrentMemory, Frames) {
    on_cpus([](unsigned self) {
        std::mt19937 random(self);
        std::vector<std::pair<mm::Page*, unsigned>> blocks;
        auto give_back = [&] {
            auto [block, order] = blocks.back();
            blocks.pop_back();
            ASSERT_EQ(*mm::page_data<u64>(*block), reinterpret_cast<u64>(block) ^ self);
            if (order)
                mm::free_pages(*block, order);
            else
                mm::unref_page(*block);
        };
        for (int step = 0; step < steps(20000, 25); ++step) {
            if (blocks.size() >= 200 || (!blocks.empty() && random() % 2)) {
                give_back();
                continue;
            }
            unsigned order = random() % 8 ? 0 : 1 + random() % 4;
            mm::Page* block = nullptr;
            if (order) {
                auto got = mm::allocate_pages(order, mm::PageZeroing::Uninitialised);
                if (!got) continue;
                block = *got;
            } else {
                auto got = mm::allocate_page(mm::PageZeroing::Uninitialised);
                if (!got) continue;
                block = got->release();
            }
            *mm::page_data<u64>(*block) = reinterpret_cast<u64>(block) ^ self;
            blocks.emplace_back(block, order);
        }
        while (!blocks.empty()) give_back();
    });
}

/// Objects are freed on another CPU than the one that made them.
TEST(ConcurrentMemory, HeapAcrossCpus) {
    constexpr usize slots = 256;
    static std::atomic<u64*> shared[slots];
    on_cpus([](unsigned self) {
        std::mt19937 random(self);
        for (int step = 0; step < steps(10000, 25); ++step) {
            usize size = 16u << (random() % 8);
            auto* fresh = static_cast<u64*>(mm::allocate_bytes(size));
            ASSERT_NE(fresh, nullptr);
            fresh[0] = size;
            fresh[size / 8 - 1] ^= fresh[size / 8 - 1]; // both ends are ours
            fresh[0] = size;
            if (u64* old = shared[random() % slots].exchange(fresh)) {
                ASSERT_GE(old[0], 16u);
                mm::free_bytes(old);
            }
        }
    });
    for (auto& slot : shared)
        if (u64* left = slot.exchange(nullptr)) mm::free_bytes(left);
}

/// A file whose page n begins with n; counts how often each is read.
struct SlowSource final : mm::PageSource {
    std::atomic<int> reads[64]{};
    std::atomic<int> writes{0};
    Result<void> read_page(u64 index, mm::Page& target) override {
        ++reads[index];
        std::this_thread::yield();
        std::memset(mm::page_data(target), 0, page);
        mm::page_data<std::atomic<u64>>(target)->store(index + 1, std::memory_order_relaxed);
        return {};
    }
    Result<void> write_page(u64, mm::Page&) override { return ++writes, Result<void>{}; }
};

TEST(ConcurrentMemory, PageCacheReadsEachPageOnce) {
    start_machine();
    Usage before = usage();
    {
        SlowSource source;
        auto file = MUST(mm::FileObject::create(source, 64 * page));
        on_cpus([&](unsigned self) {
            std::mt19937 random(self / 2); // two at a time want the same
            for (int step = 0; step < 10000; ++step) {
                u64 index = random() % 64;
                auto got = MUST(file->get_page(index, random() % 4 ? Access::Read : Access::Write));
                ASSERT_EQ(got.data<std::atomic<u64>>()->load(std::memory_order_relaxed), index + 1);
                if (self == 0 && step % 100 == 0) ASSERT_TRUE(file->write_back(0, 64 * page));
            }
        });
        for (auto& count : source.reads) EXPECT_EQ(count, 1);
        EXPECT_EQ(file->resident_pages(), 64u);
    }
    EXPECT_EQ(usage(), before);
}

TEST(ConcurrentMemory, TruncationBesideReaders) {
    start_machine();
    Usage before = usage();
    {
        SlowSource source;
        auto file = MUST(mm::FileObject::create(source, 64 * page));
        on_cpus([&](unsigned self) {
            std::mt19937 random(self);
            for (int step = 0; step < 6000; ++step) {
                u64 index = random() % 64;
                if (self == 0) {
                    file->set_size((random() % 64) * page);
                    file->set_size(64 * page);
                } else if (self == 1) {
                    file->punch_hole(index * page, (index + 3) * page);
                } else if (auto got = file->get_page(index, Access::Read)) {
                    ASSERT_EQ((*got).data<std::atomic<u64>>()->load(std::memory_order_relaxed), index + 1);
                }
            }
        });
    }
    EXPECT_EQ(usage(), before);
}

/// Looks a page up, in a space that others change meanwhile: only that it ends well counts.
void touch(mm::AddressSpace& space, VirtAddr where, Access how) { (void)space.handle_fault(where, how); }

TEST(ConcurrentMemory, FaultsOfOneSpace) {
    start_machine();
    Usage before = usage();
    {
        auto space = MUST(mm::AddressSpace::create());
        ASSERT_TRUE(space->map(request_for({}, 600, abi::MAP_PRIVATE | abi::MAP_ANONYMOUS, place)));
        on_cpus([&](unsigned self) {
            std::mt19937 random(self / 2);
            for (int step = 0; step < 10000; ++step)
                touch(*space, place + (random() % 600) * page, random() % 2 ? Access::Read : Access::Write);
            for (u64 i = self; i < 600; i += thread_count) touch(*space, place + i * page, Access::Write);
        });
        EXPECT_EQ(usage().anonymous - before.anonymous, 600u); // none was made twice and kept
    }
    EXPECT_EQ(usage(), before);
}

TEST(ConcurrentMemory, ForksUnmapsAndFaults) {
    start_machine();
    Usage before = usage();
    {
        auto space = MUST(mm::AddressSpace::create());
        auto object = MUST(mm::AnonObject::create(64 * page));
        const VirtAddr shared = place + (u64{1} << 30);
        auto map_all = [&] {
            (void)space->map(request_for({}, 200, abi::MAP_PRIVATE | abi::MAP_ANONYMOUS, place));
            (void)space->map(request_for(NullableRefPtr<mm::VmObject>(object.get()), 64, abi::MAP_SHARED, shared));
        };
        map_all();
        on_cpus([&](unsigned self) {
            std::mt19937 random(self);
            for (int step = 0; step < 1500; ++step) {
                u64 index = random() % 200;
                if (self == 0) {
                    auto child = space->fork();
                    if (child)
                        for (int i = 0; i < 20; ++i) touch(**child, place + (random() % 200) * page, Access::Write);
                } else if (self == 1) {
                    (void)space->unmap(place + index * page, 5 * page);
                    if (step % 10 == 0) map_all();
                    object->set_size((random() % 64) * page);
                    object->set_size(64 * page);
                } else {
                    for (int i = 0; i < 10; ++i) {
                        touch(*space, place + (random() % 200) * page, Access::Write);
                        touch(*space, shared + (random() % 64) * page, Access::Write);
                    }
                }
            }
        });
    }
    EXPECT_EQ(usage(), before);
}

} // namespace
} // namespace linnet::test
