// Moving the kernel image: relative relocations, and the first look at the command line.
#include <gtest/gtest.h>

#include <lib/relocation.hpp>
#include <string_view>

namespace linnet {
namespace {

TEST(Relocation, AddressesAndBitmaps) {
    u64 words[200] = {};
    auto base = reinterpret_cast<u64>(words);
    constexpr u64 link = 0x1000;
    // Words 0, 2, 63 by the first address and its bitmap, 64 by the second bitmap, then 150 by an address of its own.
    const u64 table[] = {link, 1 | u64{1} << 2 | u64{1} << 63, 1 | 1u << 1, link + 150 * 8};
    apply_relative_relocations(table, table + 4, base - link, 7);
    for (usize i = 0; i < 200; ++i) {
        bool named = i == 0 || i == 2 || i == 63 || i == 64 || i == 150;
        EXPECT_EQ(words[i], named ? 7u : 0u) << i;
    }
}

TEST(Relocation, NothingToDo) { apply_relative_relocations(nullptr, nullptr, 0, 1); }

bool has(std::string_view text, const char* word = "nokaslr") { return has_boot_word(text.data(), text.size(), word); }

TEST(BootWord, WholeWordsOnly) {
    EXPECT_TRUE(has("nokaslr"));
    EXPECT_TRUE(has("console=ttyS0 nokaslr quiet"));
    EXPECT_TRUE(has("\tquiet\nnokaslr"));
    EXPECT_FALSE(has(""));
    EXPECT_FALSE(has("   "));
    EXPECT_FALSE(has("nokaslr2 xnokaslr nokasl"));
    EXPECT_FALSE(has("quiet -- nokaslr"));
    EXPECT_TRUE(has("--x nokaslr"));
    EXPECT_FALSE(has(std::string_view("quiet\0nokaslr", 13)));
}

TEST(Random, Scales) {
    EXPECT_EQ(scale_random(0, 10), 0u);
    EXPECT_EQ(scale_random(~u64{0}, 10), 9u);
    EXPECT_NE(mix_bits(1), mix_bits(2));
}

} // namespace
} // namespace linnet
