// ioctls of block devices (ioctl_list(2), linux/fs.h). The numbers are those of all four architectures.
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr u32 BLKROSET = 0x125d, BLKROGET = 0x125e, BLKRRPART = 0x125f, BLKGETSIZE = 0x1260, BLKFLSBUF = 0x1261,
                     BLKRASET = 0x1262, BLKRAGET = 0x1263, BLKFRASET = 0x1264, BLKFRAGET = 0x1265, BLKSECTGET = 0x1267,
                     BLKSSZGET = 0x1268, BLKDISCARD = 0x1277, BLKIOMIN = 0x1278, BLKIOOPT = 0x1279,
                     BLKALIGNOFF = 0x127a, BLKPBSZGET = 0x127b, BLKDISCARDZEROES = 0x127c, BLKSECDISCARD = 0x127d,
                     BLKROTATIONAL = 0x127e, BLKZEROOUT = 0x127f;
inline constexpr u32 BLKBSZGET = 0x80081270, BLKBSZSET = 0x40081271, BLKGETSIZE64 = 0x80081272;

} // namespace linnet::abi
