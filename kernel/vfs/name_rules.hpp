// Rules about making and removing names in a directory, shared by the calls that do.
#pragma once

#include <vfs/operations.hpp>

namespace linnet::vfs {

/// Whether `who` may add a name to a directory: EROFS, ENOENT when it was removed or nobody can add any, EACCES.
/// Directory locked.
Result<void> may_create(const Path& directory, const Credentials& who);
/// Whether `who` may remove `victim` (positive) from a directory: the sticky bit and protected inodes too. EPERM,
/// EACCES, EROFS, EBUSY for a mountpoint. Directory locked.
Result<void> may_remove(const Path& directory, const Dentry& victim, const Credentials& who);
/// What is to be made in a directory: owner, group, mode, and what the directory hands down to it.
struct NewInode {
    CreateRequest request;
    AccessControlList::Pointer access, fallback;
};
/// `mode` includes the type, umask not yet applied. Directory locked. ENOMEM, and errors of reading the directory's
/// default access control list.
Result<NewInode> plan_inode(Inode& directory, u32 mode, const Credentials& who);
/// What stands for a name that was moved away, so that the file system below an overlay shows none (renameat2(2),
/// RENAME_WHITEOUT): a device node 0:0 without permissions. Directory locked.
CreateRequest plan_whiteout(Inode& directory, const Credentials& who);
/// Makes it under a name that is free. Directory locked.
Result<RefPtr<Inode>> make_inode(Inode& directory, std::string_view name, NewInode plan);
/// ENAMETOOLONG when the directory's file system can't hold the name.
Result<void> check_name_length(const Path& directory, std::string_view name);

} // namespace linnet::vfs
