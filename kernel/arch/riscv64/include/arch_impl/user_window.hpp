// arch/user_window.hpp: user memory is opened by sstatus.SUM.
#pragma once

#include <arch_impl/csr.hpp>
#include <lib/types.hpp>

namespace linnet::arch {

[[gnu::always_inline]] inline void open_user_memory() { LINNET_SET_CSR(sstatus, csr::sstatus_sum); }
[[gnu::always_inline]] inline void close_user_memory() { LINNET_CLEAR_CSR(sstatus, csr::sstatus_sum); }

} // namespace linnet::arch

#define LINNET_USER_STORED "rJ"
#define LINNET_USER_STORE_64 "sd %z1, %0"
#define LINNET_USER_STORE_32 "sw %z1, %0"
#define LINNET_USER_LOAD_64 "ld %0, %1"
#define LINNET_USER_LOAD_32 "lw %0, %1"
#include "../../../common/user_words.hpp"
