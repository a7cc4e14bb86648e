// mq_open(2) and its relatives: arguments and structures; the queues are ipc's.
#include <ipc/posix_queues.hpp>
#include <net/netlink.hpp>
#include <syscalls/posix_queues.hpp>
#include <vfs/fd_table.hpp>

#include "futex_timeout.hpp"

namespace linnet::syscalls {

using process::Thread;

namespace {

/// A point of CLOCK_REALTIME; null: without end.
Result<core::Deadline> deadline_of(VirtAddr timeout) {
    if (timeout.value == 0) return core::Deadline::never();
    return deadline_at(TRY(timeout_ns(timeout)), abi::CLOCK_REALTIME);
}

} // namespace

Result<long> sys_mq_open(Thread& thread, mm::UserString name, u32 flags, u32 mode, QueueAttributesIn attributes) {
    std::optional<abi::mq_attr> wanted;
    if (attributes) wanted = TRY(attributes.copy_in());
    const mm::OwnedString text = TRY(name.copy_in());
    vfs::FdTable& files = thread.own_files();
    const int fd = TRY(files.reserve());
    Result<RefPtr<vfs::File>> file = ipc::open_posix_queue(thread, text, flags, mode, wanted);
    if (!file) {
        files.cancel(fd);
        return error(file.error());
    }
    files.install(fd, std::move(*file), vfs::CloseOnExec::Yes);
    return fd;
}

Result<long> sys_mq_unlink(Thread&, mm::UserString name) {
    TRY(ipc::unlink_posix_queue(TRY(name.copy_in())));
    return 0;
}

Result<long> sys_mq_timedsend(Thread& thread, int fd, VirtAddr text, u64 size, u32 priority, VirtAddr timeout) {
    const core::Deadline deadline = TRY(deadline_of(timeout));
    if (priority >= abi::MQ_PRIO_MAX) return error(Errno::EINVAL);
    vfs::FileRef file = TRY(thread.own_files().use(fd));
    TRY(ipc::send_posix(thread, *file, mm::UserSpan(text, size), priority, deadline));
    return 0;
}

Result<long> sys_mq_timedreceive(Thread& thread, int fd, VirtAddr room, u64 size, mm::UserPtr<mm::Out, u32> priority,
                                 VirtAddr timeout) {
    const core::Deadline deadline = TRY(deadline_of(timeout));
    vfs::FileRef file = TRY(thread.own_files().use(fd));
    return static_cast<long>(TRY(ipc::receive_posix(thread, *file, mm::UserSpan(room, size), priority, deadline)));
}

namespace {

/// A thread of the C library's is told through a netlink socket: it gets its own bytes back, of which the last says
/// what happened.
class SocketMessenger final : public ipc::Messenger {
public:
    explicit SocketMessenger(net::NetlinkPromise promise) : promise_(std::move(promise)) {}
    void tell(News news) override {
        promise_.bytes().back() = static_cast<u8>(news);
        promise_.send();
    }

private:
    net::NetlinkPromise promise_;
};

/// EFAULT, EBADF, ENOTSOCK, EINVAL: the event names no netlink socket, by `sigev_signo`.
Result<OwnPtr<ipc::Messenger>> messenger_of(Thread& thread, const abi::sigevent& event) {
    u8 cookie[abi::mq_notify_cookie_size];
    TRY(mm::copy_from_user(cookie, {event.sigev_value}, sizeof(cookie)));
    vfs::FileRef file = TRY(thread.own_files().use(event.sigev_signo));
    net::Socket& socket = TRY(net::socket_file(*file))->socket();
    return TRY(try_make<SocketMessenger>(TRY(net::NetlinkPromise::create(socket, cookie))));
}

} // namespace

Result<long> sys_mq_notify(Thread& thread, int fd, mm::UserPtr<mm::In, abi::sigevent> pointer) {
    abi::sigevent event{};
    OwnPtr<ipc::Messenger> messenger;
    if (pointer) {
        event = TRY(pointer.copy_in());
        const i32 kind = event.sigev_notify;
        if (kind < 0 || kind > abi::SIGEV_THREAD) return error(Errno::EINVAL);
        if (kind == abi::SIGEV_THREAD) messenger = TRY(messenger_of(thread, event));
        const bool is_signal = event.sigev_signo >= 0 && event.sigev_signo <= abi::signal_count;
        if (kind == abi::SIGEV_SIGNAL && !is_signal) return error(Errno::EINVAL);
    }
    vfs::FileRef file = TRY(thread.own_files().use(fd));
    TRY(ipc::notify_posix(thread, *file, pointer ? &event : nullptr, std::move(messenger)));
    return 0;
}

Result<long> sys_mq_getsetattr(Thread& thread, int fd, QueueAttributesIn fresh,
                               mm::UserPtr<mm::Out, abi::mq_attr> old) {
    abi::mq_attr wanted{};
    if (fresh) {
        wanted = TRY(fresh.copy_in());
        if (wanted.mq_flags & ~i64{abi::O_NONBLOCK}) return error(Errno::EINVAL);
    }
    vfs::FileRef file = TRY(thread.own_files().use(fd));
    const abi::mq_attr before = TRY(ipc::exchange_posix_attributes(*file, fresh ? &wanted : nullptr));
    if (old) TRY(old.copy_out(before));
    return 0;
}

} // namespace linnet::syscalls
