// Files in memory without a name in the tree: memfd_create(2), with its seals.
#pragma once

#include <vfs/file.hpp>

namespace linnet::vfs {

/// An open file on an inode with pages. `name` is shown as "/memfd:NAME (deleted)".
Result<RefPtr<File>> create_memory_file(RefPtr<Inode> inode, std::string_view name, u32 flags);

} // namespace linnet::vfs
