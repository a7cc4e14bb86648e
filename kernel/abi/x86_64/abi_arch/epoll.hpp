// epoll_data_t as it lies inside epoll_event on this architecture: x86_64 packs the structure (epoll_ctl(2)), so that
// 32-bit programs see the same one.
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {
typedef u64 epoll_data_t __attribute__((aligned(4)));
} // namespace linnet::abi
