// open(2), fcntl(2) and the *at calls: flags and structs. The open flags that differ by architecture come from
// <abi_arch/fcntl.hpp>.
#pragma once

#include <abi_arch/fcntl.hpp> // O_DIRECT, O_LARGEFILE, O_DIRECTORY, O_NOFOLLOW
#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr u32 O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, O_ACCMODE = 3;
inline constexpr u32 O_CREAT = 0100, O_EXCL = 0200, O_NOCTTY = 0400, O_TRUNC = 01000, O_APPEND = 02000,
                     O_NONBLOCK = 04000, O_DSYNC = 010000, O_ASYNC = 020000, O_NOATIME = 01000000, O_CLOEXEC = 02000000,
                     O_SYNC_BIT = 04000000, O_SYNC = O_SYNC_BIT | O_DSYNC, O_PATH = 010000000,
                     O_TMPFILE_BIT = 020000000, O_TMPFILE = O_TMPFILE_BIT | O_DIRECTORY;
/// Every flag that open(2) knows.
inline constexpr u32 O_VALID = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |
                               O_ASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC |
                               O_PATH | O_TMPFILE_BIT;
/// Flags that fcntl(F_SETFL) changes.
inline constexpr u32 O_SETTABLE = O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME;

inline constexpr int AT_FDCWD = -100;
inline constexpr u32 AT_SYMLINK_NOFOLLOW = 0x100, AT_EACCESS = 0x200, AT_REMOVEDIR = 0x200, AT_SYMLINK_FOLLOW = 0x400,
                     AT_NO_AUTOMOUNT = 0x800, AT_EMPTY_PATH = 0x1000, AT_STATX_SYNC_TYPE = 0x6000,
                     AT_STATX_FORCE_SYNC = 0x2000, AT_STATX_DONT_SYNC = 0x4000, AT_RECURSIVE = 0x8000,
                     AT_HANDLE_FID = 0x200;

inline constexpr u32 F_DUPFD = 0, F_GETFD = 1, F_SETFD = 2, F_GETFL = 3, F_SETFL = 4, F_GETLK = 5, F_SETLK = 6,
                     F_SETLKW = 7, F_SETOWN = 8, F_GETOWN = 9, F_SETSIG = 10, F_GETSIG = 11, F_SETOWN_EX = 15,
                     F_GETOWN_EX = 16, F_GETOWNER_UIDS = 17, F_OFD_GETLK = 36, F_OFD_SETLK = 37, F_OFD_SETLKW = 38,
                     F_SETLEASE = 1024, F_GETLEASE = 1025, F_NOTIFY = 1026, F_DUPFD_QUERY = 1027,
                     F_DUPFD_CLOEXEC = 1030, F_SETPIPE_SZ = 1031, F_GETPIPE_SZ = 1032, F_ADD_SEALS = 1033,
                     F_GET_SEALS = 1034, F_GET_RW_HINT = 1035, F_SET_RW_HINT = 1036;
inline constexpr u32 DN_ACCESS = 1, DN_MODIFY = 2, DN_CREATE = 4, DN_DELETE = 8, DN_RENAME = 16, DN_ATTRIB = 32,
                     DN_MULTISHOT = 1u << 31;
inline constexpr u32 FD_CLOEXEC = 1;
inline constexpr u32 F_SEAL_SEAL = 1, F_SEAL_SHRINK = 2, F_SEAL_GROW = 4, F_SEAL_WRITE = 8, F_SEAL_FUTURE_WRITE = 16,
                     F_SEAL_EXEC = 32;
inline constexpr i16 F_RDLCK = 0, F_WRLCK = 1, F_UNLCK = 2;
inline constexpr u32 LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4, LOCK_UN = 8;

struct flock {
    i16 l_type;
    i16 l_whence;
    i32 padding;
    i64 l_start;
    i64 l_len;
    i32 l_pid;
    i32 padding2;
};
static_assert(sizeof(flock) == 32);

struct f_owner_ex {
    i32 type;
    i32 pid;
};
inline constexpr i32 F_OWNER_TID = 0, F_OWNER_PID = 1, F_OWNER_PGRP = 2;

inline constexpr u32 SEEK_SET = 0, SEEK_CUR = 1, SEEK_END = 2, SEEK_DATA = 3, SEEK_HOLE = 4;
inline constexpr u32 R_OK = 4, W_OK = 2, X_OK = 1, F_OK = 0;

inline constexpr u32 RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2, RENAME_WHITEOUT = 4;

inline constexpr u32 FALLOC_FL_KEEP_SIZE = 1, FALLOC_FL_PUNCH_HOLE = 2, FALLOC_FL_COLLAPSE_RANGE = 8,
                     FALLOC_FL_ZERO_RANGE = 16, FALLOC_FL_INSERT_RANGE = 32, FALLOC_FL_UNSHARE_RANGE = 64;

inline constexpr u32 RWF_HIPRI = 1, RWF_DSYNC = 2, RWF_SYNC = 4, RWF_NOWAIT = 8, RWF_APPEND = 16, RWF_NOAPPEND = 32;

struct open_how {
    u64 flags;
    u64 mode;
    u64 resolve;
};
static_assert(sizeof(open_how) == 24);
inline constexpr u64 RESOLVE_NO_XDEV = 1, RESOLVE_NO_MAGICLINKS = 2, RESOLVE_NO_SYMLINKS = 4, RESOLVE_BENEATH = 8,
                     RESOLVE_IN_ROOT = 16, RESOLVE_CACHED = 32;

inline constexpr u32 CLOSE_RANGE_UNSHARE = 2, CLOSE_RANGE_CLOEXEC = 4;

inline constexpr u32 POSIX_FADV_NORMAL = 0, POSIX_FADV_RANDOM = 1, POSIX_FADV_SEQUENTIAL = 2, POSIX_FADV_WILLNEED = 3,
                     POSIX_FADV_DONTNEED = 4, POSIX_FADV_NOREUSE = 5;

inline constexpr u32 SPLICE_F_MOVE = 1, SPLICE_F_NONBLOCK = 2, SPLICE_F_MORE = 4, SPLICE_F_GIFT = 8;

struct iovec {
    u64 iov_base;
    u64 iov_len;
};
static_assert(sizeof(iovec) == 16);

} // namespace linnet::abi
