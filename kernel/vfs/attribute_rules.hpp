// Rules about who may change what of an inode's attributes, shared by open, write and the attribute calls.
#pragma once

#include <vfs/credentials.hpp>
#include <vfs/path.hpp>

namespace linnet::vfs {

/// A write or truncation by someone without CAP_FSETID takes the set-user-ID and set-group-ID bits away. What watches
/// are to be told of that: IN_ATTRIB, or nothing. Inode locked.
Result<u32> drop_privilege_bits(Inode& inode, const Credentials& who);
/// Owner of the file, or CAP_FOWNER.
bool may_act_as_owner(const Inode& inode, const Credentials& who);
/// EROFS when the mount or its file system can't be changed.
Result<void> check_writable(const Path& path);
/// EPERM where a seal forbids the file to become so long or so short (F_SEAL_GROW, F_SEAL_SHRINK). Inode locked.
Result<void> check_size_seals(const Inode& inode, u64 size);
/// See operations.hpp.
void note_access(const Path& path);

} // namespace linnet::vfs
