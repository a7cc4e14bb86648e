// Calls on open files: open, read, write, seek, duplicate, close, fcntl, locks, truncate, sync, copying between files.
#pragma once

#include <abi/linux/fcntl.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

using mm::UserString;

Result<long> sys_open(process::Thread&, UserString path, u32 flags, u32 mode);
Result<long> sys_creat(process::Thread&, UserString path, u32 mode);
Result<long> sys_openat(process::Thread&, int directory, UserString path, u32 flags, u32 mode);
Result<long> sys_openat2(process::Thread&, int directory, UserString path, VirtAddr how, u64 size);
Result<long> sys_cachestat(process::Thread&, int fd, VirtAddr range, VirtAddr counts, u32 flags);
Result<long> sys_close(process::Thread&, int fd);
Result<long> sys_close_range(process::Thread&, u32 first, u32 last, u32 flags);
Result<long> sys_memfd_create(process::Thread&, UserString name, u32 flags);

Result<long> sys_read(process::Thread&, int fd, VirtAddr buffer, u64 count);
Result<long> sys_write(process::Thread&, int fd, VirtAddr buffer, u64 count);
Result<long> sys_pread64(process::Thread&, int fd, VirtAddr buffer, u64 count, i64 offset);
Result<long> sys_pwrite64(process::Thread&, int fd, VirtAddr buffer, u64 count, i64 offset);
using IovecArgument = mm::UserPtr<mm::In, abi::iovec>;
Result<long> sys_readv(process::Thread&, int fd, IovecArgument vectors, u64 count);
Result<long> sys_writev(process::Thread&, int fd, IovecArgument vectors, u64 count);
Result<long> sys_preadv(process::Thread&, int fd, IovecArgument vectors, u64 count, i64 offset);
Result<long> sys_pwritev(process::Thread&, int fd, IovecArgument vectors, u64 count, i64 offset);
Result<long> sys_preadv2(process::Thread&, int fd, IovecArgument vectors, u64 count, i64 offset, u64 high, u32 flags);
Result<long> sys_pwritev2(process::Thread&, int fd, IovecArgument vectors, u64 count, i64 offset, u64 high, u32 flags);
Result<long> sys_lseek(process::Thread&, int fd, i64 offset, u32 whence);
Result<long> sys_sendfile(process::Thread&, int out, int in, mm::UserPtr<mm::InOut, i64> offset, u64 count);
Result<long> sys_copy_file_range(process::Thread&, int in, mm::UserPtr<mm::InOut, i64> in_offset, int out,
                                 mm::UserPtr<mm::InOut, i64> out_offset, u64 count, u32 flags);

Result<long> sys_dup(process::Thread&, int fd);
Result<long> sys_dup2(process::Thread&, int from, int to);
Result<long> sys_dup3(process::Thread&, int from, int to, u32 flags);
Result<long> sys_fcntl(process::Thread&, int fd, u32 command, u64 argument);
Result<long> sys_flock(process::Thread&, int fd, u32 operation);
Result<long> sys_ioctl(process::Thread&, int fd, u32 command, u64 argument);

Result<long> sys_truncate(process::Thread&, UserString path, i64 size);
Result<long> sys_ftruncate(process::Thread&, int fd, i64 size);
Result<long> sys_fallocate(process::Thread&, int fd, u32 mode, i64 offset, i64 length);
Result<long> sys_fadvise64(process::Thread&, int fd, i64 offset, i64 length, u32 advice);
Result<long> sys_readahead(process::Thread&, int fd, i64 offset, u64 count);
Result<long> sys_fsync(process::Thread&, int fd);
Result<long> sys_fdatasync(process::Thread&, int fd);
Result<long> sys_sync(process::Thread&);
Result<long> sys_syncfs(process::Thread&, int fd);
Result<long> sys_sync_file_range(process::Thread&, int fd, i64 offset, i64 length, u32 flags);

inline constexpr Entry file_calls[] = {
    entry<sys_cachestat>("cachestat", nr::cachestat, Support::Partial, "write-back and eviction are not counted"),
    entry<sys_close>("close", nr::close),
    entry<sys_close_range>("close_range", nr::close_range),
    entry<sys_copy_file_range>("copy_file_range", nr::copy_file_range),
    entry<sys_creat>("creat", nr::creat),
    entry<sys_dup>("dup", nr::dup),
    entry<sys_dup2>("dup2", nr::dup2),
    entry<sys_dup3>("dup3", nr::dup3),
    entry<sys_fadvise64>("fadvise64", nr::fadvise64),
    entry<sys_fallocate>(
        "fallocate", nr::fallocate, Support::Partial,
        "no FALLOC_FL_UNSHARE_RANGE, nor FALLOC_FL_COLLAPSE_RANGE and FALLOC_FL_INSERT_RANGE but on ext4: EOPNOTSUPP"),
    entry<sys_fcntl>("fcntl", nr::fcntl),
    entry<sys_fdatasync>("fdatasync", nr::fdatasync),
    entry<sys_flock>("flock", nr::flock),
    entry<sys_fsync>("fsync", nr::fsync),
    entry<sys_ftruncate>("ftruncate", nr::ftruncate),
    entry<sys_ioctl>("ioctl", nr::ioctl, Support::Partial, "the generic commands and those of each device: ENOTTY"),
    entry<sys_lseek>("lseek", nr::lseek),
    entry<sys_memfd_create>("memfd_create", nr::memfd_create, Support::Partial, "MFD_HUGETLB: one size"),
    entry<sys_open>("open", nr::open),
    entry<sys_openat>("openat", nr::openat),
    entry<sys_openat2>("openat2", nr::openat2),
    entry<sys_pread64>("pread64", nr::pread64),
    entry<sys_preadv>("preadv", nr::preadv),
    entry<sys_preadv2>("preadv2", nr::preadv2, Support::Partial, "no RWF_NOWAIT: EOPNOTSUPP"),
    entry<sys_pwrite64>("pwrite64", nr::pwrite64),
    entry<sys_pwritev>("pwritev", nr::pwritev),
    entry<sys_pwritev2>("pwritev2", nr::pwritev2, Support::Partial, "no RWF_NOWAIT: EOPNOTSUPP"),
    entry<sys_read>("read", nr::read),
    entry<sys_readahead>("readahead", nr::readahead),
    entry<sys_readv>("readv", nr::readv),
    entry<sys_sendfile>("sendfile", nr::sendfile),
    entry<sys_sync>("sync", nr::sync),
    entry<sys_sync_file_range>("sync_file_range", nr::sync_file_range),
    entry<sys_syncfs>("syncfs", nr::syncfs),
    entry<sys_truncate>("truncate", nr::truncate),
    entry<sys_write>("write", nr::write),
    entry<sys_writev>("writev", nr::writev),
};

} // namespace linnet::syscalls
