// Changes of ext3's lists of block numbers: see file_blocks.hpp, whose functions call these.
#pragma once

#include "inode_edit.hpp"

namespace linnet::ext4 {

/// `index` is that of a hole of at least `most` blocks.
Result<Run> allocate_in_lists(const InodeEdit& edit, u64 index, u64 most);
Result<u64> remove_last_in_lists(const InodeEdit& edit, u64 first, u64 end);

} // namespace linnet::ext4
