// Moving the kernel image: relative relocations, and the first look at the command line.
#include <gtest/gtest.h>

#include <cstring>
#include <lib/early_tree.hpp>
#include <lib/relocation.hpp>
#include <string>
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

/// A tree with a node /memory and a node /chosen of these properties.
std::string make_tree(std::initializer_list<std::pair<std::string, std::string>> properties) {
    auto be = [](u32 value) {
        std::string text;
        for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(value >> shift);
        return text;
    };
    auto padded = [](std::string text) { return text.resize((text.size() + 3) & ~usize{3}), text; };
    std::string names, structure = be(1) + be(0);
    structure += be(1) + padded(std::string("memory@0") + '\0') + be(2) + be(1) + padded(std::string("chosen") + '\0');
    for (const auto& [name, value] : properties) {
        structure += be(3) + be(static_cast<u32>(value.size())) + be(static_cast<u32>(names.size())) + padded(value);
        names += name + '\0';
    }
    structure += be(2) + be(2) + be(9);
    auto total = static_cast<u32>(40 + structure.size() + names.size());
    std::string header =
        be(0xd00dfeed) + be(total) + be(40) + be(static_cast<u32>(40 + structure.size())) + std::string(24, '\0');
    return header + structure + names;
}

EarlyChosen chosen_of(const std::string& tree) {
    // Behind the end lies nothing that may be read.
    auto copy = std::make_unique<u8[]>(tree.size());
    std::memcpy(copy.get(), tree.data(), tree.size());
    return EarlyTree(copy.get(), 1 << 20).chosen();
}

TEST(EarlyTree, SeedAndCommandLine) {
    EarlyChosen none = chosen_of(make_tree({{"bootargs", std::string("quiet\0", 6)}}));
    EXPECT_FALSE(none.has_seed);
    EXPECT_FALSE(none.randomisation_is_off);
    EarlyChosen seeded = chosen_of(make_tree({{"kaslr-seed", "12345678"}, {"rng-seed", std::string(32, 'x')}}));
    EarlyChosen other = chosen_of(make_tree({{"kaslr-seed", "12345679"}, {"rng-seed", std::string(32, 'x')}}));
    EXPECT_TRUE(seeded.has_seed);
    EXPECT_NE(seeded.seed, other.seed);
    EXPECT_TRUE(chosen_of(make_tree({{"bootargs", std::string("a nokaslr\0", 10)}})).randomisation_is_off);
}

TEST(EarlyTree, HostileTrees) {
    EXPECT_TRUE(EarlyTree(nullptr, 1 << 20).chosen().randomisation_is_off);
    std::string good = make_tree({{"kaslr-seed", "12345678"}, {"bootargs", "nokaslr"}});
    u64 state = 1;
    for (int round = 0; round < 20000; ++round) {
        std::string bad = good;
        for (int i = 0; i < 3; ++i) {
            state = mix_bits(state + 1);
            bad[8 + state % (bad.size() - 8)] = static_cast<char>(state >> 32); // magic and size stay
        }
        (void)chosen_of(bad);
    }
}

} // namespace
} // namespace linnet
