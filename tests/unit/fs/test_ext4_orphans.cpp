// The list of orphans, and the file in which Linux may keep them.
#include "../mm/machine.hpp"
#include "attribute_edit.hpp"
#include "directory_edit.hpp"
#include "ext4_disk.hpp"
#include "file_blocks.hpp"
#include "orphan_file.hpp"

#include <gtest/gtest.h>
#include <lib/crc32c.hpp>
#include <random>

namespace linnet::test {
namespace {

using ext4::DiskInode;
using ext4::InodePlace;

constexpr int files = 60;

std::vector<u8> image_of(const char* shape) {
    const Folder folder;
    for (int i = 0; i < files; ++i) folder.write("file" + std::to_string(i), std::string(3000, 'x'));
    return make_image(folder, shape, 4096);
}

DiskInode inode_of(Ext4Disk& disk, int file) {
    const auto root = MUST(disk.volume->read_inode(ext4::root_inode));
    return MUST(disk.volume->read_inode(MUST(ext4::Directory(*disk.volume, root).find("file" + std::to_string(file)))));
}

/// Takes a file's name away, and leaves the rest.
u32 unlink(Ext4Disk& disk, int file) {
    DiskInode inode = inode_of(disk, file);
    auto root = MUST(disk.volume->read_inode(ext4::root_inode));
    MUST(ext4::DirectoryEditor({*disk.allocator, disk.writer, root}).remove("file" + std::to_string(file)));
    inode.raw.link_count = 0;
    MUST(ext4::write_inode(*disk.volume, disk.writer, inode));
    return inode.number;
}

/// A size that the blocks go beyond, as a crash amid a truncation leaves it.
u32 shorten(Ext4Disk& disk, int file) {
    DiskInode inode = inode_of(disk, file);
    inode.raw.size_low = 10;
    MUST(ext4::write_inode(*disk.volume, disk.writer, inode));
    return inode.number;
}

/// What a mount does for the inodes in the list.
void free_all(Ext4Disk& disk, ext4::OrphanList& orphans) {
    while (!orphans.is_empty()) {
        const u32 number = orphans.last();
        DiskInode inode = MUST(disk.volume->read_orphan(number));
        const bool is_nameless = inode.raw.link_count == 0;
        const ext4::InodeEdit edit{*disk.allocator, disk.writer, inode};
        const u64 first = is_nameless ? 0 : divide_up<u64>(inode.size(), disk.volume->block_size());
        for (u64 end = ext4::no_end; end > first;) end = MUST(ext4::free_last_blocks(edit, first, end));
        auto place = MUST(InodePlace::change(*disk.volume, disk.writer, number));
        MUST(orphans.remove(disk.writer, number, place, is_nameless ? 1'700'000'000 : 0));
        place.store(inode);
        if (is_nameless) MUST(disk.allocator->free_inode(disk.writer, number, ext4::InodeKind::Other));
    }
}

TEST(Ext4Orphans, TheListIsFoundAgain) {
    start_machine();
    std::mt19937 random(4);
    for (const char* shape : {"-b 1024", "-b 1024 -I 128 -O ^metadata_csum,^64bit"}) {
        Ext4Disk disk(image_of(shape));
        ext4::OrphanList orphans(*disk.volume);
        MUST(orphans.load());
        EXPECT_TRUE(orphans.is_empty());
        std::vector<u32> numbers, in_list;
        for (int i = 0; i < files; ++i) numbers.push_back(unlink(disk, i));
        for (int i = 0; i < 500; ++i) {
            const u32 number = numbers[random() % numbers.size()];
            auto place = MUST(InodePlace::change(*disk.volume, disk.writer, number));
            const auto known = std::ranges::find(in_list, number);
            const bool is_known = known != in_list.end();
            EXPECT_EQ(orphans.contains(number), is_known);
            disk.writer.fails_at = random() % 3 ? -1 : disk.writer.calls;
            const auto done =
                is_known ? orphans.remove(disk.writer, number, place, 1) : orphans.add(disk.writer, number, place);
            disk.writer.fails_at = -1;
            if (done && is_known) in_list.erase(known);
            if (done && !is_known) in_list.push_back(number);
            if (i % 10) continue;
            ext4::OrphanList again(*disk.volume);
            MUST(again.load());
            ASSERT_EQ(again.is_empty(), in_list.empty());
            std::vector<u32> found; // from the head, which came last
            for (u32 next = disk.volume->superblock().last_orphan; next != 0;) {
                found.insert(found.begin(), next);
                next = MUST(disk.volume->read_orphan(next)).raw.deletion_time;
            }
            ASSERT_EQ(found, in_list);
        }
        for (const u32 number : numbers) {
            auto place = MUST(InodePlace::change(*disk.volume, disk.writer, number));
            if (orphans.contains(number)) {
                EXPECT_EQ(orphans.add(disk.writer, number, place).error(), Errno::EUCLEAN);
                continue;
            }
            MUST(orphans.add(disk.writer, number, place));
        }
        free_all(disk, orphans);
        EXPECT_TRUE(disk.is_clean());
    }
}

TEST(Ext4Orphans, ListsThatGoInCirclesAreDamage) {
    start_machine();
    Ext4Disk disk(image_of("-b 1024"));
    const u32 one = unlink(disk, 0), other = unlink(disk, 1);
    MUST(InodePlace::change(*disk.volume, disk.writer, one)).store_deletion_time(other);
    MUST(InodePlace::change(*disk.volume, disk.writer, other)).store_deletion_time(one);
    MUST(ext4::change_superblock(*disk.volume, disk.writer, [&](auto& superblock) { superblock.last_orphan = one; }));
    EXPECT_EQ(ext4::OrphanList(*disk.volume).load().error(), Errno::EUCLEAN);
    MUST(
        ext4::change_superblock(*disk.volume, disk.writer, [&](auto& superblock) { superblock.last_orphan = 99'999; }));
    EXPECT_EQ(ext4::OrphanList(*disk.volume).load().error(), Errno::EUCLEAN);
}

/// Linux's file of orphans in an image, with these in it.
std::vector<u8> with_orphan_file(const char* shape) {
    Ext4Disk disk(image_of(shape));
    const auto file = MUST(disk.volume->read_reserved_inode(disk.volume->superblock().orphan_file_inode));
    const auto run = MUST(ext4::map_blocks(*disk.volume, file, 1, 1));
    auto block = MUST(disk.writer.change(run.first));
    for (int i = 0; i < files; ++i)
        block.at<u32>(static_cast<usize>(i) * 4) = i % 3 ? unlink(disk, i) : shorten(disk, i);
    block.at<u32>(800) = 99'999; // no inode
    block.at<u32>(804) = block.at<u32>(0);
    if (disk.volume->has_checksums())
        block.at<u32>(1020) = crc32c(crc32c_of(file.checksum_seed, run.first), block.bytes().first(1016));
    MUST(ext4::change_superblock(*disk.volume, disk.writer, [](auto& superblock) {
        superblock.feature_ro_compat |= ext4::ro_compat_orphans_in_file;
    }));
    MUST(disk.allocator->store_totals(disk.writer));
    return disk.image.stored();
}

TEST(Ext4Orphans, WhatIsInTheFileComesToTheList) {
    start_machine();
    for (const char* shape : {"-b 1024 -O orphan_file", "-b 1024 -O orphan_file,^metadata_csum"}) {
        SCOPED_TRACE(shape);
        Ext4Disk disk(with_orphan_file(shape));
        ext4::OrphanList orphans(*disk.volume);
        MUST(orphans.load());
        int most_changes = 0;
        MUST(ext4::move_orphans_from_file(*disk.volume, orphans, [&](ext4::Change change) {
            const int calls = disk.writer.calls;
            auto done = change(disk.writer);
            most_changes = std::max(most_changes, disk.writer.calls - calls);
            return done;
        }));
        EXPECT_LE(most_changes, static_cast<int>(ext4::most_changes_of_orphan_file));
        EXPECT_EQ(disk.volume->superblock().feature_ro_compat & ext4::ro_compat_orphans_in_file, 0u);
        free_all(disk, orphans);
        EXPECT_TRUE(disk.is_clean());
        EXPECT_EQ(inode_of(disk, 3).size(), 10u);
    }
}

TEST(Ext4Orphans, ADamagedFileIsAnError) {
    start_machine();
    auto image = with_orphan_file("-b 1024 -O orphan_file");
    u64 place = 0;
    {
        Ext4Disk disk(image);
        const auto file = MUST(disk.volume->read_reserved_inode(disk.volume->superblock().orphan_file_inode));
        place = MUST(ext4::map_blocks(*disk.volume, file, 1, 1)).first * 1024;
    }
    for (const auto& [offset, wanted] : {std::pair{8, Errno::EBADMSG}, std::pair{1016, Errno::EUCLEAN}}) {
        auto hurt = image;
        hurt[place + static_cast<u64>(offset)] ^= 1;
        Ext4Disk disk(hurt);
        ext4::OrphanList orphans(*disk.volume);
        MUST(orphans.load());
        const auto done = ext4::move_orphans_from_file(*disk.volume, orphans,
                                                       [&](ext4::Change change) { return change(disk.writer); });
        EXPECT_EQ(done.error(), wanted);
    }
}

} // namespace
} // namespace linnet::test
