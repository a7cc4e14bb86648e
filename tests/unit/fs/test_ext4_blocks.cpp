// Files get blocks and lose them: what is mapped is what a model says, and e2fsck agrees.
#include "../mm/machine.hpp"
#include "directory.hpp"
#include "ext4_disk.hpp"
#include "file_blocks.hpp"
#include "mutate.hpp"

#include <gtest/gtest.h>
#include <map>

namespace linnet::test {
namespace {

using BlockRun = ext4::Run;
using Kind = BlockRun::Kind;

constexpr const char* shapes[] = {
    "-b 1024 -g 4096",
    "-b 4096 -g 1024",
    "-b 1024 -g 2048 -O ^metadata_csum,^64bit -I 128",
    "-b 1024 -g 2048 -O ^extents,^metadata_csum,^64bit,^flex_bg",
    "-b 1024 -g 2048 -O ^extents,^64bit,^huge_file",
};

std::vector<u8> image_of(const char* shape, unsigned kilobytes = 12'288) {
    const Folder folder;
    folder.write("file", "");
    folder.write("other", "");
    return make_image(folder, shape, kilobytes);
}

/// A file whose blocks are known.
class File {
public:
    File(Ext4Disk& disk, const char* name) : disk_(disk) {
        const auto root = MUST(disk.volume->read_inode(ext4::root_inode));
        inode_ = MUST(disk.volume->read_inode(MUST(ext4::Directory(*disk.volume, root).find(name))));
    }
    ext4::InodeEdit edit() { return {*disk_.allocator, disk_.writer, inode_, ext4::Privilege::None}; }
    [[nodiscard]] bool has_extents() const { return inode_.has(ext4::inode_extents); }

    Result<void> allocate(u64 index, u64 most, Kind kind) {
        const auto result = ext4::allocate_file_blocks(edit(), index, most, kind);
        if (blocks.contains(index)) {
            EXPECT_EQ(result.error(), Errno::EEXIST);
            return {};
        }
        const BlockRun run = TRY(result);
        EXPECT_EQ(run.kind, kind);
        EXPECT_GE(run.count, 1u);
        EXPECT_LE(run.count, most);
        for (u64 i = 0; i < run.count; ++i)
            EXPECT_TRUE(blocks.emplace(index + i, Mapped{run.first + i, kind}).second) << index + i;
        return {};
    }
    Result<void> mark_written(u64 index, u64 count) {
        const auto done = ext4::mark_file_blocks_written(edit(), index, count);
        for (auto at = blocks.lower_bound(index); at != blocks.end() && at->first < index + count; ++at) {
            // Where it failed, the first of them are done.
            if (!done && MUST(ext4::map_blocks(*disk_.volume, inode_, at->first, 1)).kind != Kind::Data) break;
            at->second.kind = Kind::Data;
        }
        return done;
    }
    Result<void> free(u64 first, u64 end) {
        while (first < end) {
            const u64 reached = TRY(ext4::free_last_blocks(edit(), first, end));
            EXPECT_GE(reached, first);
            EXPECT_LT(reached, end);
            blocks.erase(blocks.lower_bound(reached), blocks.lower_bound(end));
            end = reached;
        }
        return {};
    }
    /// Takes `distance` blocks before `from` out of the file.
    Result<void> close_gap(u64 from, u64 distance) {
        TRY(free(from - distance, from));
        while (from != ext4::no_end) {
            const u64 reached = TRY(ext4::close_gap(edit(), from, distance));
            EXPECT_GT(reached, from);
            move(from, reached, -static_cast<i64>(distance));
            from = reached;
        }
        return {};
    }
    Result<void> open_gap(u64 from, u64 distance) {
        for (u64 until = ext4::no_end; until != from;) {
            const u64 reached = TRY(ext4::open_gap(edit(), from, until, distance));
            EXPECT_LT(reached, until);
            EXPECT_GE(reached, from);
            move(reached, until, static_cast<i64>(distance));
            until = reached;
        }
        return {};
    }
    /// Writes the inode, so that e2fsck sees what is there.
    void store() {
        const u64 size = blocks.empty() ? 0 : (blocks.rbegin()->first + 1) * disk_.volume->block_size();
        inode_.raw.size_low = static_cast<u32>(size);
        inode_.raw.size_high = static_cast<u32>(size >> 32);
        MUST(ext4::write_inode(*disk_.volume, disk_.writer, inode_));
    }
    void check() {
        const u64 end = blocks.empty() ? 10 : blocks.rbegin()->first + 10;
        for (u64 index = 0; index < end;) {
            const BlockRun run = MUST(ext4::map_blocks(*disk_.volume, inode_, index, end - index));
            ASSERT_GE(run.count, 1u);
            if (run.kind == Kind::Hole) {
                ASSERT_EQ(blocks.lower_bound(index), blocks.lower_bound(index + run.count)) << index;
            } else {
                for (u64 i = 0; i < run.count; ++i) {
                    ASSERT_TRUE(blocks.contains(index + i)) << index + i;
                    ASSERT_EQ(blocks[index + i].block, run.first + i) << index + i;
                    ASSERT_EQ(blocks[index + i].kind, run.kind) << index + i;
                }
            }
            index += run.count;
        }
    }

    struct Mapped {
        u64 block;
        Kind kind;
    };
    std::map<u64, Mapped> blocks; // by index

private:
    void move(u64 begin, u64 end, i64 distance) {
        std::map<u64, Mapped> moved;
        const auto first = blocks.lower_bound(begin), last = blocks.lower_bound(end);
        for (auto at = first; at != last; ++at) moved.emplace(at->first + distance, at->second);
        blocks.erase(first, last);
        for (const auto& [index, mapped] : moved) EXPECT_TRUE(blocks.emplace(index, mapped).second) << index;
    }

    Ext4Disk& disk_;
    ext4::DiskInode inode_;
};

/// Something that may happen to a file.
Result<void> change_somehow(File& file, std::mt19937& random, u64 reach) {
    const u64 index = random() % 3 ? random() % reach : random() % 40;
    const u64 count = 1 + random() % (random() % 10 ? 4 : 100);
    switch (random() % 10) {
    case 0:
        return file.free(index, index + count);
    case 8:
        return file.has_extents() ? file.close_gap(index + count, count) : Result<void>();
    case 9:
        return file.has_extents() ? file.open_gap(index, count) : Result<void>();
    case 1:
    case 2:
        return file.mark_written(index, count);
    case 3:
        return random() % 20 ? Result<void>() : file.free(index, ext4::no_end);
    case 4:
        return file.allocate(index, count, file.has_extents() ? Kind::Unwritten : Kind::Data);
    default:
        return file.allocate(index, count, Kind::Data);
    }
}

TEST(Ext4Blocks, FilesHaveWhatTheyWereGiven) {
    start_machine();
    std::mt19937 random(99);
    for (const char* shape : shapes) {
        for (const u64 reach : {300u, 200'000u}) {
            SCOPED_TRACE(shape);
            Ext4Disk disk(image_of(shape));
            const auto before = disk.allocator->free_counts();
            File file(disk, "file"), other(disk, "other");
            for (int i = 0; i < 3000; ++i) {
                const auto done = change_somehow(i % 5 ? file : other, random, reach);
                if (!done) ASSERT_EQ(done.error(), Errno::ENOSPC);
                if (i % 10 == 0) disk.writer.committed = disk.writer.number++;
                if (i % 500 == 0) file.check();
            }
            file.check(), other.check();
            file.store(), other.store();
            ASSERT_TRUE(disk.is_clean());
            MUST(other.free(0, ext4::no_end));
            MUST(file.free(5, ext4::no_end));
            file.check(), other.check();
            MUST(file.free(0, ext4::no_end));
            file.check();
            file.store(), other.store();
            EXPECT_EQ(disk.allocator->free_counts().blocks, before.blocks);
            EXPECT_TRUE(disk.is_clean());
        }
    }
}

/// Every second block: the most nodes that there can be.
TEST(Ext4Blocks, TreesGrowAndShrink) {
    start_machine();
    for (const char* shape : shapes) {
        SCOPED_TRACE(shape);
        for (const bool is_upward : {true, false}) {
            Ext4Disk disk(image_of(shape));
            const auto before = disk.allocator->free_counts();
            File file(disk, "file");
            constexpr u64 count = 1600;
            for (u64 i = 0; i < count; ++i) ASSERT_TRUE(file.allocate((is_upward ? i : count - i) * 2, 1, Kind::Data));
            file.check();
            file.store();
            EXPECT_TRUE(disk.is_clean());
            for (u64 i = 0; i < count; ++i) ASSERT_TRUE(file.free(i * 2, i * 2 + 1));
            ASSERT_TRUE(file.free(0, ext4::no_end));
            file.check();
            file.store();
            EXPECT_TRUE(disk.is_clean());
            EXPECT_EQ(disk.allocator->free_counts().blocks, before.blocks);
        }
    }
}

/// Deep trees, at every place of a leaf and at their borders.
TEST(Ext4Blocks, GapsOpenAndClose) {
    start_machine();
    for (const char* shape : {shapes[0], shapes[2]}) {
        SCOPED_TRACE(shape);
        Ext4Disk disk(image_of(shape));
        File file(disk, "file");
        for (u64 i = 0; i < 900; ++i) ASSERT_TRUE(file.allocate(i * 3, 2, i % 7 ? Kind::Data : Kind::Unwritten));
        const auto before = file.blocks;
        for (u64 from : {0u, 1u, 2u, 250u, 251u, 252u, 1000u, 2690u, 2698u, 5000u}) {
            ASSERT_TRUE(file.open_gap(from, 17)) << from;
            file.check();
            ASSERT_EQ(file.blocks.size(), before.size());
            ASSERT_TRUE(file.close_gap(from + 17, 17)) << from;
            file.check();
            for (const auto& [index, mapped] : before) ASSERT_EQ(file.blocks.at(index).block, mapped.block);
        }
        ASSERT_TRUE(file.open_gap(100, 1'000'000));
        file.check();
        ASSERT_TRUE(file.close_gap(1'001'000, 1000));
        file.check();
        file.store();
        EXPECT_TRUE(disk.is_clean());
        ASSERT_TRUE(file.close_gap(1'003'000, 1'000'000));
        file.check();
        file.store();
        EXPECT_TRUE(disk.is_clean());
    }
}

TEST(Ext4Blocks, GapsHaveLimits) {
    start_machine();
    Ext4Disk disk(image_of(shapes[0]));
    File file(disk, "file");
    ASSERT_TRUE(file.allocate(0, 5, Kind::Data));
    ASSERT_TRUE(file.allocate(0xffff'fff0, 2, Kind::Data));
    EXPECT_EQ(file.open_gap(2, 14).error(), Errno::EFBIG);
    EXPECT_EQ(file.open_gap(2, u64{1} << 40).error(), Errno::EFBIG);
    file.check();
    ASSERT_TRUE(file.open_gap(2, 13));
    file.check();
    ASSERT_TRUE(file.close_gap(0xffff'fffd, 0xffff'fff0));
    file.check();
    Ext4Disk old(image_of(shapes[3]));
    File lists(old, "file");
    EXPECT_EQ(lists.open_gap(0, 1).error(), Errno::EOPNOTSUPP);
    EXPECT_EQ(lists.close_gap(5, 1).error(), Errno::EOPNOTSUPP);
}

TEST(Ext4Blocks, LongRunsAreFewExtents) {
    start_machine();
    Ext4Disk disk(image_of("-b 1024", 65'536));
    File file(disk, "file");
    const auto before = disk.allocator->free_counts();
    while (file.blocks.size() < 40'000)
        ASSERT_TRUE(file.allocate(file.blocks.size(), 40'000 - file.blocks.size(), Kind::Unwritten));
    EXPECT_LE(before.blocks - disk.allocator->free_counts().blocks, 40'001u); // with at most one node
    file.check();
    ASSERT_TRUE(file.mark_written(10'000, 25'000));
    file.check();
    file.store();
    EXPECT_TRUE(disk.is_clean());
    ASSERT_TRUE(file.free(100, 39'000));
    file.check();
    file.store();
    EXPECT_TRUE(disk.is_clean());
}

TEST(Ext4Blocks, AFullDiskIsAnError) {
    start_machine();
    for (const char* shape : shapes) {
        SCOPED_TRACE(shape);
        Ext4Disk disk(image_of(shape, 6'144));
        File file(disk, "file");
        Result<void> done;
        for (u64 index = 0; done; index += 3) done = file.allocate(index, 1, Kind::Data);
        EXPECT_EQ(done.error(), Errno::ENOSPC);
        file.check();
        file.store();
        EXPECT_TRUE(disk.is_clean());
    }
}

TEST(Ext4Blocks, FilesEndSomewhere) {
    start_machine();
    Ext4Disk disk(image_of(shapes[0]));
    File file(disk, "file");
    EXPECT_TRUE(file.allocate(0xffff'fffd, 10, Kind::Data));
    EXPECT_EQ(file.blocks.size(), 2u);
    EXPECT_EQ(file.allocate(0xffff'ffff, 1, Kind::Data).error(), Errno::EFBIG);
    EXPECT_EQ(file.allocate(u64{1} << 40, 1, Kind::Data).error(), Errno::EFBIG);
    ASSERT_TRUE(file.free(0, ext4::no_end));
    Ext4Disk old(image_of(shapes[3]));
    File lists(old, "file");
    EXPECT_TRUE(lists.allocate(12 + 256 + 256 * 256 + 256 * 256 * 256 - 1, 10, Kind::Data));
    EXPECT_EQ(lists.blocks.size(), 1u);
    EXPECT_EQ(lists.allocate(12 + 256 + 256 * 256 + 256 * 256 * 256, 1, Kind::Data).error(), Errno::EFBIG);
    EXPECT_EQ(lists.allocate(5, 1, Kind::Unwritten).error(), Errno::EOPNOTSUPP);
    lists.check();
    lists.store();
    EXPECT_TRUE(old.is_clean());
    ASSERT_TRUE(lists.free(0, ext4::no_end));
    lists.check();
    lists.store();
    EXPECT_TRUE(old.is_clean());
}

/// Whatever call of the writer fails, model and disk agree, and what failed can be done again.
TEST(Ext4Blocks, FailuresLeaveOrder) {
    start_machine();
    for (const char* shape : shapes) {
        SCOPED_TRACE(shape);
        std::mt19937 random(3);
        Ext4Disk disk(image_of(shape));
        const auto before = disk.allocator->free_counts();
        File file(disk, "file");
        for (u64 i = 0; i < 340; ++i) ASSERT_TRUE(file.allocate(i * 2, 1, Kind::Data)); // full nodes
        int failures = 0;
        for (int i = 0; i < 500; ++i) {
            const auto seed = random();
            for (int failing = 0;; ++failing) {
                std::mt19937 again(seed);
                disk.writer.fails_at = disk.writer.calls + failing;
                const auto done = change_somehow(file, again, 700);
                disk.writer.fails_at = -1;
                if (done) break;
                ASSERT_EQ(done.error(), Errno::EIO);
                ++failures;
                file.check();
                ASSERT_LT(failing, 1000);
            }
            disk.writer.committed = disk.writer.number++;
        }
        EXPECT_GT(failures, 500);
        file.check();
        file.store();
        EXPECT_TRUE(disk.is_clean());
        MUST(file.free(0, ext4::no_end));
        file.store();
        EXPECT_EQ(disk.allocator->free_counts().blocks, before.blocks);
        EXPECT_TRUE(disk.is_clean());
    }
}

/// One step changes no more than is said.
TEST(Ext4Blocks, StepsAreSmall) {
    start_machine();
    for (const char* shape : shapes) {
        SCOPED_TRACE(shape);
        std::mt19937 random(8);
        Ext4Disk disk(image_of(shape));
        File file(disk, "file");
        for (int i = 0; i < 2000; ++i) {
            const int calls = disk.writer.calls;
            (void)file.allocate(random() % 5000, 1 + random() % 9, Kind::Data);
            EXPECT_LE(disk.writer.calls - calls, static_cast<int>(ext4::most_changes_of_step));
        }
        for (int i = 0; file.has_extents() && i < 200; ++i) {
            int calls = disk.writer.calls;
            (void)ext4::open_gap(file.edit(), random() % 5000, ext4::no_end, 1);
            EXPECT_LE(disk.writer.calls - calls, static_cast<int>(ext4::most_changes_of_step));
            calls = disk.writer.calls;
            (void)ext4::close_gap(file.edit(), 1 + random() % 5000, 1);
            EXPECT_LE(disk.writer.calls - calls, static_cast<int>(ext4::most_changes_of_step));
        }
        for (u64 end = 6000; end > 0;) {
            const int calls = disk.writer.calls;
            end = MUST(ext4::free_last_blocks(file.edit(), 0, end));
            EXPECT_LE(disk.writer.calls - calls, static_cast<int>(ext4::most_changes_of_step));
        }
    }
}

TEST(Ext4Blocks, DamageIsAnErrorAndNoMore) {
    start_machine();
    std::mt19937 random(12);
    for (const char* shape : {"-b 1024 -O ^metadata_csum,^64bit", "-b 1024 -O ^extents,^metadata_csum,^64bit"}) {
        std::vector<u8> image;
        std::set<u64> nodes;
        {
            Ext4Disk disk(image_of(shape, 4096));
            File file(disk, "file");
            for (u64 i = 0; i < 400; ++i) ASSERT_TRUE(file.allocate(i * 2, 1, Kind::Data));
            file.store();
            for (const auto& [index, mapped] : file.blocks) nodes.insert(mapped.block + 1); // some are nodes
            image = disk.image.stored();
        }
        for (int round = steps(150, 20); round > 0; --round) {
            auto hurt = image;
            for (int changes = 1 + static_cast<int>(random() % 20); changes > 0; --changes) {
                auto node = nodes.begin();
                std::advance(node, random() % nodes.size());
                const u64 place = random() % 3 ? *node * 1024 + random() % 1024 : 4096 + random() % 100'000;
                hurt[place] = static_cast<u8>(random() % 2 ? random() : random() % 5);
            }
            ImageDisk image_disk(hurt);
            auto volume = ext4::Volume::open(*image_disk.pages, image_disk.bytes.size(), "image");
            if (!volume) continue;
            auto allocator = ext4::Allocator::create(**volume);
            const auto root = (*volume)->read_inode(ext4::root_inode);
            if (!allocator || !root) continue;
            const auto number = ext4::Directory(**volume, *root).find("file");
            auto inode = number ? (*volume)->read_inode(*number) : error(Errno::ENOENT);
            if (!inode) continue;
            ImageWriter writer(image_disk, **volume);
            const ext4::InodeEdit edit{**allocator, writer, *inode};
            for (int i = 0; i < 50; ++i) {
                (void)ext4::allocate_file_blocks(edit, random() % 1000, 1 + random() % 5, Kind::Data);
                (void)ext4::mark_file_blocks_written(edit, random() % 1000, 1 + random() % 5);
                (void)ext4::close_gap(edit, 100 + random() % 1000, 1 + random() % 50);
                (void)ext4::open_gap(edit, random() % 500, random() % 2 ? ext4::no_end : 500 + random() % 500, 3);
            }
            for (u64 end = ext4::no_end; end > 0;) {
                const auto reached = ext4::free_last_blocks(edit, 0, end);
                if (!reached) break;
                ASSERT_LT(*reached, end);
                end = *reached;
            }
        }
    }
}

} // namespace
} // namespace linnet::test
