// epoll(7).
#include "wait_time.hpp"
#include <process/thread.hpp>
#include <syscalls/poll.hpp>
#include <vfs/epoll.hpp>
#include <vfs/fd_table.hpp>

namespace linnet::syscalls {

namespace {

using process::Thread;

Result<long> create(Thread& thread, u32 flags) {
    if (flags & ~static_cast<u32>(abi::EPOLL_CLOEXEC)) return error(Errno::EINVAL);
    RefPtr<vfs::EpollFile> file = TRY(vfs::EpollFile::create(0));
    return TRY(thread.own_files().add(std::move(file), vfs::close_on_exec(flags)));
}

Result<long> wait(Thread& thread, int epfd, EpollEventsOut events, int limit, core::Deadline deadline) {
    constexpr int most = static_cast<int>(INT32_MAX / sizeof(abi::epoll_event));
    if (limit <= 0 || limit > most) return error(Errno::EINVAL);
    if (!arch::is_user_range(events.address(), static_cast<usize>(limit) * sizeof(abi::epoll_event)))
        return error(Errno::EFAULT);
    vfs::FileRef file = TRY(thread.own_files().use(epfd));
    vfs::EpollFile* epoll = file->as_epoll();
    if (!epoll) return error(Errno::EINVAL);
    return static_cast<long>(
        TRY(epoll->wait(static_cast<usize>(limit), deadline, [&](usize index, abi::epoll_event event) -> Result<void> {
            return events.element(index).copy_out(event);
        })));
}

} // namespace

Result<long> sys_epoll_create(Thread& thread, int size) {
    if (size <= 0) return error(Errno::EINVAL);
    return create(thread, 0);
}

Result<long> sys_epoll_create1(Thread& thread, u32 flags) { return create(thread, flags); }

Result<long> sys_epoll_ctl(Thread& thread, int epfd, int operation, int fd,
                           mm::UserPtr<mm::In, abi::epoll_event> event) {
    abi::epoll_event wanted{};
    if (operation != abi::EPOLL_CTL_DEL) wanted = TRY(event.copy_in());
    vfs::FileRef epoll_file = TRY(thread.own_files().use(epfd));
    vfs::FileRef file = TRY(thread.own_files().use(fd));
    if (!file->event_source()) return error(Errno::EPERM);
    vfs::EpollFile* epoll = epoll_file->as_epoll();
    if (!epoll) return error(Errno::EINVAL);
    TRY(epoll->control(operation, fd, *file, wanted));
    return 0;
}

Result<long> sys_epoll_wait(Thread& thread, int epfd, EpollEventsOut events, int limit, int timeout_ms) {
    return wait(thread, epfd, events, limit, deadline_after_ms(timeout_ms));
}

Result<long> sys_epoll_pwait(Thread& thread, int epfd, EpollEventsOut events, int limit, int timeout_ms, SigSetIn mask,
                             u64 set_size) {
    TRY(install_mask(thread, mask, set_size));
    Result<long> result = wait(thread, epfd, events, limit, deadline_after_ms(timeout_ms));
    remove_mask(thread, result);
    return result;
}

Result<long> sys_epoll_pwait2(Thread& thread, int epfd, EpollEventsOut events, int limit, TimespecIn timeout,
                              SigSetIn mask, u64 set_size) {
    core::Deadline deadline = core::Deadline::never();
    if (!timeout.is_null()) deadline = TRY(deadline_after(TRY(timeout.copy_in())));
    TRY(install_mask(thread, mask, set_size));
    Result<long> result = wait(thread, epfd, events, limit, deadline);
    remove_mask(thread, result);
    return result;
}

} // namespace linnet::syscalls
