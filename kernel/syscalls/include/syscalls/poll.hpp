// Waiting for files: poll(2), select(2), epoll(7); and the files made only to be waited for: eventfd(2), signalfd(2),
// pipe(2), splice(2).
#pragma once

#include <abi/linux/fcntl.hpp>
#include <abi/linux/poll.hpp>
#include <abi/linux/time.hpp>
#include <syscalls/signal.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

using PollFds = mm::UserPtr<mm::InOut, abi::pollfd>;
using TimespecIn = mm::UserPtr<mm::In, abi::timespec>;
using TimespecInOut = mm::UserPtr<mm::InOut, abi::timespec>;
using TimevalInOut = mm::UserPtr<mm::InOut, abi::timeval>;
/// An fd_set, as the 64-bit words it is made of.
using FdSet = mm::UserPtr<mm::InOut, u64>;
using OffsetPtr = mm::UserPtr<mm::InOut, i64>;
using EpollEventsOut = mm::UserPtr<mm::Out, abi::epoll_event>;

/// pselect6's last argument points at this.
struct SigSetArgument {
    u64 address;
    u64 size;
};

Result<long> sys_poll(process::Thread&, PollFds fds, u32 count, int timeout_ms);
Result<long> sys_ppoll(process::Thread&, PollFds fds, u32 count, TimespecInOut timeout, SigSetIn mask, u64 set_size);
Result<long> sys_select(process::Thread&, int count, FdSet readable, FdSet writable, FdSet exceptional,
                        TimevalInOut timeout);
Result<long> sys_pselect6(process::Thread&, int count, FdSet readable, FdSet writable, FdSet exceptional,
                          TimespecInOut timeout, mm::UserPtr<mm::In, SigSetArgument> mask);

Result<long> sys_epoll_create(process::Thread&, int size);
Result<long> sys_epoll_create1(process::Thread&, u32 flags);
Result<long> sys_epoll_ctl(process::Thread&, int epfd, int operation, int fd,
                           mm::UserPtr<mm::In, abi::epoll_event> event);
Result<long> sys_epoll_wait(process::Thread&, int epfd, EpollEventsOut events, int limit, int timeout_ms);
Result<long> sys_epoll_pwait(process::Thread&, int epfd, EpollEventsOut events, int limit, int timeout_ms,
                             SigSetIn mask, u64 set_size);
Result<long> sys_epoll_pwait2(process::Thread&, int epfd, EpollEventsOut events, int limit, TimespecIn timeout,
                              SigSetIn mask, u64 set_size);

Result<long> sys_eventfd(process::Thread&, u32 initial);
Result<long> sys_eventfd2(process::Thread&, u32 initial, u32 flags);
Result<long> sys_signalfd(process::Thread&, int fd, SigSetIn mask, u64 set_size);
Result<long> sys_signalfd4(process::Thread&, int fd, SigSetIn mask, u64 set_size, u32 flags);
Result<long> sys_inotify_init(process::Thread&);
Result<long> sys_inotify_init1(process::Thread&, u32 flags);
Result<long> sys_inotify_add_watch(process::Thread&, int fd, mm::UserString path, u32 mask);
Result<long> sys_inotify_rm_watch(process::Thread&, int fd, int descriptor);
Result<long> sys_pipe(process::Thread&, mm::UserPtr<mm::Out, i32> fds);
Result<long> sys_pipe2(process::Thread&, mm::UserPtr<mm::Out, i32> fds, u32 flags);
Result<long> sys_splice(process::Thread&, int in, OffsetPtr in_offset, int out, OffsetPtr out_offset, u64 count,
                        u32 flags);
Result<long> sys_tee(process::Thread&, int in, int out, u64 count, u32 flags);
Result<long> sys_vmsplice(process::Thread&, int fd, mm::UserPtr<mm::In, abi::iovec> vectors, u64 vector_count,
                          u32 flags);

inline constexpr Entry poll_calls[] = {
    entry<sys_epoll_create>("epoll_create", nr::epoll_create),
    entry<sys_epoll_create1>("epoll_create1", nr::epoll_create1),
    entry<sys_epoll_ctl>("epoll_ctl", nr::epoll_ctl),
    entry<sys_epoll_pwait>("epoll_pwait", nr::epoll_pwait),
    entry<sys_epoll_pwait2>("epoll_pwait2", nr::epoll_pwait2),
    entry<sys_epoll_wait>("epoll_wait", nr::epoll_wait),
    entry<sys_eventfd>("eventfd", nr::eventfd),
    entry<sys_eventfd2>("eventfd2", nr::eventfd2),
    entry<sys_inotify_add_watch>("inotify_add_watch", nr::inotify_add_watch),
    entry<sys_inotify_init>("inotify_init", nr::inotify_init),
    entry<sys_inotify_init1>("inotify_init1", nr::inotify_init1),
    entry<sys_inotify_rm_watch>("inotify_rm_watch", nr::inotify_rm_watch),
    entry<sys_pipe>("pipe", nr::pipe),
    entry<sys_pipe2>("pipe2", nr::pipe2),
    entry<sys_poll>("poll", nr::poll),
    entry<sys_ppoll>("ppoll", nr::ppoll),
    entry<sys_pselect6>("pselect6", nr::pselect6),
    entry<sys_select>("select", nr::select),
    entry<sys_signalfd>("signalfd", nr::signalfd),
    entry<sys_signalfd4>("signalfd4", nr::signalfd4),
    entry<sys_splice>("splice", nr::splice),
    entry<sys_tee>("tee", nr::tee),
    entry<sys_vmsplice>("vmsplice", nr::vmsplice),
};

} // namespace linnet::syscalls
