// Loop devices (loop(4), linux/loop.h): ioctls of /dev/loopN and /dev/loop-control.
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr u32 LOOP_SET_FD = 0x4c00, LOOP_CLR_FD = 0x4c01, LOOP_SET_STATUS64 = 0x4c04, LOOP_GET_STATUS64 = 0x4c05,
                     LOOP_CHANGE_FD = 0x4c06, LOOP_SET_CAPACITY = 0x4c07, LOOP_SET_DIRECT_IO = 0x4c08,
                     LOOP_SET_BLOCK_SIZE = 0x4c09, LOOP_CONFIGURE = 0x4c0a;
inline constexpr u32 LOOP_CTL_ADD = 0x4c80, LOOP_CTL_REMOVE = 0x4c81, LOOP_CTL_GET_FREE = 0x4c82;
inline constexpr u32 LO_FLAGS_READ_ONLY = 1, LO_FLAGS_AUTOCLEAR = 4, LO_FLAGS_PARTSCAN = 8, LO_FLAGS_DIRECT_IO = 16;

struct loop_info64 {
    u64 lo_device;
    u64 lo_inode;
    u64 lo_rdevice;
    u64 lo_offset;    // bytes
    u64 lo_sizelimit; // bytes; 0: up to the end of the file
    u32 lo_number;
    u32 lo_encrypt_type;
    u32 lo_encrypt_key_size;
    u32 lo_flags;
    char lo_file_name[64];
    char lo_crypt_name[64];
    u8 lo_encrypt_key[32];
    u64 lo_init[2];
};
static_assert(sizeof(loop_info64) == 232);

struct loop_config {
    u32 fd;
    u32 block_size;
    loop_info64 info;
    u64 reserved[8];
};
static_assert(sizeof(loop_config) == 304);

} // namespace linnet::abi
