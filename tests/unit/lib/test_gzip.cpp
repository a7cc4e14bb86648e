// gzip: what zlib's own program compresses comes back; damaged input is refused without a step outside the buffers.
#include <cstdio>
#include <cstdlib>
#include <gtest/gtest.h>
#include <lib/gzip.hpp>
#include <random>
#include <string>
#include <vector>

namespace {

using linnet::Errno;
using linnet::u8;
using Bytes = std::vector<u8>;

/// Runs gzip(1).
Bytes compress(const Bytes& data, const char* level) {
    char from[] = "/tmp/gzip-test.XXXXXX";
    int fd = mkstemp(from);
    EXPECT_EQ(write(fd, data.data(), data.size()), static_cast<ssize_t>(data.size()));
    close(fd);
    FILE* pipe = popen((std::string("gzip -c ") + level + " " + from).c_str(), "r");
    Bytes result;
    for (int c; (c = fgetc(pipe)) != EOF;) result.push_back(static_cast<u8>(c));
    pclose(pipe);
    unlink(from);
    return result;
}

Bytes sample(size_t size, unsigned kinds) {
    std::mt19937 random(static_cast<unsigned>(size));
    Bytes data(size);
    for (size_t i = 0; i < size; ++i)
        data[i] = i > 100 && random() % 3 ? data[i - 1 - random() % 100] : static_cast<u8>(random() % kinds);
    return data;
}

TEST(Gzip, RoundTrips) {
    for (size_t size : {0, 1, 100, 5000, 70000, 300000})
        for (unsigned kinds : {1, 4, 256})
            for (const char* level : {"-1", "-9"}) {
                Bytes data = sample(size, kinds);
                Bytes packed = compress(data, level);
                auto measured = linnet::measure_gzip(packed);
                ASSERT_TRUE(measured) << size;
                EXPECT_EQ(measured->produced, size);
                EXPECT_EQ(measured->consumed, packed.size());
                Bytes output(size);
                auto result = linnet::gunzip(packed, output);
                ASSERT_TRUE(result) << size;
                EXPECT_EQ(output, data);
                if (size == 0) continue;
                Bytes small(size - 1);
                auto refused = linnet::gunzip(packed, small);
                ASSERT_FALSE(refused);
                EXPECT_EQ(refused.error(), Errno::ENOSPC);
            }
}

TEST(Gzip, TakesOnlyItsMember) {
    Bytes packed = compress(sample(1000, 256), "-6");
    size_t size = packed.size();
    packed.resize(size + 100);
    auto measured = linnet::measure_gzip(packed);
    ASSERT_TRUE(measured);
    EXPECT_EQ(measured->consumed, size);
}

TEST(Gzip, CutOff) {
    Bytes packed = compress(sample(3000, 200), "-6");
    for (size_t size = 0; size < packed.size(); ++size) {
        Bytes cut(packed.begin(), packed.begin() + static_cast<long>(size));
        cut.shrink_to_fit();
        EXPECT_FALSE(linnet::measure_gzip(cut)) << size;
    }
}

TEST(Gzip, FlippedBits) {
    Bytes data = sample(2000, 30);
    Bytes packed = compress(data, "-6");
    std::mt19937 random(7);
    for (int round = 0; round < 20000; ++round) {
        Bytes damaged = packed;
        for (unsigned flips = random() % 3 + 1; flips > 0; --flips)
            damaged[random() % damaged.size()] ^= static_cast<u8>(1 << (random() % 8));
        Bytes output(4000);
        auto result = linnet::gunzip(damaged, output);
        // Flips in the header's time or name don't matter; the checksum finds the others.
        if (result) {
            output.resize(result->produced);
            EXPECT_EQ(output, data);
        }
    }
}

} // namespace
