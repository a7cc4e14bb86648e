// Mounts and extended attributes.
#pragma once

#include <syscalls/table.hpp>

namespace linnet::syscalls {

using mm::UserString;

Result<long> sys_mount(process::Thread&, UserString source, UserString target, UserString type, u64 flags,
                       UserString data);
Result<long> sys_umount2(process::Thread&, UserString target, u32 flags);
Result<long> sys_pivot_root(process::Thread&, UserString new_root, UserString put_old);

Result<long> sys_getxattr(process::Thread&, UserString path, UserString name, VirtAddr value, u64 size);
Result<long> sys_lgetxattr(process::Thread&, UserString path, UserString name, VirtAddr value, u64 size);
Result<long> sys_fgetxattr(process::Thread&, int fd, UserString name, VirtAddr value, u64 size);
Result<long> sys_setxattr(process::Thread&, UserString path, UserString name, VirtAddr value, u64 size, u32 flags);
Result<long> sys_lsetxattr(process::Thread&, UserString path, UserString name, VirtAddr value, u64 size, u32 flags);
Result<long> sys_fsetxattr(process::Thread&, int fd, UserString name, VirtAddr value, u64 size, u32 flags);
Result<long> sys_listxattr(process::Thread&, UserString path, VirtAddr list, u64 size);
Result<long> sys_llistxattr(process::Thread&, UserString path, VirtAddr list, u64 size);
Result<long> sys_flistxattr(process::Thread&, int fd, VirtAddr list, u64 size);
Result<long> sys_removexattr(process::Thread&, UserString path, UserString name);
Result<long> sys_lremovexattr(process::Thread&, UserString path, UserString name);
Result<long> sys_fremovexattr(process::Thread&, int fd, UserString name);
Result<long> sys_getxattrat(process::Thread&, int directory, UserString path, u32 at_flags, UserString name,
                            VirtAddr arguments, u64 size);
Result<long> sys_setxattrat(process::Thread&, int directory, UserString path, u32 at_flags, UserString name,
                            VirtAddr arguments, u64 size);
Result<long> sys_listxattrat(process::Thread&, int directory, UserString path, u32 at_flags, VirtAddr list, u64 size);
Result<long> sys_removexattrat(process::Thread&, int directory, UserString path, u32 at_flags, UserString name);

inline constexpr Entry mount_calls[] = {
    entry<sys_fgetxattr>("fgetxattr", nr::fgetxattr),
    entry<sys_flistxattr>("flistxattr", nr::flistxattr),
    entry<sys_fremovexattr>("fremovexattr", nr::fremovexattr),
    entry<sys_fsetxattr>("fsetxattr", nr::fsetxattr),
    entry<sys_getxattr>("getxattr", nr::getxattr),
    entry<sys_getxattrat>("getxattrat", nr::getxattrat),
    entry<sys_lgetxattr>("lgetxattr", nr::lgetxattr),
    entry<sys_listxattr>("listxattr", nr::listxattr),
    entry<sys_listxattrat>("listxattrat", nr::listxattrat),
    entry<sys_llistxattr>("llistxattr", nr::llistxattr),
    entry<sys_lremovexattr>("lremovexattr", nr::lremovexattr),
    entry<sys_lsetxattr>("lsetxattr", nr::lsetxattr),
    entry<sys_mount>("mount", nr::mount),
    entry<sys_pivot_root>("pivot_root", nr::pivot_root),
    entry<sys_removexattr>("removexattr", nr::removexattr),
    entry<sys_removexattrat>("removexattrat", nr::removexattrat),
    entry<sys_setxattr>("setxattr", nr::setxattr),
    entry<sys_setxattrat>("setxattrat", nr::setxattrat),
    entry<sys_umount2>("umount2", nr::umount2),
};

} // namespace linnet::syscalls
