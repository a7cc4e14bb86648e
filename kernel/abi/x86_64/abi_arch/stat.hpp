// struct stat of x86_64.
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

struct stat {
    u64 st_dev;
    u64 st_ino;
    u64 st_nlink;
    u32 st_mode;
    u32 st_uid;
    u32 st_gid;
    u32 padding0;
    u64 st_rdev;
    i64 st_size;
    i64 st_blksize;
    i64 st_blocks;
    i64 st_atime_sec;
    u64 st_atime_nsec;
    i64 st_mtime_sec;
    u64 st_mtime_nsec;
    i64 st_ctime_sec;
    u64 st_ctime_nsec;
    i64 unused[3];
};
static_assert(sizeof(stat) == 144);
static_assert(__builtin_offsetof(stat, st_size) == 48);

} // namespace linnet::abi
