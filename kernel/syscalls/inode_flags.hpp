// ioctl(2)'s commands about the flags that a file system keeps with an inode: those of lsattr(1) and chattr(1).
#pragma once

#include <vfs/file.hpp>

namespace linnet::syscalls {

/// FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR, FS_IOC_GETVERSION (ioctl_iflags(2)); nullopt
/// for other commands. ENOTTY: the file is none of a file system that keeps flags; else as vfs::change_flags().
std::optional<Result<long>> inode_flags_ioctl(vfs::File& file, u32 command, VirtAddr argument);

} // namespace linnet::syscalls
