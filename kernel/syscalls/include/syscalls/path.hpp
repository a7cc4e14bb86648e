// Calls on names: directories, links, rename, permissions, owners, times, the working directory.
#pragma once

#include <abi/linux/time.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

using mm::UserString;
using TimespecsIn = mm::UserPtr<mm::In, abi::timespec>;
using TimevalsIn = mm::UserPtr<mm::In, abi::timeval>;

Result<long> sys_mkdir(process::Thread&, UserString path, u32 mode);
Result<long> sys_mkdirat(process::Thread&, int directory, UserString path, u32 mode);
Result<long> sys_mknod(process::Thread&, UserString path, u32 mode, u32 device);
Result<long> sys_mknodat(process::Thread&, int directory, UserString path, u32 mode, u32 device);
Result<long> sys_rmdir(process::Thread&, UserString path);
Result<long> sys_unlink(process::Thread&, UserString path);
Result<long> sys_unlinkat(process::Thread&, int directory, UserString path, u32 flags);
Result<long> sys_symlink(process::Thread&, UserString target, UserString path);
Result<long> sys_symlinkat(process::Thread&, UserString target, int directory, UserString path);
Result<long> sys_link(process::Thread&, UserString from, UserString to);
Result<long> sys_linkat(process::Thread&, int from_directory, UserString from, int to_directory, UserString to,
                        u32 flags);
Result<long> sys_rename(process::Thread&, UserString from, UserString to);
Result<long> sys_renameat(process::Thread&, int from_directory, UserString from, int to_directory, UserString to);
Result<long> sys_renameat2(process::Thread&, int from_directory, UserString from, int to_directory, UserString to,
                           u32 flags);
Result<long> sys_readlink(process::Thread&, UserString path, VirtAddr buffer, i32 size);
Result<long> sys_readlinkat(process::Thread&, int directory, UserString path, VirtAddr buffer, i32 size);

Result<long> sys_access(process::Thread&, UserString path, u32 mode);
Result<long> sys_faccessat(process::Thread&, int directory, UserString path, u32 mode);
Result<long> sys_faccessat2(process::Thread&, int directory, UserString path, u32 mode, u32 flags);
Result<long> sys_file_getattr(process::Thread&, int directory, UserString path, VirtAddr to, u64 size, u32 at_flags);
Result<long> sys_file_setattr(process::Thread&, int directory, UserString path, VirtAddr from, u64 size, u32 at_flags);
Result<long> sys_chmod(process::Thread&, UserString path, u32 mode);
Result<long> sys_fchmod(process::Thread&, int fd, u32 mode);
Result<long> sys_fchmodat(process::Thread&, int directory, UserString path, u32 mode);
Result<long> sys_fchmodat2(process::Thread&, int directory, UserString path, u32 mode, u32 flags);
Result<long> sys_chown(process::Thread&, UserString path, u32 uid, u32 gid);
Result<long> sys_lchown(process::Thread&, UserString path, u32 uid, u32 gid);
Result<long> sys_fchown(process::Thread&, int fd, u32 uid, u32 gid);
Result<long> sys_fchownat(process::Thread&, int directory, UserString path, u32 uid, u32 gid, u32 flags);
Result<long> sys_utimensat(process::Thread&, int directory, UserString path, TimespecsIn times, u32 flags);
Result<long> sys_futimesat(process::Thread&, int directory, UserString path, TimevalsIn times);
Result<long> sys_utimes(process::Thread&, UserString path, TimevalsIn times);
Result<long> sys_utime(process::Thread&, UserString path, mm::UserPtr<mm::In, i64> times);

Result<long> sys_name_to_handle_at(process::Thread&, int directory, UserString path, VirtAddr handle,
                                   mm::UserPtr<mm::Out, i32> mount_id, u32 at_flags);
Result<long> sys_open_by_handle_at(process::Thread&, int mount_fd, VirtAddr handle, u32 flags);

Result<long> sys_chdir(process::Thread&, UserString path);
Result<long> sys_fchdir(process::Thread&, int fd);
Result<long> sys_chroot(process::Thread&, UserString path);
Result<long> sys_getcwd(process::Thread&, VirtAddr buffer, u64 size);
Result<long> sys_umask(process::Thread&, u32 mask);

inline constexpr Entry path_calls[] = {
    entry<sys_access>("access", nr::access),
    entry<sys_chdir>("chdir", nr::chdir),
    entry<sys_chmod>("chmod", nr::chmod),
    entry<sys_chown>("chown", nr::chown),
    entry<sys_chroot>("chroot", nr::chroot),
    entry<sys_faccessat>("faccessat", nr::faccessat),
    entry<sys_faccessat2>("faccessat2", nr::faccessat2),
    entry<sys_fchdir>("fchdir", nr::fchdir),
    entry<sys_fchmod>("fchmod", nr::fchmod),
    entry<sys_fchmodat>("fchmodat", nr::fchmodat),
    entry<sys_fchmodat2>("fchmodat2", nr::fchmodat2),
    entry<sys_fchown>("fchown", nr::fchown),
    entry<sys_fchownat>("fchownat", nr::fchownat),
    entry<sys_file_getattr>("file_getattr", nr::file_getattr),
    entry<sys_file_setattr>("file_setattr", nr::file_setattr),
    entry<sys_futimesat>("futimesat", nr::futimesat),
    entry<sys_getcwd>("getcwd", nr::getcwd),
    entry<sys_lchown>("lchown", nr::lchown),
    entry<sys_link>("link", nr::link),
    entry<sys_linkat>("linkat", nr::linkat),
    entry<sys_mkdir>("mkdir", nr::mkdir),
    entry<sys_mkdirat>("mkdirat", nr::mkdirat),
    entry<sys_mknod>("mknod", nr::mknod),
    entry<sys_mknodat>("mknodat", nr::mknodat),
    entry<sys_name_to_handle_at>("name_to_handle_at", nr::name_to_handle_at, Support::Partial,
                                 "no AT_HANDLE_MNT_ID_UNIQUE and AT_HANDLE_CONNECTABLE: EINVAL; sysfs has no handles"),
    entry<sys_open_by_handle_at>("open_by_handle_at", nr::open_by_handle_at),
    entry<sys_readlink>("readlink", nr::readlink),
    entry<sys_readlinkat>("readlinkat", nr::readlinkat),
    entry<sys_rename>("rename", nr::rename),
    entry<sys_renameat>("renameat", nr::renameat),
    entry<sys_renameat2>("renameat2", nr::renameat2),
    entry<sys_rmdir>("rmdir", nr::rmdir),
    entry<sys_symlink>("symlink", nr::symlink),
    entry<sys_symlinkat>("symlinkat", nr::symlinkat),
    entry<sys_umask>("umask", nr::umask),
    entry<sys_unlink>("unlink", nr::unlink),
    entry<sys_unlinkat>("unlinkat", nr::unlinkat),
    entry<sys_utime>("utime", nr::utime),
    entry<sys_utimensat>("utimensat", nr::utimensat),
    entry<sys_utimes>("utimes", nr::utimes),
};

} // namespace linnet::syscalls
