// What is known about files and file systems: stat, statx, statfs, and directory listings.
#pragma once

#include <abi/linux/fs.hpp>
#include <abi/linux/stat.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

using StatOut = mm::UserPtr<mm::Out, abi::stat>;
using StatfsOut = mm::UserPtr<mm::Out, abi::statfs>;

Result<long> sys_stat(process::Thread&, mm::UserString path, StatOut out);
Result<long> sys_lstat(process::Thread&, mm::UserString path, StatOut out);
Result<long> sys_fstat(process::Thread&, int fd, StatOut out);
Result<long> sys_newfstatat(process::Thread&, int directory, mm::UserString path, StatOut out, u32 flags);
Result<long> sys_statx(process::Thread&, int directory, mm::UserString path, u32 flags, u32 mask,
                       mm::UserPtr<mm::Out, abi::statx> out);
Result<long> sys_statfs(process::Thread&, mm::UserString path, StatfsOut out);
Result<long> sys_fstatfs(process::Thread&, int fd, StatfsOut out);
Result<long> sys_getdents(process::Thread&, int fd, VirtAddr buffer, u32 size);
Result<long> sys_getdents64(process::Thread&, int fd, VirtAddr buffer, u32 size);

inline constexpr Entry stat_calls[] = {
    entry<sys_fstat>("fstat", nr::fstat),
    entry<sys_fstatfs>("fstatfs", nr::fstatfs),
    entry<sys_getdents>("getdents", nr::getdents),
    entry<sys_getdents64>("getdents64", nr::getdents64),
    entry<sys_lstat>("lstat", nr::lstat),
    entry<sys_newfstatat>("newfstatat", nr::newfstatat),
    entry<sys_stat>("stat", nr::stat),
    entry<sys_statfs>("statfs", nr::statfs),
    entry<sys_statx>("statx", nr::statx),
};

} // namespace linnet::syscalls
