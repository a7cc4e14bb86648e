// Replaying journals that debugfs has written: what was committed arrives, what was revoked does not, and e2fsck finds
// nothing to mend.
#include "../mm/machine.hpp"
#include "image.hpp"
#include "journal_layout.hpp"
#include "journal_replay.hpp"
#include "mutate.hpp"

#include <gtest/gtest.h>

namespace linnet::test {
namespace {

constexpr usize block_bytes = 1024;

std::string pattern(char letter) { return std::string(block_bytes, letter); }

/// One that looks like a block of the journal itself.
std::string like_a_journal_block() {
    std::string text = pattern('z');
    const ext4::BigEndian<u32> magic = ext4::journal_magic;
    std::memcpy(text.data(), &magic, sizeof(magic));
    return text;
}

/// An image with the files a, b … of one block each in its folder, whose journal debugfs has filled.
struct Recorded {
    Folder home;
    std::vector<u8> image;

    /// `commands` of debugfs; %a is the file with the pattern of the letter a, %! the one like a journal block.
    Recorded(const std::string& options, const std::string& commands) {
        const Folder contents;
        contents.write("file", "contents\n");
        for (char letter = 'a'; letter <= 'e'; ++letter) home.write(std::string(1, letter), pattern(letter));
        home.write("journal", like_a_journal_block());
        std::string text;
        for (usize i = 0; i < commands.size(); ++i) {
            if (commands[i] != '%') {
                text += commands[i];
                continue;
            }
            const char letter = commands[++i];
            text += home.path() + "/" + (letter == '!' ? std::string("journal") : std::string(1, letter));
        }
        home.write("commands", text);
        image = changed_by(make_image(contents, options, 8192), "debugfs -w -f " + home.path() + "/commands");
    }
    [[nodiscard]] static u64 place(u64 block) { return block * block_bytes; }
};

std::string at(const ImageDisk& disk, u64 block) {
    return {reinterpret_cast<const char*>(disk.bytes.data()) + Recorded::place(block), block_bytes};
}

Result<void> replay(ImageDisk& disk) {
    auto volume = TRY(ext4::Volume::open(*disk.pages, disk.bytes.size(), "image"));
    EXPECT_TRUE(volume->needs_recovery());
    TRY(ext4::replay_journal(*volume, *disk.pages, [&] { return disk.pages->write_back(0, disk.bytes.size()); }));
    auto again = TRY(ext4::Volume::open(*disk.pages, disk.bytes.size(), "image"));
    EXPECT_FALSE(again->needs_recovery());
    return {};
}

constexpr const char* shapes[] = {"-b 1024 -J size=1", "-b 1024 -J size=1 -O ^64bit",
                                  "-b 1024 -J size=1 -O ^64bit,^metadata_csum"};

TEST(Ext4Journal, WhatWasCommittedArrives) {
    start_machine();
    for (const char* shape : shapes) {
        for (const char* opening : {"jo\n", "jo -c\n"}) { // without and with checksums
            SCOPED_TRACE(std::string(shape) + " " + opening);
            Recorded recorded(shape, std::string(opening) + "jw -b 5000 %a\njw -b 5001 %b\njw -b 5000 %c\n"
                                                            "jw -b 5002 %!\njc\n");
            ImageDisk disk(recorded.image);
            EXPECT_NE(at(disk, 5000), pattern('c'));
            const auto done = replay(disk);
            ASSERT_TRUE(done) << static_cast<int>(done.error());
            EXPECT_EQ(at(disk, 5000), pattern('c')); // the later of two
            EXPECT_EQ(at(disk, 5001), pattern('b'));
            EXPECT_EQ(at(disk, 5002), like_a_journal_block());
            EXPECT_TRUE(is_clean(disk.bytes));
        }
    }
}

/// As a stop amid unmounting leaves it: the file system is marked as clean, its journal not yet.
TEST(Ext4Journal, ALogIsFoundWithoutAMark) {
    start_machine();
    for (const char* shape : shapes) {
        SCOPED_TRACE(shape);
        Recorded recorded(shape, "jo\njw -b 5000 %a\njc\n");
        auto& superblock = *reinterpret_cast<ext4::Superblock*>(recorded.image.data() + ext4::superblock_offset);
        superblock.feature_incompat &= ~ext4::incompat_recover;
        if (superblock.feature_ro_compat & ext4::ro_compat_metadata_checksum)
            superblock.checksum = ext4::checksum_of(superblock);
        ImageDisk disk(recorded.image);
        auto volume = MUST(ext4::Volume::open(*disk.pages, disk.bytes.size(), "image"));
        EXPECT_FALSE(volume->needs_recovery());
        EXPECT_TRUE(ext4::has_log_to_replay(*volume));
        MUST(ext4::replay_journal(*volume, *disk.pages, [&] { return disk.pages->write_back(0, disk.bytes.size()); }));
        EXPECT_EQ(at(disk, 5000), pattern('a'));
        volume = MUST(ext4::Volume::open(*disk.pages, disk.bytes.size(), "image"));
        EXPECT_FALSE(ext4::has_log_to_replay(*volume));
        EXPECT_TRUE(is_clean(disk.bytes));
    }
}

TEST(Ext4Journal, WhatWasRevokedDoesNot) {
    start_machine();
    // debugfs sums up revoked blocks wrongly in the oldest form of checksums: Linux refuses such a journal, too.
    for (const char* shape : {shapes[0], shapes[1]}) {
        SCOPED_TRACE(shape);
        Recorded recorded(shape, "jo -c\njw -b 5000 %a\njw -b 5001 %b\njw -r 5000-5001\njw -b 5001 %d\njc\n");
        ImageDisk disk(recorded.image);
        const std::string before = at(disk, 5000);
        ASSERT_TRUE(replay(disk));
        EXPECT_EQ(at(disk, 5000), before);
        EXPECT_EQ(at(disk, 5001), pattern('d')); // written again after it was revoked
        EXPECT_TRUE(is_clean(disk.bytes));
    }
}

/// Where the journal's blocks that hold `type` lie in an image.
std::vector<u64> journal_blocks(const std::vector<u8>& image, ext4::JournalBlock type) {
    std::vector<u64> found;
    for (u64 block = 0; block < image.size() / block_bytes; ++block) {
        ext4::JournalHeader header;
        std::memcpy(&header, image.data() + block * block_bytes, sizeof(header));
        if (header.magic == ext4::journal_magic && header.type == static_cast<u32>(type)) found.push_back(block);
    }
    return found;
}

TEST(Ext4Journal, AnUnfinishedTransactionIsNotReplayed) {
    start_machine();
    Recorded recorded("-b 1024 -J size=1", "jo -c\njw -b 5000 %a\njw -b 5001 %b\njc\n");
    const auto commits = journal_blocks(recorded.image, ext4::JournalBlock::Commit);
    ASSERT_EQ(commits.size(), 2u);
    auto image = recorded.image;
    image[commits[1] * block_bytes] ^= 0x40;
    ImageDisk disk(std::move(image));
    ASSERT_TRUE(replay(disk));
    EXPECT_EQ(at(disk, 5000), pattern('a'));
    EXPECT_NE(at(disk, 5001), pattern('b'));
    EXPECT_TRUE(is_clean(disk.bytes));
}

/// What was committed must not be lost in silence.
TEST(Ext4Journal, ADamagedTransactionIsAnError) {
    start_machine();
    for (const char* shape : shapes) {
        SCOPED_TRACE(shape);
        Recorded recorded(shape, "jo -c\njw -b 5000 %a\njw -b 5001 %b\njc\n");
        for (auto type : {ext4::JournalBlock::Commit, ext4::JournalBlock::Descriptor}) {
            const auto blocks = journal_blocks(recorded.image, type);
            ASSERT_EQ(blocks.size(), 2u);
            auto image = recorded.image;
            const bool is_commit = type == ext4::JournalBlock::Commit;
            image[blocks[1] * block_bytes + (is_commit ? offsetof(ext4::CommitHeader, checksum) : 900)] ^= 0x40;
            ImageDisk disk(std::move(image));
            EXPECT_EQ(replay(disk).error(), Errno::EUCLEAN);
        }
    }
}

TEST(Ext4Journal, DamagedDataIsNotReplayed) {
    start_machine();
    Recorded recorded("-b 1024 -J size=1", "jo -c\njw -b 5000 %a\njc\n");
    auto image = recorded.image;
    const std::string data = pattern('a');
    const auto logged = std::ranges::search(image, data);
    ASSERT_FALSE(logged.empty());
    logged[77] ^= 1;
    ImageDisk disk(std::move(image));
    EXPECT_EQ(replay(disk).error(), Errno::EBADMSG);
}

TEST(Ext4Journal, ForgedLogsDoNoHarm) {
    start_machine();
    std::mt19937 random(1234);
    const Usage before = usage();
    int replayed = 0;
    for (const char* opening : {"jo\n", "jo -c\n"}) {
        Recorded recorded("-b 1024 -J size=1 -O ^metadata_csum",
                          std::string(opening) + "jw -b 5000-5040 %a\njw -r 5003-5010\njw -b 5004 %b\njc\n");
        std::vector<u64> places;
        for (auto type : {ext4::JournalBlock::Descriptor, ext4::JournalBlock::Commit, ext4::JournalBlock::Revoke,
                          ext4::JournalBlock::SuperblockWithFeatures})
            for (u64 block : journal_blocks(recorded.image, type)) places.push_back(block * block_bytes);
        ASSERT_GT(places.size(), 4u);
        for (int round = steps(400, 50); round > 0; --round) {
            ImageDisk disk(recorded.image);
            for (int changes = 1 + static_cast<int>(random() % 4); changes > 0; --changes)
                disk.bytes[places[random() % places.size()] + random() % (random() % 2 ? 64 : block_bytes)] =
                    static_cast<u8>(random());
            auto volume = MUST(ext4::Volume::open(*disk.pages, disk.bytes.size(), "image"));
            replayed +=
                ext4::replay_journal(*volume, *disk.pages, [&] { return disk.pages->write_back(0, disk.bytes.size()); })
                    ? 1
                    : 0;
        }
    }
    EXPECT_GT(replayed, 0);
    EXPECT_EQ(usage(), before);
}

} // namespace
} // namespace linnet::test
