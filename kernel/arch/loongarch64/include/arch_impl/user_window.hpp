// arch/user_window.hpp: the CPU lets the kernel touch user pages at any time.
#pragma once

#include "../../../common/exception_table.hpp"
#include <lib/types.hpp>

namespace linnet::arch {

[[gnu::always_inline]] inline void open_user_memory() {}
[[gnu::always_inline]] inline void close_user_memory() {}

template <typename T>
[[gnu::always_inline]] inline bool store_user(T* to, T value) {
    static_assert(sizeof(T) == 8 || sizeof(T) == 4);
    if constexpr (sizeof(T) == 8)
        asm goto("1: st.d %z1, %0\n" LINNET_EXCEPTION_ENTRY("1b", "%l[fault]") : "=m"(*to) : "rJ"(value) : : fault);
    else
        asm goto("1: st.w %z1, %0\n" LINNET_EXCEPTION_ENTRY("1b", "%l[fault]") : "=m"(*to) : "rJ"(value) : : fault);
    return true;
fault:
    return false;
}

template <typename T>
[[gnu::always_inline]] inline bool load_user(T& into, const T* from) {
    static_assert(sizeof(T) == 8 || sizeof(T) == 4);
    T value;
    if constexpr (sizeof(T) == 8)
        asm goto("1: ld.d %0, %1\n" LINNET_EXCEPTION_ENTRY("1b", "%l[fault]") : "=r"(value) : "m"(*from) : : fault);
    else
        asm goto("1: ld.w %0, %1\n" LINNET_EXCEPTION_ENTRY("1b", "%l[fault]") : "=r"(value) : "m"(*from) : : fault);
    into = value;
    return true;
fault:
    return false;
}

} // namespace linnet::arch
