// Partition tables: good ones of both kinds and block sizes, and damaged ones, of which nothing beyond the disk may
// come.
#include "mutate.hpp"
#include "partition_table.hpp"

#include <block/request.hpp>
#include <gtest/gtest.h>
#include <lib/crc32.hpp>

namespace linnet::block {
namespace {

class Image {
public:
    Image(u64 blocks, u32 block_size) : block_size_(block_size), bytes_(blocks * block_size) {}

    template <typename T>
    void put(u64 offset, T value) {
        std::memcpy(&bytes_[offset], &value, sizeof value);
    }
    u8* at(u64 offset) { return &bytes_[offset]; }
    void mark_boot_record(u64 block) { put<u16>(block * block_size_ + 510, 0xaa55); }
    void boot_entry(u64 block, u32 number, u8 type, u32 first, u32 count) {
        const u64 place = block * block_size_ + 446 + u64{16} * number;
        put<u8>(place + 4, type);
        put<u32>(place + 8, first);
        put<u32>(place + 12, count);
    }
    void gpt(std::vector<std::pair<u64, u64>> ranges) {
        mark_boot_record(0);
        boot_entry(0, 0, 0xee, 1, 0xffffffff);
        const u64 header = block_size_, entries = u64{2} * block_size_;
        std::memcpy(&bytes_[header], "EFI PART", 8);
        put<u32>(header + 12, 92);
        put<u64>(header + 24, 1);
        put<u64>(header + 72, 2);
        put<u32>(header + 80, 16);
        put<u32>(header + 84, 128);
        for (usize i = 0; i < ranges.size(); ++i) {
            put<u64>(entries + i * 128, 0x1234567);
            put<u64>(entries + i * 128 + 32, ranges[i].first);
            put<u64>(entries + i * 128 + 40, ranges[i].second);
        }
        sum();
    }
    /// Right check sums, whatever is summed up.
    void sum() {
        const u64 header = block_size_, entries = u64{2} * block_size_;
        put<u32>(header + 88, crc32({&bytes_[entries], 16 * 128}));
        put<u32>(header + 16, 0);
        put<u32>(header + 16, crc32({&bytes_[header], 92}));
    }
    void damage(std::mt19937& random) {
        const u64 table = std::min<u64>(bytes_.size(), u64{8} * block_size_);
        const std::vector<u8> fresh = test::damaged({bytes_.data(), table}, random);
        std::ranges::copy(fresh, bytes_.begin());
    }

    [[nodiscard]] u64 sectors() const { return bytes_.size() / sector_size; }
    Result<ArrayList<Partition>> read() {
        auto reader = [this](u64 offset, std::span<u8> room) -> Result<void> {
            EXPECT_EQ(offset % block_size_, 0u);
            EXPECT_LE(offset, bytes_.size());
            EXPECT_LE(room.size(), bytes_.size() - offset);
            ++reads_;
            std::copy_n(bytes_.begin() + static_cast<isize>(offset), room.size(), room.begin());
            return {};
        };
        reads_ = 0;
        return read_partition_table(reader, sectors(), block_size_);
    }
    [[nodiscard]] usize reads() const { return reads_; }

private:
    u32 block_size_;
    std::vector<u8> bytes_;
    usize reads_ = 0;
};

TEST(PartitionTable, EmptyDiskHasNone) {
    Image image(100, 512);
    EXPECT_TRUE(image.read()->span().empty());
}

TEST(PartitionTable, GptInBothBlockSizes) {
    for (u32 block_size : {512u, 4096u}) {
        Image image(200, block_size);
        image.gpt({{40, 49}, {60, 199}, {100, 200}, {90, 80}});
        auto found = image.read();
        ASSERT_TRUE(found);
        ASSERT_EQ(found->span().size(), 2u); // the others don't fit
        const u64 factor = block_size / sector_size;
        EXPECT_EQ(found->span()[0].index, 1u);
        EXPECT_EQ(found->span()[0].first_sector, 40 * factor);
        EXPECT_EQ(found->span()[0].sectors, 10 * factor);
        EXPECT_EQ(found->span()[1].first_sector, 60 * factor);
        EXPECT_EQ(found->span()[1].sectors, 140 * factor);
    }
}

TEST(PartitionTable, GptNamesItsPartitions) {
    Image image(200, 512);
    image.gpt({{40, 49}});
    const u64 entry = u64{2} * 512;
    for (u8 i = 0; i < 16; ++i) image.put<u8>(entry + 16 + i, static_cast<u8>(0xa0 + i));
    const char16_t label[] = u"root \u00e4";
    std::memcpy(image.at(entry + 56), label, sizeof label);
    image.sum();
    auto found = image.read();
    ASSERT_EQ(found->span().size(), 1u);
    EXPECT_STREQ(found->span()[0].name.uuid, "a3a2a1a0-a5a4-a7a6-a8a9-aaabacadaeaf");
    EXPECT_STREQ(found->span()[0].name.label, "root !");
    for (usize i = 0; i < PartitionName::label_units; ++i) image.put<u16>(entry + 56 + 2 * i, 'x'); // no end
    image.sum();
    EXPECT_EQ(std::string_view(image.read()->span()[0].name.label), std::string(PartitionName::label_units, 'x'));
}

TEST(PartitionTable, MbrPartitionsAreNamedByTheDisk) {
    Image image(1000, 512);
    image.mark_boot_record(0);
    image.put<u32>(440, 0x0012abcd);
    image.boot_entry(0, 1, 0x83, 10, 10);
    image.boot_entry(0, 2, 0x05, 100, 500);
    image.mark_boot_record(100);
    image.put<u32>(100 * 512 + 440, 0xffffffff); // that of the first record counts
    image.boot_entry(100, 0, 0x83, 10, 10);
    auto found = image.read();
    ASSERT_EQ(found->span().size(), 3u);
    EXPECT_STREQ(found->span()[0].name.uuid, "0012abcd-02");
    EXPECT_STREQ(found->span()[2].name.uuid, "0012abcd-05");
    EXPECT_STREQ(found->span()[0].name.label, "");
}

TEST(PartitionTable, LogicalPartitionsInACircleEnd) {
    Image image(1000, 512);
    image.mark_boot_record(0);
    image.boot_entry(0, 0, 0x05, 100, 500);
    image.mark_boot_record(100);
    image.boot_entry(100, 0, 0x83, 10, 10);
    image.boot_entry(100, 1, 0x05, 50, 100);
    image.mark_boot_record(150);
    image.boot_entry(150, 0, 0x83, 10, 10);
    image.boot_entry(150, 1, 0x05, 50, 100); // itself
    auto found = image.read();
    ASSERT_TRUE(found);
    EXPECT_EQ(found->span()[1].first_sector, 110u);
    EXPECT_EQ(found->span()[2].first_sector, 160u);
    EXPECT_LE(found->span().size(), 15u);
    EXPECT_LE(image.reads(), 20u);
}

TEST(PartitionTable, DamagedTablesShowNothingBeyondTheDisk) {
    for (unsigned seed = 0; seed < 4'000; ++seed) {
        std::mt19937 random(seed);
        Image image(64, seed % 5 ? 512 : 4096);
        image.gpt({{10, 19}, {20, 63}, {30, 30}});
        if (seed % 3 == 0) {
            image.boot_entry(0, 0, 0x05, 8, 50);
            image.mark_boot_record(8);
            image.boot_entry(8, 0, 0x83, 10, 10);
            image.boot_entry(8, 1, 0x05, 20, 10);
        }
        image.damage(random);
        if (seed % 2) image.sum();
        auto found = image.read();
        if (!found) continue;
        for (const Partition& partition : found->span()) {
            ASSERT_GE(partition.index, 1u) << seed;
            ASSERT_LE(partition.index, 15u) << seed;
            ASSERT_LE(partition.first_sector, image.sectors()) << seed;
            ASSERT_LE(partition.sectors, image.sectors() - partition.first_sector) << seed;
        }
    }
}

} // namespace
} // namespace linnet::block
