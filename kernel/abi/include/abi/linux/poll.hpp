// poll(2), select(2) and epoll(7): readiness bits and structures, the same on all four architectures but for
// epoll_event, which is packed on x86_64 only (see abi_arch).
#pragma once

#include <abi_arch/epoll.hpp>
#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr u32 POLLIN = 0x1, POLLPRI = 0x2, POLLOUT = 0x4, POLLERR = 0x8, POLLHUP = 0x10, POLLNVAL = 0x20,
                     POLLRDNORM = 0x40, POLLRDBAND = 0x80, POLLWRNORM = 0x100, POLLWRBAND = 0x200, POLLMSG = 0x400,
                     POLLREMOVE = 0x1000, POLLRDHUP = 0x2000;

struct pollfd {
    i32 fd;
    i16 events;
    i16 revents;
};
static_assert(sizeof(pollfd) == 8);

inline constexpr u32 EPOLLEXCLUSIVE = 1u << 28, EPOLLWAKEUP = 1u << 29, EPOLLONESHOT = 1u << 30, EPOLLET = 1u << 31;
inline constexpr int EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2, EPOLL_CTL_MOD = 3;
inline constexpr int EPOLL_CLOEXEC = 02000000;

struct epoll_event {
    u32 events;
    epoll_data_t data;
};

inline constexpr int EFD_SEMAPHORE = 1, EFD_CLOEXEC = 02000000, EFD_NONBLOCK = 04000;

inline constexpr int FD_SETSIZE = 1024;

} // namespace linnet::abi
