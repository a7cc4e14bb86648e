// The reader of cpio archives: well-formed, concatenated, padded, and hostile ones.
#include <cstdio>
#include <gtest/gtest.h>
#include <lib/cpio.hpp>
#include <random>
#include <string>

namespace {

using linnet::CpioEntry;
using linnet::CpioReader;
using linnet::Errno;

std::string header(const std::string& name, size_t data_size, unsigned mode = 0100644, unsigned inode = 1) {
    char text[111];
    snprintf(text, sizeof text, "070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X", inode, mode, 5, 6, 1,
             77, data_size, 8, 9, 10, 11, name.size() + 1, 0);
    return text;
}
void pad(std::string& archive) { archive.resize((archive.size() + 3) & ~size_t{3}); }
void add(std::string& archive, const std::string& name, const std::string& data, unsigned mode = 0100644) {
    archive += header(name, data.size(), mode) + name + '\0';
    pad(archive);
    archive += data;
    pad(archive);
}
void end(std::string& archive) { add(archive, "TRAILER!!!", ""); }

/// A copy of exactly the archive's size, so that AddressSanitizer sees a step beyond it.
struct Exact {
    explicit Exact(const std::string& text) : bytes(new linnet::u8[text.size()]), size(text.size()) {
        std::copy(text.begin(), text.end(), bytes.get());
    }
    std::unique_ptr<linnet::u8[]> bytes;
    size_t size;
    std::span<const linnet::u8> span() const { return {bytes.get(), size}; }
};

/// Reads all; the number of entries, or -1 when it ended in an error.
int count(const std::string& archive) {
    Exact exact(archive);
    CpioReader reader(exact.span());
    for (int entries = 0;; ++entries) {
        auto entry = reader.next();
        if (!entry) {
            EXPECT_EQ(entry.error(), Errno::EINVAL);
            return -1;
        }
        if (!*entry) return entries;
        EXPECT_FALSE((*entry)->name.empty());
    }
}

TEST(Cpio, Fields) {
    std::string archive;
    add(archive, "dir/file", "hello", 0100640);
    end(archive);
    Exact exact(archive);
    CpioReader reader(exact.span());
    auto entry = reader.next();
    ASSERT_TRUE(entry && *entry);
    const CpioEntry& file = **entry;
    EXPECT_EQ(file.name, "dir/file");
    EXPECT_EQ(file.mode, 0100640u);
    EXPECT_EQ(file.uid, 5u);
    EXPECT_EQ(file.gid, 6u);
    EXPECT_EQ(file.modify_time, 77u);
    EXPECT_EQ(file.device_major, 8u);
    EXPECT_EQ(file.special_minor, 11u);
    EXPECT_EQ(std::string(file.data.begin(), file.data.end()), "hello");
    auto last = reader.next();
    ASSERT_TRUE(last.has_value());
    EXPECT_FALSE(last->has_value());
}

TEST(Cpio, Concatenated) {
    std::string archive;
    add(archive, "a", "1");
    end(archive);
    archive.append(512, '\0');
    add(archive, "b", "22");
    add(archive, "c", "");
    end(archive);
    archive.append(3, '\0');
    EXPECT_EQ(count(archive), 3);
}

TEST(Cpio, EndsWithoutTrailer) {
    std::string archive;
    add(archive, "a", "1234");
    EXPECT_EQ(count(archive), 1);
    EXPECT_EQ(count(""), 0);
    EXPECT_EQ(count(std::string(100, '\0')), 0);
}

TEST(Cpio, Broken) {
    EXPECT_EQ(count("no archive at all, but long enough to look at"), -1);
    std::string archive;
    add(archive, "a", "1234");
    for (size_t size = 1; size < archive.size(); ++size) EXPECT_EQ(count(archive.substr(0, size)), -1) << size;
    // Sizes that reach beyond the end or wrap.
    EXPECT_EQ(count(header("a", 0xffffffff) + "a" + '\0'), -1);
    std::string no_name = header("", 0);
    EXPECT_EQ(count(no_name + '\0' + '\0' + '\0'), -1);
    std::string unterminated = header("abc", 0) + "abcd";
    EXPECT_EQ(count(unterminated), -1);
    std::string long_name = header(std::string(5000, 'n'), 0) + std::string(5001, 'n');
    EXPECT_EQ(count(long_name), -1);
    // An archive must begin at a multiple of four.
    std::string shifted(1, '\0');
    EXPECT_EQ(count(shifted + archive), -1);
}

TEST(Cpio, FlippedBytes) {
    std::string archive;
    for (int i = 0; i < 20; ++i) add(archive, "file" + std::to_string(i), std::string(static_cast<size_t>(i) * 7, 'd'));
    end(archive);
    std::mt19937 random(1);
    for (int round = 0; round < 20000; ++round) {
        std::string damaged = archive;
        for (unsigned flips = random() % 4 + 1; flips > 0; --flips)
            damaged[random() % damaged.size()] ^= static_cast<char>(1 << (random() % 8));
        damaged.resize(damaged.size() - random() % 64);
        count(damaged);
    }
}

} // namespace
