// Searches of bitmaps, beside one that looks at every bit.
#include "bitmap.hpp"

#include <gtest/gtest.h>
#include <random>
#include <vector>

namespace linnet::ext4 {

namespace {

usize find_bit_by_bit(std::span<const u8> bits, usize from, usize end, bool value) {
    for (usize at = from; at < end; ++at)
        if (has_bit(bits, at) == value) return at;
    return end;
}

TEST(Bitmap, FindsTheFirstBit) {
    std::mt19937 random(1);
    for (int round = 0; round < 20'000; ++round) {
        // Mostly of one kind, so that there is something to skip; sizes that are no whole number of words.
        std::vector<u8> bits(1 + random() % 50, random() % 2 ? u8{0} : u8{0xff});
        for (u32 changes = random() % 4; changes > 0; --changes)
            bits[random() % bits.size()] ^= static_cast<u8>(1 << random() % 8);
        const usize end = random() % (bits.size() * 8 + 1), from = random() % (end + 1);
        const bool value = random() % 2 != 0;
        EXPECT_EQ(find_bit(bits, from, end, value), find_bit_by_bit(bits, from, end, value));
    }
}

TEST(Bitmap, AddsBits) {
    std::mt19937 random(2);
    for (usize size = 0; size < 40; ++size) {
        std::vector<u8> bits(size), others(size), both(size);
        for (usize i = 0; i < size; ++i) {
            bits[i] = static_cast<u8>(random()), others[i] = static_cast<u8>(random());
            both[i] = bits[i] | others[i];
        }
        add_bits(bits, others);
        EXPECT_EQ(bits, both);
    }
}

} // namespace

} // namespace linnet::ext4
