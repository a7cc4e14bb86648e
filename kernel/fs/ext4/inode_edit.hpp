// What the editors of a file's metadata have in common.
#pragma once

#include "allocator.hpp"
#include "inode_table.hpp"

namespace linnet::ext4 {

/// A change of an inode and of what belongs to it. The editors change the inode in memory; the caller holds its lock,
/// and stores it in the same transaction (InodePlace, best got first so that storing can't fail), also when an editor
/// failed: then what the editor was asked for has not happened, or in functions that work in steps the steps before
/// have, and inode and blocks agree with each other either way.
struct InodeEdit {
    Allocator& allocator;
    MetadataWriter& writer;
    DiskInode& inode;
    Privilege privilege = Privilege::None;

    [[nodiscard]] Volume& volume() const { return allocator.volume(); }
    /// Whether the blocks of the file hold metadata.
    [[nodiscard]] BlockContents contents() const {
        return (inode.raw.mode & mode_kind) == mode_regular ? BlockContents::Data : BlockContents::Metadata;
    }
    /// Where the group of the inode begins.
    [[nodiscard]] u64 home() const {
        return volume().first_block_of((inode.number - 1) / volume().superblock().inodes_per_group);
    }
};

/// Whether its blocks are blocks, not a short symlink's text, data, or the number of a device.
inline bool has_blocks(const DiskInode& inode) {
    if (inode.has(inode_inline_data)) return false;
    const u16 kind = inode.raw.mode & mode_kind;
    return kind == mode_regular || kind == mode_directory ||
           (kind == mode_symlink && inode.size() >= inode_block_bytes);
}

} // namespace linnet::ext4
