// store_user() and load_user() (arch/user_window.hpp) out of an architecture's instructions, which
// <arch_impl/user_window.hpp> names before it includes this: LINNET_USER_STORE_64 and _32 (from operand 1 of constraint
// LINNET_USER_STORED to memory operand 0), LINNET_USER_LOAD_64 and _32 (from memory operand 1 to operand 0).
#pragma once

#include "exception_table.hpp"

namespace linnet::arch {

#define LINNET_USER_ACCESS(instruction) "1: " instruction "\n" LINNET_EXCEPTION_ENTRY("1b", "%l[fault]")

template <typename T>
[[gnu::always_inline]] inline bool store_user(T* to, T value) {
    static_assert(sizeof(T) == 8 || sizeof(T) == 4);
    if constexpr (sizeof(T) == 8)
        asm goto(LINNET_USER_ACCESS(LINNET_USER_STORE_64) : "=m"(*to) : LINNET_USER_STORED(value) : : fault);
    else
        asm goto(LINNET_USER_ACCESS(LINNET_USER_STORE_32) : "=m"(*to) : LINNET_USER_STORED(value) : : fault);
    return true;
fault:
    return false;
}

template <typename T>
[[gnu::always_inline]] inline bool load_user(T& into, const T* from) {
    static_assert(sizeof(T) == 8 || sizeof(T) == 4);
    T value;
    if constexpr (sizeof(T) == 8)
        asm goto(LINNET_USER_ACCESS(LINNET_USER_LOAD_64) : "=r"(value) : "m"(*from) : : fault);
    else
        asm goto(LINNET_USER_ACCESS(LINNET_USER_LOAD_32) : "=r"(value) : "m"(*from) : : fault);
    into = value;
    return true;
fault:
    return false;
}

#undef LINNET_USER_ACCESS

} // namespace linnet::arch
