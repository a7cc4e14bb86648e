// arch/user_window.hpp: user memory is opened by PAN, where the CPU has it. The copies of usercopy.S needn't: they use
// unprivileged loads and stores, which come in no pairs and reach no far offsets.
#pragma once

#include "../../../common/exception_table.hpp"
#include <lib/types.hpp>

extern "C" linnet::u8 arch_has_pan;

namespace linnet::arch {

[[gnu::always_inline]] inline void open_user_memory() {
    if (arch_has_pan) asm volatile(".inst 0xd500409f" : : : "memory"); // msr pan, #0
}
[[gnu::always_inline]] inline void close_user_memory() {
    if (arch_has_pan) asm volatile(".inst 0xd500419f" : : : "memory"); // msr pan, #1
}

template <typename T>
[[gnu::always_inline]] inline bool store_user(T* to, T value) {
    static_assert(sizeof(T) == 8 || sizeof(T) == 4);
    if constexpr (sizeof(T) == 8)
        asm goto("1: str %x1, %0\n" LINNET_EXCEPTION_ENTRY("1b", "%l[fault]") : "=m"(*to) : "rZ"(value) : : fault);
    else
        asm goto("1: str %w1, %0\n" LINNET_EXCEPTION_ENTRY("1b", "%l[fault]") : "=m"(*to) : "rZ"(value) : : fault);
    return true;
fault:
    return false;
}

template <typename T>
[[gnu::always_inline]] inline bool load_user(T& into, const T* from) {
    static_assert(sizeof(T) == 8 || sizeof(T) == 4);
    T value;
    if constexpr (sizeof(T) == 8)
        asm goto("1: ldr %x0, %1\n" LINNET_EXCEPTION_ENTRY("1b", "%l[fault]") : "=r"(value) : "m"(*from) : : fault);
    else
        asm goto("1: ldr %w0, %1\n" LINNET_EXCEPTION_ENTRY("1b", "%l[fault]") : "=r"(value) : "m"(*from) : : fault);
    into = value;
    return true;
fault:
    return false;
}

} // namespace linnet::arch
