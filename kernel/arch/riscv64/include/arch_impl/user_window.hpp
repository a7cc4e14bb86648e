// arch/user_window.hpp: user memory is opened by sstatus.SUM.
#pragma once

#include "../../../common/exception_table.hpp"
#include <arch_impl/csr.hpp>
#include <lib/types.hpp>

namespace linnet::arch {

[[gnu::always_inline]] inline void open_user_memory() { LINNET_SET_CSR(sstatus, csr::sstatus_sum); }
[[gnu::always_inline]] inline void close_user_memory() { LINNET_CLEAR_CSR(sstatus, csr::sstatus_sum); }

template <typename T>
[[gnu::always_inline]] inline bool store_user(T* to, T value) {
    static_assert(sizeof(T) == 8 || sizeof(T) == 4);
    if constexpr (sizeof(T) == 8)
        asm goto("1: sd %z1, %0\n" LINNET_EXCEPTION_ENTRY("1b", "%l[fault]") : "=m"(*to) : "rJ"(value) : : fault);
    else
        asm goto("1: sw %z1, %0\n" LINNET_EXCEPTION_ENTRY("1b", "%l[fault]") : "=m"(*to) : "rJ"(value) : : fault);
    return true;
fault:
    return false;
}

template <typename T>
[[gnu::always_inline]] inline bool load_user(T& into, const T* from) {
    static_assert(sizeof(T) == 8 || sizeof(T) == 4);
    T value;
    if constexpr (sizeof(T) == 8)
        asm goto("1: ld %0, %1\n" LINNET_EXCEPTION_ENTRY("1b", "%l[fault]") : "=r"(value) : "m"(*from) : : fault);
    else
        asm goto("1: lw %0, %1\n" LINNET_EXCEPTION_ENTRY("1b", "%l[fault]") : "=r"(value) : "m"(*from) : : fault);
    into = value;
    return true;
fault:
    return false;
}

} // namespace linnet::arch
