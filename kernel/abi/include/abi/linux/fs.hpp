// statfs(2), mount(2), umount2(2), xattr(7) and the limits of names and paths.
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr usize NAME_MAX = 255, PATH_MAX = 4096, IOV_MAX = 1024, SYMLOOP_MAX = 40, LINK_MAX_DEFAULT = 65000;
/// The most that one read or write moves: INT_MAX rounded down to a page of 4 KiB, as on Linux.
inline constexpr usize MAX_RW_COUNT = 0x7ffff000;

struct fsid_t {
    i32 val[2];
};
struct statfs {
    i64 f_type;
    i64 f_bsize;
    u64 f_blocks;
    u64 f_bfree;
    u64 f_bavail;
    u64 f_files;
    u64 f_ffree;
    fsid_t f_fsid;
    i64 f_namelen;
    i64 f_frsize;
    i64 f_flags;
    i64 f_spare[4];
};
static_assert(sizeof(statfs) == 120);

inline constexpr u64 ST_RDONLY = 1, ST_NOSUID = 2, ST_NODEV = 4, ST_NOEXEC = 8, ST_SYNCHRONOUS = 16, ST_VALID = 0x20,
                     ST_MANDLOCK = 64, ST_NOATIME = 1024, ST_NODIRATIME = 2048, ST_RELATIME = 4096;

// f_type
inline constexpr u32 TMPFS_MAGIC = 0x01021994, RAMFS_MAGIC = 0x858458f6, PROC_SUPER_MAGIC = 0x9fa0,
                     SYSFS_MAGIC = 0x62656572, DEVPTS_SUPER_MAGIC = 0x1cd1, PIPEFS_MAGIC = 0x50495045,
                     SOCKFS_MAGIC = 0x534f434b, ANON_INODE_FS_MAGIC = 0x09041934, EXT4_SUPER_MAGIC = 0xef53,
                     OVERLAYFS_SUPER_MAGIC = 0x794c7630, V9FS_MAGIC = 0x01021997, DEBUGFS_MAGIC = 0x64626720,
                     TRACEFS_MAGIC = 0x74726163, NSFS_MAGIC = 0x6e736673, PID_FS_MAGIC = 0x50494446,
                     MQUEUE_MAGIC = 0x19800202, HUGETLBFS_MAGIC = 0x958458f6;

inline constexpr u64 MS_RDONLY = 1, MS_NOSUID = 2, MS_NODEV = 4, MS_NOEXEC = 8, MS_SYNCHRONOUS = 16, MS_REMOUNT = 32,
                     MS_MANDLOCK = 64, MS_DIRSYNC = 128, MS_NOSYMFOLLOW = 256, MS_NOATIME = 1024, MS_NODIRATIME = 2048,
                     MS_BIND = 4096, MS_MOVE = 8192, MS_REC = 16384, MS_SILENT = 32768, MS_POSIXACL = 1 << 16,
                     MS_UNBINDABLE = 1 << 17, MS_PRIVATE = 1 << 18, MS_SLAVE = 1 << 19, MS_SHARED = 1 << 20,
                     MS_RELATIME = 1 << 21, MS_KERNMOUNT = 1 << 22, MS_I_VERSION = 1 << 23, MS_STRICTATIME = 1 << 24,
                     MS_LAZYTIME = 1 << 25;
inline constexpr u64 MS_MGC_VAL = 0xc0ed0000, MS_MGC_MSK = 0xffff0000;
inline constexpr u32 MNT_FORCE = 1, MNT_DETACH = 2, MNT_EXPIRE = 4, UMOUNT_NOFOLLOW = 8;

inline constexpr usize XATTR_NAME_MAX = 255, XATTR_SIZE_MAX = 65536, XATTR_LIST_MAX = 65536;
inline constexpr u32 XATTR_CREATE = 1, XATTR_REPLACE = 2;
struct xattr_args {
    u64 value;
    u32 size, flags;
};
static_assert(sizeof(xattr_args) == 16);

// ioctl_iflags(2), linux/fs.h
inline constexpr u32 FS_IOC_GETFLAGS = 0x8008'6601, FS_IOC_SETFLAGS = 0x4008'6602, FS_IOC_GETVERSION = 0x8008'7601,
                     FS_IOC_FSGETXATTR = 0x801c'581f, FS_IOC_FSSETXATTR = 0x401c'5820;
inline constexpr u32 FS_SYNC_FL = 0x8, FS_IMMUTABLE_FL = 0x10, FS_APPEND_FL = 0x20, FS_NODUMP_FL = 0x40,
                     FS_NOATIME_FL = 0x80;
inline constexpr u32 FS_XFLAG_IMMUTABLE = 0x8, FS_XFLAG_APPEND = 0x10, FS_XFLAG_SYNC = 0x20, FS_XFLAG_NOATIME = 0x40,
                     FS_XFLAG_NODUMP = 0x80, FS_XFLAG_EXTSIZE = 0x800, FS_XFLAG_EXTSZINHERIT = 0x1000,
                     FS_XFLAG_PREALLOC = 0x2, FS_XFLAG_COWEXTSIZE = 0x1'0000, FS_XFLAG_HASATTR = 0x8000'0000;
struct fsxattr {
    u32 fsx_xflags, fsx_extsize, fsx_nextents, fsx_projid, fsx_cowextsize;
    u8 fsx_pad[8];
};
static_assert(sizeof(fsxattr) == 28);
/// Of file_getattr(2) and file_setattr(2).
struct file_attr {
    u64 fa_xflags;
    u32 fa_extsize, fa_nextents, fa_projid, fa_cowextsize;
};
static_assert(sizeof(file_attr) == 24);
inline constexpr u64 FS_XFLAGS_KNOWN = 0x8001'fffb;

/// The beginning of a file handle, which handle_bytes bytes follow (name_to_handle_at(2)).
struct file_handle {
    u32 handle_bytes;
    i32 handle_type;
};
static_assert(sizeof(file_handle) == 8);
inline constexpr u32 MAX_HANDLE_SZ = 128;
inline constexpr i32 FILEID_INVALID = 0xff;

} // namespace linnet::abi
