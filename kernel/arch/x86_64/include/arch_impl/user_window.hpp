// arch/user_window.hpp: user memory is opened by STAC where the CPU has SMAP.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

/// Three-byte no-ops that features.cpp makes STAC and CLAC of, as in smap.h.
#define LINNET_SMAP_SITE(section)                                                                                      \
    asm volatile("1: .byte 0x0f, 0x1f, 0x00\n"                                                                         \
                 ".pushsection " section ", \"a?\"\n"                                                                  \
                 ".4byte 1b - .\n"                                                                                     \
                 ".popsection"                                                                                         \
                 :                                                                                                     \
                 :                                                                                                     \
                 : "memory", "cc")
[[gnu::always_inline]] inline void open_user_memory() { LINNET_SMAP_SITE(".stac_sites"); }
[[gnu::always_inline]] inline void close_user_memory() { LINNET_SMAP_SITE(".clac_sites"); }
#undef LINNET_SMAP_SITE

} // namespace linnet::arch

#define LINNET_USER_STORED "er"
#define LINNET_USER_STORE_64 "movq %1, %0"
#define LINNET_USER_STORE_32 "movl %1, %0"
#define LINNET_USER_LOAD_64 "movq %1, %0"
#define LINNET_USER_LOAD_32 "movl %1, %0"
#include "../../../common/user_words.hpp"
