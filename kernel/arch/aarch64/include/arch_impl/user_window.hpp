// arch/user_window.hpp: user memory is opened by PAN, where the CPU has it. The copies of usercopy.S needn't: they use
// unprivileged loads and stores, which come in no pairs and reach no far offsets.
#pragma once

#include <lib/types.hpp>

extern "C" linnet::u8 arch_has_pan;

namespace linnet::arch {

[[gnu::always_inline]] inline void open_user_memory() {
    if (arch_has_pan) asm volatile(".inst 0xd500409f" : : : "memory"); // msr pan, #0
}
[[gnu::always_inline]] inline void close_user_memory() {
    if (arch_has_pan) asm volatile(".inst 0xd500419f" : : : "memory"); // msr pan, #1
}

} // namespace linnet::arch

#define LINNET_USER_STORED "rZ"
#define LINNET_USER_STORE_64 "str %x1, %0"
#define LINNET_USER_STORE_32 "str %w1, %0"
#define LINNET_USER_LOAD_64 "ldr %x0, %1"
#define LINNET_USER_LOAD_32 "ldr %w0, %1"
#include "../../../common/user_words.hpp"
