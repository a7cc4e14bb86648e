// The ring of trace pages: what was written comes out, in Linux's layout, whatever is overwritten, resized and read in
// between.
#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <ring_buffer.hpp>
#include <vector>

namespace {

using linnet::u32;
using linnet::u64;
using linnet::u8;
using linnet::trace::RingBuffer;

/// A record that says which it is, of a length that follows from it.
std::vector<u8> record(u64 number) {
    std::vector<u8> bytes(8 + number * 37 % 300, u8(number));
    memcpy(bytes.data(), &number, sizeof number);
    return bytes;
}

void expect_record(std::span<const u8> found, u64 number) {
    const std::vector<u8> wanted = record(number);
    ASSERT_GE(found.size(), wanted.size());
    EXPECT_LT(found.size(), wanted.size() + 4);
    EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), found.begin()));
}

u64 number_of(const u8* bytes) {
    u64 number;
    memcpy(&number, bytes, sizeof number);
    return number;
}

struct Parsed {
    u64 number, time;
    size_t size;
};

/// Reads a page as programs do.
std::vector<Parsed> parse(std::span<const u8> page, u64& flags) {
    u64 time, used;
    memcpy(&time, page.data(), 8);
    memcpy(&used, page.data() + 8, 8);
    flags = used & ~u64{0xfffff};
    used &= 0xfffff;
    EXPECT_LE(used, RingBuffer::page_room);
    std::vector<Parsed> found;
    for (size_t at = 16; at < 16 + used;) {
        u32 head, next;
        memcpy(&head, page.data() + at, 4);
        memcpy(&next, page.data() + at + 4, 4);
        const u32 type = head & 31;
        if (type == RingBuffer::type_time_extend) {
            time += (u64{next} << 27) + (head >> 5);
            at += 8;
            continue;
        }
        EXPECT_LE(type, 28u);
        time += head >> 5;
        const size_t data = at + (type ? 4 : 8), size = type ? type * 4 : next - 4;
        found.push_back({number_of(page.data() + data), time, size});
        at = data + size;
    }
    return found;
}

TEST(TraceRing, WrittenAndTaken) {
    RingBuffer ring;
    ASSERT_TRUE(ring.resize(4));
    u64 lost = 0;
    std::vector<u8> room(linnet::arch::page_size);
    EXPECT_FALSE(ring.peek_next(room, lost));
    for (u64 i = 0; i < 20; ++i) EXPECT_TRUE(ring.write(1000 * i, record(i)));
    EXPECT_EQ(ring.statistics().entries, 20u);
    for (u64 i = 0; i < 20; ++i) {
        const auto entry = ring.peek_next(room, lost);
        ASSERT_TRUE(entry);
        EXPECT_EQ(lost, 0u);
        EXPECT_EQ(entry->time, 1000 * i);
        expect_record({room.data(), entry->size}, i);
        ring.take_next();
    }
    EXPECT_FALSE(ring.peek_next(room, lost));
    EXPECT_EQ(ring.statistics().bytes, 0u);
    EXPECT_EQ(ring.statistics().read_events, 20u);
}

TEST(TraceRing, TimesFarApart) {
    RingBuffer ring;
    ASSERT_TRUE(ring.resize(4));
    const u64 times[] = {5, 5 + (u64{1} << 27) - 1, 6 + (u64{2} << 27), u64{1} << 40, (u64{1} << 40) - 7, u64{1} << 58};
    for (u64 i = 0; i < std::size(times); ++i) EXPECT_TRUE(ring.write(times[i], record(i)));
    std::vector<u8> page(linnet::arch::page_size);
    u64 flags = 0;
    ASSERT_TRUE(ring.take_page(std::span<u8, linnet::arch::page_size>(page)));
    const auto found = parse(page, flags);
    ASSERT_EQ(found.size(), std::size(times));
    for (u64 i = 0; i < std::size(times); ++i)
        EXPECT_EQ(found[i].time, i == 4 ? times[3] : times[i]); // never backwards
}

TEST(TraceRing, OverwrittenIsCounted) {
    RingBuffer ring;
    ASSERT_TRUE(ring.resize(3));
    constexpr u64 total = 1000;
    for (u64 i = 0; i < total; ++i) EXPECT_TRUE(ring.write(i, record(i)));
    const auto statistics = ring.statistics();
    EXPECT_EQ(statistics.entries + statistics.overrun, total);
    EXPECT_GT(statistics.overrun, 900u);
    u64 flags = 0, next = statistics.overrun;
    std::vector<u8> page(linnet::arch::page_size);
    bool first = true;
    while (ring.take_page(std::span<u8, linnet::arch::page_size>(page))) {
        for (const Parsed& each : parse(page, flags)) EXPECT_EQ(each.number, next++);
        EXPECT_EQ((flags & RingBuffer::missed_events) != 0, first);
        first = false;
    }
    EXPECT_EQ(next, total);
}

TEST(TraceRing, NothingOverwrittenWhenFull) {
    RingBuffer ring;
    ASSERT_TRUE(ring.resize(3));
    ring.set_overwrite(false);
    u64 written = 0;
    while (ring.write(written, record(written))) ++written;
    EXPECT_GT(written, 30u);
    EXPECT_EQ(ring.statistics().dropped, 1u);
    std::vector<u8> page(linnet::arch::page_size);
    u64 flags = 0;
    ASSERT_TRUE(ring.take_page(std::span<u8, linnet::arch::page_size>(page)));
    EXPECT_EQ(parse(page, flags).front().number, 0u);
    EXPECT_TRUE(ring.write(written, record(written))); // there is room again
}

TEST(TraceRing, ReaderThatIsOvertaken) {
    RingBuffer ring;
    ASSERT_TRUE(ring.resize(2));
    EXPECT_TRUE(ring.write(0, record(0)));
    auto place = ring.begin();
    std::vector<u8> room(linnet::arch::page_size);
    for (u64 i = 1; i < 500; ++i) EXPECT_TRUE(ring.write(i, record(i)));
    auto entry = ring.peek(place, room);
    ASSERT_TRUE(entry);
    u64 next = number_of(room.data());
    EXPECT_GT(next, 300u);
    for (; entry; entry = ring.peek(place, room)) {
        expect_record({room.data(), entry->size}, next++);
        ring.advance(place);
    }
    EXPECT_EQ(next, 500u);
    ring.clear();
    EXPECT_FALSE(ring.peek(place, room));
    EXPECT_TRUE(ring.write(1, record(7)));
    EXPECT_TRUE(ring.peek(place, room));
}

TEST(TraceRing, TooLong) {
    RingBuffer ring;
    ASSERT_TRUE(ring.resize(2));
    EXPECT_FALSE(ring.write(0, std::vector<u8>(RingBuffer::longest + 4)));
    EXPECT_FALSE(ring.write(0, {}));
    EXPECT_TRUE(ring.write(0, std::vector<u8>(RingBuffer::longest)));
    EXPECT_TRUE(ring.write(0, std::vector<u8>(RingBuffer::longest)));
}

/// Against a model that keeps everything: what is left is always the newest, without gaps.
TEST(TraceRing, RandomUse) {
    std::mt19937 random(11);
    RingBuffer ring;
    ASSERT_TRUE(ring.resize(3));
    u64 next_written = 0, next_read = 0, time = 0;
    std::vector<u8> room(linnet::arch::page_size);
    for (int step = 0; step < 30000; ++step) {
        switch (random() % 16) {
        case 0:
            ASSERT_TRUE(ring.resize(2 + random() % 12));
            break;
        case 1: {
            u64 flags = 0;
            if (!ring.take_page(std::span<u8, linnet::arch::page_size>(room))) break;
            for (const Parsed& each : parse(room, flags)) {
                ASSERT_GE(each.number, next_read);
                next_read = each.number + 1;
            }
            break;
        }
        case 2:
        case 3: {
            u64 lost = 0;
            const auto entry = ring.peek_next(room, lost);
            if (!entry) {
                ASSERT_EQ(next_read, next_written);
                break;
            }
            const u64 number = number_of(room.data());
            ASSERT_GE(number, next_read);
            expect_record({room.data(), entry->size}, number);
            next_read = number + 1;
            ring.take_next();
            break;
        }
        default:
            time += random() % 7 ? random() % 5000 : random();
            ASSERT_TRUE(ring.write(time, record(next_written++)));
        }
        const auto statistics = ring.statistics();
        ASSERT_EQ(statistics.entries + statistics.overrun + statistics.read_events, next_written);
        if (statistics.entries == 0) ASSERT_EQ(statistics.bytes, 0u);
    }
}

} // namespace
