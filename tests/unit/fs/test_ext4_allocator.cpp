// Giving out blocks and inodes: nothing twice, everything if need be, and e2fsck agrees.
#include "../mm/machine.hpp"
#include "ext4_disk.hpp"
#include "mutate.hpp"

#include <gtest/gtest.h>
#include <map>
#include <optional>

namespace linnet::test {
namespace {

using ext4::Allocator;
using ext4::BlockContents;
using ext4::BlockFreeing;
using BlockRun = ext4::Run; // tests have a Run of their own
using Disk = Ext4Disk;
using ext4::InodeKind;
using ext4::Privilege;

constexpr const char* shapes[] = {
    "-b 1024 -g 1024",
    "-b 1024 -g 1024 -O ^64bit",
    "-b 1024 -g 2048 -O ^metadata_csum,^64bit,uninit_bg -I 128",
    "-b 1024 -g 2048 -O ^metadata_csum,^64bit,^flex_bg,^uninit_bg",
    "-b 4096 -g 512 -O meta_bg,^resize_inode",
    "-b 4096 -g 512 -G 4",
};

/// The blocks that are given out, by number.
class Blocks {
public:
    void add(const BlockRun& run) {
        for (u64 block = run.first; block < run.first + run.count; ++block)
            EXPECT_TRUE(blocks_.insert(block).second) << "given out twice: " << block;
        runs.push_back(run);
    }
    void remove(usize index) {
        for (u64 i = 0; i < runs[index].count; ++i) blocks_.erase(runs[index].first + i);
        runs[index] = runs.back();
        runs.pop_back();
    }
    [[nodiscard]] usize count() const { return blocks_.size(); }
    std::vector<BlockRun> runs;

private:
    std::set<u64> blocks_;
};

std::vector<u8> image_of(const char* shape, unsigned kilobytes = 12'288) {
    const Folder folder;
    folder.write("file", "contents\n");
    return make_image(folder, shape, kilobytes);
}

TEST(Ext4Allocator, GivesNothingTwice) {
    start_machine();
    std::mt19937 random(17);
    for (const char* shape : shapes) {
        SCOPED_TRACE(shape);
        Disk disk(image_of(shape));
        const auto before = disk.allocator->free_counts();
        Blocks blocks;
        for (int i = 0; i < 1500; ++i) {
            if (random() % 5 == 0 && !blocks.runs.empty()) {
                const usize which = random() % blocks.runs.size();
                ASSERT_TRUE(disk.free(blocks.runs[which]));
                blocks.remove(which);
            } else {
                const u64 most = 1 + random() % (random() % 8 ? 6 : 300);
                const auto run = disk.allocator->allocate_blocks(disk.writer, random() % disk.volume->blocks(), most,
                                                                 Privilege::None);
                if (!run && run.error() == Errno::ENOSPC) continue;
                ASSERT_TRUE(run);
                EXPECT_GE(run->count, 1u);
                EXPECT_LE(run->count, most);
                blocks.add(*run);
            }
            EXPECT_EQ(disk.allocator->free_counts().blocks + blocks.count(), before.blocks);
            if (random() % 16 == 0) disk.writer.committed = disk.writer.number++;
        }
        while (!blocks.runs.empty()) {
            ASSERT_TRUE(disk.free(blocks.runs[0]));
            blocks.remove(0);
        }
        EXPECT_EQ(disk.allocator->free_counts().blocks, before.blocks);
        EXPECT_TRUE(disk.is_clean());
    }
}

TEST(Ext4Allocator, FillsTheDisk) {
    start_machine();
    for (const char* shape : shapes) {
        SCOPED_TRACE(shape);
        Disk disk(image_of(shape));
        const auto& on_disk = disk.volume->superblock();
        const u64 kept = ext4::joined(on_disk.reserved_blocks_count_low, on_disk.reserved_blocks_count_high);
        ASSERT_GT(kept, 0u);
        Blocks blocks;
        auto fill = [&](Privilege privilege) {
            for (;;) {
                const auto run = disk.allocator->allocate_blocks(disk.writer, 0, 1000, privilege);
                if (!run) {
                    EXPECT_EQ(run.error(), Errno::ENOSPC);
                    return disk.allocator->free_counts().blocks;
                }
                blocks.add(*run);
            }
        };
        EXPECT_EQ(fill(Privilege::None), kept);
        EXPECT_EQ(fill(Privilege::MayUseReserved), 0u);
        EXPECT_FALSE(disk.allocator->has_busy_blocks());
        while (!blocks.runs.empty()) {
            ASSERT_TRUE(disk.free(blocks.runs[0]));
            blocks.remove(0);
        }
        EXPECT_TRUE(disk.is_clean());
    }
}

TEST(Ext4Allocator, ComesNearTheGoal) {
    start_machine();
    Disk disk(image_of(shapes[0]));
    const BlockRun first = MUST(disk.allocator->allocate_blocks(disk.writer, 11000, 10, Privilege::None));
    EXPECT_EQ(first.first, 11000u);
    EXPECT_EQ(first.count, 10u);
    const BlockRun next = MUST(disk.allocator->allocate_blocks(disk.writer, 11010, 10, Privilege::None));
    EXPECT_EQ(next.first, 11010u);
    const BlockRun other = MUST(disk.allocator->allocate_blocks(disk.writer, 11005, 10, Privilege::None));
    EXPECT_EQ(other.first, 11020u);
}

TEST(Ext4Allocator, FreedBlocksWaitForTheCommit) {
    start_machine();
    Disk disk(image_of(shapes[0]));
    Blocks blocks;
    while (auto run = disk.allocator->allocate_blocks(disk.writer, 0, 1000, Privilege::MayUseReserved))
        blocks.add(*run);
    const BlockRun run = blocks.runs[0];
    auto half = [&](int which) {
        return BlockRun{run.first + which * (run.count / 2), run.count / 2, ext4::Run::Kind::Data};
    };
    ASSERT_TRUE(disk.free(half(0)));
    disk.writer.number = 2;
    ASSERT_TRUE(disk.free(half(1)));
    auto allocate = [&] { return disk.allocator->allocate_blocks(disk.writer, 0, 1000, Privilege::MayUseReserved); };
    EXPECT_EQ(allocate().error(), Errno::ENOSPC);
    EXPECT_TRUE(disk.allocator->has_busy_blocks());
    disk.writer.committed = 1;
    const auto again = allocate();
    ASSERT_TRUE(again);
    EXPECT_EQ(again->first, half(0).first);
    EXPECT_EQ(again->count, half(0).count);
    EXPECT_EQ(allocate().error(), Errno::ENOSPC);
    disk.writer.committed = 2;
    EXPECT_EQ(allocate()->first, half(1).first);
    EXPECT_FALSE(disk.allocator->has_busy_blocks());
    // What was allocated in the same transaction is free at once.
    ASSERT_TRUE(disk.allocator->undo_blocks(disk.writer, half(1)));
    EXPECT_EQ(allocate()->first, half(1).first);
}

TEST(Ext4Allocator, RefusesToFreeWhatIsNotInUse) {
    start_machine();
    for (const char* shape : shapes) {
        SCOPED_TRACE(shape);
        Disk disk(image_of(shape));
        const u64 table = disk.volume->inode_table(1), last = disk.volume->blocks() - 1;
        for (u64 block : {u64{0}, disk.volume->first_block_of(0), u64{2}, table, table + 3, last, last + 1, ~u64{0}})
            EXPECT_EQ(disk.free({block, 1}).error(), Errno::EUCLEAN) << block;
        EXPECT_EQ(disk.free({last, ~u64{0} - 5}).error(), Errno::EUCLEAN);
        EXPECT_EQ(disk.allocator->free_inode(disk.writer, 8, InodeKind::Other).error(), Errno::EUCLEAN);
        EXPECT_EQ(disk.allocator->free_inode(disk.writer, 300, InodeKind::Other).error(), Errno::EUCLEAN);
        EXPECT_TRUE(disk.is_clean());
    }
}

TEST(Ext4Allocator, GivesInodes) {
    start_machine();
    std::mt19937 random(5);
    for (const char* shape : shapes) {
        SCOPED_TRACE(shape);
        Disk disk(image_of(shape));
        const auto before = disk.allocator->free_counts();
        std::map<u32, InodeKind> inodes;
        auto allocate = [&]() -> Result<void> {
            const InodeKind kind = random() % 3 ? InodeKind::Other : InodeKind::Directory;
            const u32 parent = inodes.empty() || random() % 4 == 0 ? ext4::root_inode : inodes.begin()->first;
            const u32 number = TRY(disk.allocator->allocate_inode(disk.writer, parent, kind));
            EXPECT_GE(number, 12u); // lost+found has the first
            EXPECT_TRUE(inodes.emplace(number, kind).second) << "given out twice: " << number;
            return {};
        };
        auto free_one = [&] {
            const auto which = std::next(inodes.begin(), static_cast<i64>(random() % inodes.size()));
            ASSERT_TRUE(disk.allocator->free_inode(disk.writer, which->first, which->second));
            inodes.erase(which);
        };
        for (int i = 0; i < 300; ++i) {
            if (random() % 3 == 0 && !inodes.empty())
                free_one();
            else
                ASSERT_TRUE(allocate());
        }
        while (allocate()) {
        }
        EXPECT_EQ(inodes.size(), before.inodes);
        EXPECT_EQ(allocate().error(), Errno::ENOSPC);
        while (!inodes.empty()) free_one();
        EXPECT_TRUE(disk.is_clean());
    }
}

TEST(Ext4Allocator, PutsFilesNearAndSpreadsDirectories) {
    start_machine();
    Disk disk(image_of(shapes[0]));
    auto group_of = [&](u32 number) { return (number - 1) / disk.volume->superblock().inodes_per_group; };
    std::set<u32> groups;
    u32 directory = 0;
    for (int i = 0; i < 4; ++i) {
        directory = MUST(disk.allocator->allocate_inode(disk.writer, ext4::root_inode, InodeKind::Directory));
        groups.insert(group_of(directory));
    }
    EXPECT_EQ(groups.size(), 4u);
    for (int i = 0; i < 5; ++i)
        EXPECT_EQ(group_of(MUST(disk.allocator->allocate_inode(disk.writer, directory, InodeKind::Other))),
                  group_of(directory));
}

/// Whatever call fails, nothing has changed.
TEST(Ext4Allocator, FailuresChangeNothing) {
    start_machine();
    for (const char* shape : shapes) {
        SCOPED_TRACE(shape);
        Disk disk(image_of(shape));
        const auto before = disk.allocator->free_counts();
        const BlockRun run = MUST(disk.allocator->allocate_blocks(disk.writer, 1, 20, Privilege::None));
        const u32 inode = MUST(disk.allocator->allocate_inode(disk.writer, 2, InodeKind::Directory));
        const auto then = disk.allocator->free_counts();
        auto fails = [&](auto operation) {
            for (int failing = 0;; ++failing) {
                disk.writer.fails_at = disk.writer.calls + failing;
                const bool done = operation().has_value();
                disk.writer.fails_at = -1;
                if (done) return;
                EXPECT_EQ(disk.allocator->free_counts().blocks, then.blocks);
                EXPECT_EQ(disk.allocator->free_counts().inodes, then.inodes);
                ASSERT_LT(failing, 100);
            }
        };
        std::optional<BlockRun> more;
        fails([&]() -> Result<void> {
            more = TRY(disk.allocator->allocate_blocks(disk.writer, 0, 5, Privilege::None));
            return {};
        });
        ASSERT_TRUE(disk.free(*more));
        u32 other = 0;
        fails([&]() -> Result<void> {
            other = TRY(disk.allocator->allocate_inode(disk.writer, 2, InodeKind::Directory));
            return {};
        });
        ASSERT_TRUE(disk.allocator->free_inode(disk.writer, other, InodeKind::Directory));
        fails([&] { return disk.allocator->undo_blocks(disk.writer, run); });
        EXPECT_EQ(disk.allocator->free_counts().blocks, before.blocks);
        EXPECT_TRUE(disk.allocator->free_inode(disk.writer, inode, InodeKind::Directory));
        EXPECT_TRUE(disk.is_clean());
    }
}

TEST(Ext4Allocator, DamagedBitmapsAreLeftAlone) {
    start_machine();
    std::mt19937 random(23);
    const auto image = image_of("-b 1024 -g 1024 -O ^metadata_csum,^uninit_bg,^64bit,^flex_bg", 4096);
    for (int round = steps(60, 30); round > 0; --round) {
        auto hurt = image;
        for (int changes = 1 + static_cast<int>(random() % 40); changes > 0; --changes)
            hurt[1024 + random() % (64 * 1024)] = static_cast<u8>(random());
        ImageDisk image_disk(hurt);
        auto volume = ext4::Volume::open(*image_disk.pages, image_disk.bytes.size(), "image");
        if (!volume) continue;
        auto allocator = Allocator::create(**volume);
        if (!allocator) continue;
        ImageWriter writer(image_disk, **volume);
        Blocks blocks;
        for (int i = 0; i < 100; ++i) {
            if (auto run = (*allocator)->allocate_blocks(writer, random() % 5000, 1 + random() % 50, Privilege::None))
                blocks.add(*run);
            (void)(*allocator)->allocate_inode(writer, 2, InodeKind::Directory);
            (void)(*allocator)->free_inode(writer, static_cast<u32>(random() % 600), InodeKind::Other);
            BlockFreeing freeing(**allocator, writer);
            if (freeing.add(random() % 5000, 1 + random() % 50, BlockContents::Metadata)) (void)freeing.finish();
        }
    }
}

TEST(Ext4Allocator, RefusesFeaturesItDoesNotKnow) {
    start_machine();
    for (const char* shape : {"-b 1024 -O bigalloc -C 4096", "-b 1024 -O quota"}) {
        ImageDisk disk(image_of(shape));
        auto volume = MUST(ext4::Volume::open(*disk.pages, disk.bytes.size(), "image"));
        EXPECT_EQ(Allocator::create(*volume).error(), Errno::EROFS) << shape;
    }
}

} // namespace
} // namespace linnet::test
