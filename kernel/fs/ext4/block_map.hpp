// Where the blocks of a file lie: in a tree of extents, or, in files of ext2's and ext3's times, in lists of block
// numbers with up to three levels of lists before them.
#pragma once

#include "volume.hpp"

namespace linnet::ext4 {

/// Blocks of a file that lie behind each other on the disk, or are a hole together.
struct Run {
    u64 first = 0; // on the disk; meaningless for what reads as zeros
    u64 count = 0; // at least 1
    enum class Kind : u8 { Hole, Unwritten, Data } kind = Kind::Hole;
};

/// What lies at block `index` of the file, and behind it up to `most` blocks. EUCLEAN, EBADMSG, EIO, ENOMEM, EINTR.
Result<Run> map_blocks(Volume& volume, const DiskInode& inode, u64 index, u64 most);

/// Whether the file's blocks can be found at all: to be asked once, when the inode is loaded. EUCLEAN.
Result<void> check_block_map(const DiskInode& inode);

/// A block of a directory, a symlink or another file whose contents are metadata. EUCLEAN when it is not there.
Result<Block> read_file_block(Volume& volume, const DiskInode& inode, u64 index);

} // namespace linnet::ext4
