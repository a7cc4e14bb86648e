// kcmp(2).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr i32 KCMP_FILE = 0, KCMP_VM = 1, KCMP_FILES = 2, KCMP_FS = 3, KCMP_SIGHAND = 4, KCMP_IO = 5,
                     KCMP_SYSVSEM = 6, KCMP_EPOLL_TFD = 7;

struct kcmp_epoll_slot {
    u32 efd;  // of the epoll instance
    u32 tfd;  // the watched descriptor
    u32 toff; // which of those with that number
};
static_assert(sizeof(kcmp_epoll_slot) == 12);

} // namespace linnet::abi
