// wait4(2) and waitid(2).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr u32 WNOHANG = 1, WUNTRACED = 2, WSTOPPED = 2, WEXITED = 4, WCONTINUED = 8, WNOWAIT = 0x01000000,
                     WNOTHREAD = 0x20000000, WALL = 0x40000000, WCLONE = 0x80000000;
inline constexpr int P_ALL = 0, P_PID = 1, P_PGID = 2, P_PIDFD = 3;

} // namespace linnet::abi
