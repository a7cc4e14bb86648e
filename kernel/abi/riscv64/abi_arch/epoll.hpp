// epoll_data_t as it lies inside epoll_event on this architecture: naturally aligned (epoll_ctl(2)).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {
using epoll_data_t = u64;
} // namespace linnet::abi
