// The formatter: every placeholder, what doesn't fit, and placeholders that are none.
#include <gtest/gtest.h>
#include <lib/format.hpp>

namespace {

using namespace linnet;

template <typename... Args>
std::string text(std::string_view format, const Args&... args) {
    char buffer[400];
    return std::string(format_into(buffer, format, args...));
}

TEST(Format, ByType) {
    EXPECT_EQ(text("{} {} {}", 1, -2, 3u), "1 -2 3");
    EXPECT_EQ(text("{}{}{}", true, 'c', "text"), "truectext");
    EXPECT_EQ(text("{}", std::string_view("view").substr(1)), "iew");
    EXPECT_EQ(text("{} {}", PhysAddr{0x1000}, VirtAddr{0}), "0x1000 0x0");
    EXPECT_EQ(text("{}", reinterpret_cast<void*>(0xabc)), "0xabc");
    EXPECT_EQ(text("{}", ~u64{0}), "18446744073709551615");
    EXPECT_EQ(text("{} {}", INT64_MIN, INT64_MAX), "-9223372036854775808 9223372036854775807");
    EXPECT_EQ(text("{} {}", static_cast<i8>(-128), static_cast<u8>(255)), "-128 255");
}

TEST(Format, HexAndWidth) {
    EXPECT_EQ(text("{x} {#x}", 0xbeef, 0xbeef), "beef 0xbeef");
    EXPECT_EQ(text("{08x}|{#010x}|{5}|{-5}|", 0x1f, 0x1f, 42, 42), "0000001f|0x0000001f|   42|42   |");
    EXPECT_EQ(text("{06}|{5}", -42, -42), "-00042|  -42");
    EXPECT_EQ(text("{-6}|{6}|{2}", "ab", "ab", "abc"), "ab    |    ab|abc");
    EXPECT_EQ(text("{x}", -1), "ffffffffffffffff");
    EXPECT_EQ(text("{2x}", 0x12345), "12345");
}

TEST(Format, BracesAndMistakes) {
    EXPECT_EQ(text("{{}} {{{}}}", 1), "{} {1}");
    EXPECT_EQ(text("{} {}", 1), "1 {?}");
    EXPECT_EQ(text("open {", 1), "open {");
    EXPECT_EQ(text("} close", 1), "} close");
    EXPECT_EQ(text(""), "");
    EXPECT_EQ(text("{}"), "{?}");
}

TEST(Format, CutsWhatDoesNotFit) {
    char buffer[6] = "?????";
    EXPECT_EQ(format_into(std::span(buffer, 4), "{}{}", "abc", "def"), "abcd"); // NOLINT: four bytes of it
    EXPECT_EQ(std::string_view(buffer), "abcd?");
    EXPECT_EQ(format_into(std::span<char>(), "{}", 1), "");
}

TEST(Format, NoTextLeadsOutside) {
    std::mt19937 random(9);
    constexpr char likely[] = "{}#x-0123ab";
    for (int round = 0; round < 30000; ++round) {
        std::unique_ptr<char[]> bytes(new char[round % 24]);
        for (int i = 0; i < round % 24; ++i) {
            bytes[static_cast<usize>(i)] = likely[random() % (sizeof likely - 1)];
        }
        std::string_view view(bytes.get(), static_cast<usize>(round % 24));
        char buffer[64];
        (void)format_into(buffer, view, 1, "two", 'c');
    }
}

} // namespace
