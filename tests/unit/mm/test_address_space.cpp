// AddressSpace against a model that keeps the rights and one byte of contents for each page: random calls, faults,
// forks.
#include "machine.hpp"
#include <gtest/gtest.h>
#include <map>
#include <optional>
#include <random>

namespace linnet::test {

using arch::Access;
using mm::FaultResult;

namespace {

/// What smaps would add up to.
u64 anonymous_bytes(mm::AddressSpace& space) {
    mm::MappingUsage total;
    VirtAddr at{};
    do at = space.visit_usage(at, [&](const mm::MappingInfo&, const mm::MappingUsage& part) { total.add(part); });
    while (at.value != 0);
    return total.anonymous;
}

constexpr u64 page = arch::page_size;
constexpr u64 window_pages = 1160; // two last-level tables whole, and parts of their neighbours
constexpr VirtAddr window{(u64{3} << 30) - 60 * page};

struct ModelPage {
    u32 prot;
    u8 contents;
};
using Model = std::map<u64, ModelPage>; // by page number in the window

/// An address space and what it should hold.
struct Pair {
    RefPtr<mm::AddressSpace> space;
    Model model;
};

class Driver {
public:
    explicit Driver(u32 seed) : random_(seed) {
        auto space = MUST(mm::AddressSpace::create());
        pairs_.push_back({space, {}});
    }

    void step() {
        Pair& pair = pairs_[random_() % pairs_.size()];
        switch (random_() % 32) {
        case 0:
        case 1:
            map(pair);
            break;
        case 2:
            unmap(pair);
            break;
        case 3:
            protect(pair);
            break;
        case 4:
            remap(pair);
            break;
        case 5:
            discard(pair);
            break;
        case 6:
            fork(pair);
            break;
        case 7:
            drop();
            break;
        case 8:
            foreign(pair);
            break;
        case 9:
            fork_whole(pair);
            break;
        case 10:
            collapse(pair);
            break;
        default:
            touch(pair);
            break;
        }
    }

    void check_all() {
        for (Pair& pair : pairs_) {
            for (u64 i = 0; i < window_pages; ++i) check_page(pair, i);
            check_mappings(pair);
        }
    }

private:
    u64 draw_first() { return random_() % 4 == 0 ? random_() % 61 : random_() % window_pages; }
    /// Mostly a few pages, sometimes as much as the window has, so that mappings fill whole tables.
    u64 draw_count(u64 first) {
        u64 most = window_pages - first;
        return random_() % 8 == 0 ? most - random_() % std::min<u64>(60, most)
                                  : 1 + random_() % std::min<u64>(40, most);
    }
    static VirtAddr at(u64 index) { return window + index * page; }
    u32 draw_prot() {
        static constexpr u32 choices[] = {0, abi::PROT_READ, abi::PROT_READ | abi::PROT_WRITE,
                                          abi::PROT_READ | abi::PROT_WRITE, abi::PROT_READ | abi::PROT_EXEC};
        return choices[random_() % 5];
    }

    void map(Pair& pair) {
        u64 first = draw_first(), count = draw_count(first);
        mm::MapRequest request;
        request.address = at(first);
        request.length = count * page;
        request.prot = draw_prot();
        bool replaces = random_() % 4 != 0;
        request.flags = abi::MAP_PRIVATE | abi::MAP_ANONYMOUS |
                        (replaces ? abi::MAP_FIXED : abi::MAP_FIXED | abi::MAP_FIXED_NOREPLACE);
        bool occupied = false;
        for (u64 i = first; i < first + count; ++i) occupied |= pair.model.contains(i);
        auto result = pair.space->map(request);
        if (!replaces && occupied) {
            ASSERT_FALSE(result);
            ASSERT_EQ(result.error(), Errno::EEXIST);
            return;
        }
        ASSERT_TRUE(result);
        for (u64 i = first; i < first + count; ++i) pair.model[i] = {request.prot, 0};
    }

    void unmap(Pair& pair) {
        u64 first = draw_first(), count = draw_count(first);
        ASSERT_TRUE(pair.space->unmap(at(first), count * page));
        for (u64 i = first; i < first + count; ++i) pair.model.erase(i);
    }

    void protect(Pair& pair) {
        u64 first = draw_first(), count = draw_count(first);
        u32 prot = draw_prot();
        auto result = pair.space->protect(at(first), count * page, prot);
        for (u64 i = first; i < first + count; ++i) {
            auto it = pair.model.find(i);
            if (it == pair.model.end()) {
                ASSERT_FALSE(result);
                ASSERT_EQ(result.error(), Errno::ENOMEM);
                return; // changed up to the hole
            }
            it->second.prot = prot;
        }
        ASSERT_TRUE(result);
    }

    /// Huge pages come wherever they can; nothing else may change.
    void collapse(Pair& pair) {
        constexpr u64 span_pages = arch::huge_page_size / page;
        u64 first = random_() % window_pages;
        (void)pair.space->advise(at(first), span_pages * page, abi::MADV_HUGEPAGE);
        (void)pair.space->advise(at(first), 2 * span_pages * page, abi::MADV_COLLAPSE);
    }

    /// The mapping that covers [first, first + count) alone, as /proc/PID/maps tells.
    bool is_one_mapping(Pair& pair, u64 first, u64 count) {
        bool inside = false;
        pair.space->for_each_mapping([&](const mm::MappingInfo& info) {
            inside |= info.begin <= at(first) && at(first + count) <= info.end;
            return true;
        });
        return inside;
    }

    void remap(Pair& pair) {
        u64 first = draw_first(), count = draw_count(first);
        if (!is_one_mapping(pair, first, count)) return;
        u64 target = draw_first(), target_count = draw_count(target);
        bool overlaps = target < first + count && first < target + target_count;
        auto result = pair.space->remap(at(first), count * page, target_count * page,
                                        abi::MREMAP_MAYMOVE | abi::MREMAP_FIXED, at(target));
        if (overlaps) {
            ASSERT_FALSE(result);
            return;
        }
        ASSERT_TRUE(result);
        Model moved;
        u32 prot = pair.model[first].prot;
        for (u64 i = 0; i < target_count; ++i)
            moved[target + i] = i < count ? pair.model[first + i] : ModelPage{prot, 0};
        for (u64 i = first; i < first + count; ++i) pair.model.erase(i);
        for (auto& [index, entry] : moved) pair.model[index] = entry;
    }

    void discard(Pair& pair) {
        u64 first = draw_first(), count = draw_count(first);
        (void)pair.space->advise(at(first), count * page, abi::MADV_DONTNEED);
        for (u64 i = first; i < first + count; ++i)
            if (auto it = pair.model.find(i); it != pair.model.end()) it->second.contents = 0;
    }

    void fork(Pair& pair) {
        if (pairs_.size() >= 5) return;
        auto child = pair.space->fork();
        ASSERT_TRUE(child);
        pairs_.push_back({*child, pair.model});
    }

    /// With mappings that fill whole tables.
    void fork_whole(Pair& pair) {
        mm::MapRequest request;
        request.address = at(0);
        request.length = window_pages * page;
        request.prot = abi::PROT_READ | abi::PROT_WRITE;
        request.flags = abi::MAP_PRIVATE | abi::MAP_ANONYMOUS | abi::MAP_FIXED;
        ASSERT_TRUE(pair.space->map(request));
        for (u64 i = 0; i < window_pages; ++i) pair.model[i] = {request.prot, 0};
        for (int i = 0; i < 20; ++i) touch(pair);
        fork(pair);
    }

    void drop() {
        if (pairs_.size() < 2) return;
        pairs_.erase(pairs_.begin() + static_cast<isize>(random_() % pairs_.size()));
    }

    /// A page that is drawn often.
    u64 draw_hot() { return random_() % 16 * (window_pages / 16) + 3; }

    void touch(Pair& pair) {
        u64 index = random_() % 4 ? draw_hot() : draw_first();
        auto it = pair.model.find(index);
        if (random_() % 2 || it == pair.model.end() || !(it->second.prot & abi::PROT_WRITE))
            return check_page(pair, index);
        FaultResult refusal{};
        u8* byte = access(*pair.space, at(index) + 7, Access::Write, &refusal);
        ASSERT_NE(byte, nullptr);
        *byte = it->second.contents = static_cast<u8>(random_());
    }

    /// A debugger's write reaches private pages whatever their rights, and nobody else's.
    void foreign(Pair& pair) {
        u64 index = random_() % 2 ? draw_hot() : draw_first();
        auto it = pair.model.find(index);
        u8 value = static_cast<u8>(random_());
        bool forced = random_() % 2;
        auto how = forced ? mm::ForeignAccess::Forced : mm::ForeignAccess::Checked;
        auto result = pair.space->write_memory(at(index) + 7, {&value, 1}, how);
        bool expected = it != pair.model.end() && (forced || (it->second.prot & abi::PROT_WRITE));
        ASSERT_EQ(result.has_value(), expected);
        if (expected) it->second.contents = value;
    }

    void check_page(Pair& pair, u64 index) {
        auto it = pair.model.find(index);
        FaultResult refusal{};
        u8* byte = access(*pair.space, at(index) + 7, Access::Read, &refusal);
        if (it == pair.model.end()) {
            ASSERT_EQ(byte, nullptr);
            ASSERT_EQ(refusal, FaultResult::SegvMapErr);
            return;
        }
        if (it->second.prot == 0) {
            ASSERT_EQ(byte, nullptr);
            ASSERT_EQ(refusal, FaultResult::SegvAccErr);
            return;
        }
        ASSERT_NE(byte, nullptr);
        ASSERT_EQ(*byte, it->second.contents) << "page " << index;
        if (it->second.prot & abi::PROT_WRITE) return;
        ASSERT_EQ(access(*pair.space, at(index), Access::Write, &refusal), nullptr);
        ASSERT_EQ(refusal, FaultResult::SegvAccErr);
    }

    /// Mappings are in order, apart, joined where alike, and the counters agree.
    void check_mappings(Pair& pair) {
        std::optional<mm::MappingInfo> last;
        u64 total = 0;
        pair.space->for_each_mapping([&](const mm::MappingInfo& info) {
            EXPECT_LT(info.begin, info.end);
            if (last) {
                EXPECT_LE(last->end, info.begin);
                // Memory that is promised (and once could be written) stays apart from memory that isn't.
                if (last->end == info.begin) EXPECT_TRUE(last->prot != info.prot || last->flags != info.flags);
            }
            for (VirtAddr a = info.begin; a < info.end; a += page) {
                auto it = pair.model.find((a - window) / page);
                EXPECT_NE(it, pair.model.end());
                if (it != pair.model.end()) EXPECT_EQ(it->second.prot, info.prot);
            }
            total += (info.end - info.begin) / page;
            last = info;
            return true;
        });
        EXPECT_EQ(total, pair.model.size());
        mm::AddressSpaceStatistics statistics = pair.space->statistics();
        EXPECT_EQ(statistics.total, total);
        EXPECT_LE(statistics.anonymous, total);
        EXPECT_EQ(statistics.anonymous * page, anonymous_bytes(*pair.space));
    }

    std::mt19937 random_;
    std::vector<Pair> pairs_;
};

TEST(AddressSpace, AgreesWithTheModel) {
    start_machine();
    Usage before = usage();
    u64 committed = mm::memory_statistics().committed;
    const u32 seeds = static_cast<u32>(steps(4, 25));
    for (u32 seed = 1; seed <= seeds && !testing::Test::HasFailure(); ++seed) {
        Driver driver(seed);
        for (int step = 0; step < 20000 && !testing::Test::HasFailure(); ++step) {
            driver.step();
            if (step % 2000 == 0) driver.check_all();
        }
        driver.check_all();
    }
    EXPECT_EQ(usage(), before);
    EXPECT_EQ(mm::memory_statistics().committed, committed);
}

TEST(AddressSpace, ChoosesAddressesFromTheTop) {
    start_machine();
    auto space = MUST(mm::AddressSpace::create());
    space->mmap_base = {u64{1} << 40};
    mm::MapRequest request;
    request.length = 3 * page;
    request.prot = abi::PROT_READ;
    request.flags = abi::MAP_PRIVATE | abi::MAP_ANONYMOUS;
    VirtAddr first = MUST(space->map(request));
    EXPECT_EQ(first.value, (u64{1} << 40) - 3 * page);
    request.prot = abi::PROT_READ | abi::PROT_WRITE;
    VirtAddr second = MUST(space->map(request));
    EXPECT_EQ(second + 3 * page, first);
    ASSERT_TRUE(space->unmap(first, 3 * page));
    EXPECT_EQ(MUST(space->map(request)), first); // the highest hole is taken again
    request.address = {u64{1} << 39};
    EXPECT_EQ(MUST(space->map(request)).value, u64{1} << 39);
    request.flags |= abi::MAP_FIXED;
    request.address = {u64{1} << 39 | 5};
    EXPECT_EQ(space->map(request).error(), Errno::EINVAL);
    request.address = arch::user_address_end - page;
    EXPECT_EQ(space->map(request).error(), Errno::ENOMEM);
    request.length = 0;
    EXPECT_EQ(space->map(request).error(), Errno::EINVAL);
}

TEST(AddressSpace, StackGrowsToItsLimitAndKeepsItsGap) {
    start_machine();
    auto space = MUST(mm::AddressSpace::create());
    space->limits.stack = 512 * page;
    mm::MapRequest request;
    VirtAddr top{u64{1} << 32};
    request.address = top - 4 * page;
    request.length = 4 * page;
    request.prot = abi::PROT_READ | abi::PROT_WRITE;
    request.flags = abi::MAP_PRIVATE | abi::MAP_ANONYMOUS | abi::MAP_FIXED | abi::MAP_GROWSDOWN;
    ASSERT_TRUE(space->map(request));
    EXPECT_NE(access(*space, top - 5 * page, Access::Write), nullptr);
    EXPECT_NE(access(*space, top - 100 * page, Access::Read), nullptr);
    FaultResult refusal{};
    EXPECT_EQ(access(*space, top - 513 * page, Access::Write, &refusal), nullptr);
    EXPECT_EQ(refusal, FaultResult::SegvMapErr);
    EXPECT_NE(access(*space, top - 512 * page, Access::Write), nullptr);
    // Another mapping below: the stack stops 256 pages above it.
    auto other = MUST(mm::AddressSpace::create());
    ASSERT_TRUE(other->map(request));
    request.address = top - 300 * page;
    request.length = page;
    request.flags = abi::MAP_PRIVATE | abi::MAP_ANONYMOUS | abi::MAP_FIXED;
    ASSERT_TRUE(other->map(request));
    EXPECT_NE(access(*other, top - 43 * page, Access::Write), nullptr);
    EXPECT_EQ(access(*other, top - 44 * page, Access::Write), nullptr);
}

TEST(AddressSpace, BreakGrowsShrinksAndStopsAtOtherMappings) {
    start_machine();
    Usage before = usage();
    {
        auto space = MUST(mm::AddressSpace::create());
        VirtAddr start{0x60'0000};
        space->set_brk_begin(start);
        EXPECT_EQ(space->brk({}), start);
        EXPECT_EQ(space->brk(start + 5000), start + 5000);
        u8* byte = access(*space, start + 4999, Access::Write);
        ASSERT_NE(byte, nullptr);
        *byte = 42;
        EXPECT_EQ(space->brk(start + 10 * page), start + 10 * page);
        EXPECT_EQ(*access(*space, start + 4999, Access::Read), 42);
        EXPECT_EQ(space->brk(start), start);
        EXPECT_EQ(access(*space, start, Access::Read), nullptr);
        EXPECT_EQ(space->brk(start + page), start + page);
        EXPECT_EQ(*access(*space, start, Access::Read), 0);
        mm::MapRequest request;
        request.address = start + 20 * page;
        request.length = page;
        request.flags = abi::MAP_PRIVATE | abi::MAP_ANONYMOUS | abi::MAP_FIXED;
        ASSERT_TRUE(space->map(request));
        // A page stays free below it.
        EXPECT_EQ(space->brk(start + 20 * page), start + page);
        EXPECT_EQ(space->brk(start + 19 * page), start + 19 * page);
        EXPECT_EQ(space->brk(start - 1), start + 19 * page);
    }
    EXPECT_EQ(usage(), before);
}

TEST(AddressSpace, CopyOnWriteReusesAPageThatNobodyShares) {
    start_machine();
    auto parent = MUST(mm::AddressSpace::create());
    mm::MapRequest request;
    request.address = window;
    request.length = page;
    request.prot = abi::PROT_READ | abi::PROT_WRITE;
    request.flags = abi::MAP_PRIVATE | abi::MAP_ANONYMOUS | abi::MAP_FIXED;
    ASSERT_TRUE(parent->map(request));
    u8* original = access(*parent, window, Access::Write);
    *original = 1;
    {
        auto child = MUST(parent->fork());
        EXPECT_EQ(access(*child, window, Access::Read), original);
        u8* copied = access(*parent, window, Access::Write);
        EXPECT_NE(copied, original);
        *copied = 2;
        EXPECT_EQ(*access(*child, window, Access::Read), 1);
        EXPECT_EQ(access(*child, window, Access::Write), original); // the child is its last owner
    }
    std::vector<RefPtr<mm::AddressSpace>> children;
    for (int i = 0; i < 300; ++i) children.push_back(MUST(parent->fork()));
    for (auto& child : children) EXPECT_EQ(*access(*child, window, Access::Read), 2);
    *access(*children[0], window, Access::Write) = 9;
    children.clear();
    EXPECT_EQ(*access(*parent, window, Access::Write), 2);
}

} // namespace
} // namespace linnet::test
