// Inodes as they are made and written.
//
// Whoever changes an inode holds the lock of it, and writes it in the same transaction. RawInode::deletion_time is not
// written with the rest: it links the orphans, which change by their neighbours too, and has functions of its own.
#pragma once

#include "metadata_writer.hpp"

namespace linnet::ext4 {

/// An inode's place in its table, to be written to.
class InodePlace {
public:
    /// May sleep. The writer's errors; EUCLEAN for a number that no inode has.
    static Result<InodePlace> change(Volume& volume, MetadataWriter& writer, u32 number);
    /// Copies the inode to its place, with its checksum; but not the deletion time. Can't fail, and may be called
    /// again.
    void store(DiskInode& inode);
    /// The first contents of a place: nothing stays of what lay there.
    void store_new(DiskInode& inode);
    /// Changes nothing but the deletion time.
    void store_deletion_time(u32 value);

private:
    InodePlace(Volume& volume, u32 number, MutableBlock block)
        : volume_(&volume), number_(number), block_(std::move(block)) {}
    [[nodiscard]] std::span<u8> bytes();
    void store_locked(DiskInode& inode);

    Volume* volume_;
    u32 number_;
    MutableBlock block_;
};

/// change() and store().
Result<void> write_inode(Volume& volume, MetadataWriter& writer, DiskInode& inode);

struct NewInode {
    u32 number = 0;
    u16 mode = 0;
    u32 uid = 0, gid = 0;
    u32 generation = 0; // not the same as that of the file before
    u32 flags = 0;      // those that it has from its directory
};
/// An inode in memory, with one link, no times and no contents: an empty tree of extents where the file system has
/// them and the mode is of a file, directory or symlink (a short one's text may take the tree's place, if the flag of
/// extents goes too). ENOMEM.
Result<DiskInode> make_inode(const Volume& volume, const NewInode& what);

/// Adds to the number of blocks that stat(2) tells of: blocks of the file system. EFBIG, without the feature huge_file.
Result<void> add_to_block_count(const Volume& volume, DiskInode& inode, i64 blocks);

} // namespace linnet::ext4
