// arch/user_window.hpp: user memory is opened by STAC where the CPU has SMAP.
#pragma once

#include "../../../common/exception_table.hpp"
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

template <typename T>
[[gnu::always_inline]] inline bool store_user(T* to, T value) {
    static_assert(sizeof(T) == 8 || sizeof(T) == 4);
    if constexpr (sizeof(T) == 8)
        asm goto("1: movq %1, %0\n" LINNET_EXCEPTION_ENTRY("1b", "%l[fault]") : "=m"(*to) : "er"(value) : : fault);
    else
        asm goto("1: movl %1, %0\n" LINNET_EXCEPTION_ENTRY("1b", "%l[fault]") : "=m"(*to) : "er"(value) : : fault);
    return true;
fault:
    return false;
}

template <typename T>
[[gnu::always_inline]] inline bool load_user(T& into, const T* from) {
    static_assert(sizeof(T) == 8 || sizeof(T) == 4);
    T value;
    if constexpr (sizeof(T) == 8)
        asm goto("1: movq %1, %0\n" LINNET_EXCEPTION_ENTRY("1b", "%l[fault]") : "=r"(value) : "m"(*from) : : fault);
    else
        asm goto("1: movl %1, %0\n" LINNET_EXCEPTION_ENTRY("1b", "%l[fault]") : "=r"(value) : "m"(*from) : : fault);
    into = value;
    return true;
fault:
    return false;
}

} // namespace linnet::arch
