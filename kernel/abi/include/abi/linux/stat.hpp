// inode(7) mode bits, stat(2), statx(2), device numbers and getdents64(2). struct stat itself is per architecture:
// <abi_arch/stat.hpp>.
#pragma once

#include <abi_arch/stat.hpp>
#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr u32 S_IFMT = 0170000, S_IFSOCK = 0140000, S_IFLNK = 0120000, S_IFREG = 0100000, S_IFBLK = 0060000,
                     S_IFDIR = 0040000, S_IFCHR = 0020000, S_IFIFO = 0010000;
inline constexpr u32 S_ISUID = 04000, S_ISGID = 02000, S_ISVTX = 01000, S_IRWXU = 0700, S_IRWXG = 0070, S_IXGRP = 0010,
                     S_IRWXO = 0007, S_IRWXUGO = 0777, S_IALLUGO = 07777, S_IXUGO = 0111;

constexpr bool S_ISREG(u32 mode) { return (mode & S_IFMT) == S_IFREG; }
constexpr bool S_ISDIR(u32 mode) { return (mode & S_IFMT) == S_IFDIR; }
constexpr bool S_ISLNK(u32 mode) { return (mode & S_IFMT) == S_IFLNK; }
constexpr bool S_ISCHR(u32 mode) { return (mode & S_IFMT) == S_IFCHR; }
constexpr bool S_ISBLK(u32 mode) { return (mode & S_IFMT) == S_IFBLK; }
constexpr bool S_ISFIFO(u32 mode) { return (mode & S_IFMT) == S_IFIFO; }
constexpr bool S_ISSOCK(u32 mode) { return (mode & S_IFMT) == S_IFSOCK; }

inline constexpr u8 DT_UNKNOWN = 0, DT_FIFO = 1, DT_CHR = 2, DT_DIR = 4, DT_BLK = 6, DT_REG = 8, DT_LNK = 10,
                    DT_SOCK = 12;
/// The d_type of a mode.
constexpr u8 directory_type(u32 mode) { return static_cast<u8>((mode & S_IFMT) >> 12); }

struct statx_timestamp {
    i64 tv_sec;
    u32 tv_nsec;
    i32 reserved;
};

struct statx {
    u32 stx_mask;
    u32 stx_blksize;
    u64 stx_attributes;
    u32 stx_nlink;
    u32 stx_uid;
    u32 stx_gid;
    u16 stx_mode;
    u16 spare0;
    u64 stx_ino;
    u64 stx_size;
    u64 stx_blocks;
    u64 stx_attributes_mask;
    statx_timestamp stx_atime;
    statx_timestamp stx_btime;
    statx_timestamp stx_ctime;
    statx_timestamp stx_mtime;
    u32 stx_rdev_major;
    u32 stx_rdev_minor;
    u32 stx_dev_major;
    u32 stx_dev_minor;
    u64 stx_mnt_id;
    u32 stx_dio_mem_align;
    u32 stx_dio_offset_align;
    u64 spare3[12];
};
static_assert(sizeof(statx) == 256);
static_assert(__builtin_offsetof(statx, stx_atime) == 64);
static_assert(__builtin_offsetof(statx, stx_mnt_id) == 144);

inline constexpr u32 STATX_TYPE = 0x1, STATX_MODE = 0x2, STATX_NLINK = 0x4, STATX_UID = 0x8, STATX_GID = 0x10,
                     STATX_ATIME = 0x20, STATX_MTIME = 0x40, STATX_CTIME = 0x80, STATX_INO = 0x100, STATX_SIZE = 0x200,
                     STATX_BLOCKS = 0x400, STATX_BASIC_STATS = 0x7ff, STATX_BTIME = 0x800, STATX_MNT_ID = 0x1000,
                     STATX_DIOALIGN = 0x2000, STATX_RESERVED = 0x80000000;
inline constexpr u64 STATX_ATTR_COMPRESSED = 0x4, STATX_ATTR_IMMUTABLE = 0x10, STATX_ATTR_APPEND = 0x20,
                     STATX_ATTR_NODUMP = 0x40, STATX_ATTR_AUTOMOUNT = 0x1000, STATX_ATTR_MOUNT_ROOT = 0x2000;

/// Fixed part of a getdents64 record; the NUL-terminated name follows, padded to a multiple of 8.
struct dirent64 {
    u64 d_ino;
    i64 d_off;
    u16 d_reclen;
    u8 d_type;
    char d_name[5]; // begins at offset 19
};
static_assert(__builtin_offsetof(dirent64, d_name) == 19);

inline constexpr i64 UTIME_NOW = 0x3fffffff, UTIME_OMIT = 0x3ffffffe;

/// A device number as stat(2) reports it: 12 bits of major, 20 of minor in the low half.
constexpr u64 encode_device(u32 major, u32 minor) {
    return (minor & 0xffu) | (static_cast<u64>(major & 0xfffu) << 8) | (static_cast<u64>(minor & ~0xffu) << 12);
}
constexpr u32 device_major(u64 device) { return static_cast<u32>(device >> 8) & 0xfffu; }
constexpr u32 device_minor(u64 device) {
    return static_cast<u32>(device & 0xffu) | (static_cast<u32>(device >> 12) & 0xfff00u);
}

} // namespace linnet::abi
