// arch/user_window.hpp: the CPU lets the kernel touch user pages at any time.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

[[gnu::always_inline]] inline void open_user_memory() {}
[[gnu::always_inline]] inline void close_user_memory() {}

} // namespace linnet::arch

#define LINNET_USER_STORED "rJ"
#define LINNET_USER_STORE_64 "st.d %z1, %0"
#define LINNET_USER_STORE_32 "st.w %z1, %0"
#define LINNET_USER_LOAD_64 "ld.d %0, %1"
#define LINNET_USER_LOAD_32 "ld.w %0, %1"
#include "../../../common/user_words.hpp"
