// struct stat in the layout of asm-generic.
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

struct stat {
    u64 st_dev;
    u64 st_ino;
    u32 st_mode;
    u32 st_nlink;
    u32 st_uid;
    u32 st_gid;
    u64 st_rdev;
    u64 padding1;
    i64 st_size;
    i32 st_blksize;
    i32 padding2;
    i64 st_blocks;
    i64 st_atime_sec;
    u64 st_atime_nsec;
    i64 st_mtime_sec;
    u64 st_mtime_nsec;
    i64 st_ctime_sec;
    u64 st_ctime_nsec;
    u32 unused4;
    u32 unused5;
};
static_assert(sizeof(stat) == 128);
static_assert(__builtin_offsetof(stat, st_size) == 48);

} // namespace linnet::abi
