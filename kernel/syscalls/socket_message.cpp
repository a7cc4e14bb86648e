// Sending and receiving by sockets: sendto, recvfrom, sendmsg, recvmsg and many messages at once.
#include "io_vectors.hpp"
#include "socket_argument.hpp"
#include "wait_time.hpp"

#include <abi/linux/fs.hpp>
#include <algorithm>
#include <cstddef>

namespace linnet::syscalls {

using namespace abi;
using process::Thread;

namespace {

constexpr u32 most_messages = 1024; // sendmmsg(2)

void count_sent(Thread& thread, usize bytes) {
    thread.written_bytes.store(thread.written_bytes.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);
}
void count_received(Thread& thread, usize bytes) {
    thread.read_bytes.store(thread.read_bytes.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);
}

Result<void> check_header(msghdr& header) {
    if (header.msg_name == 0) header.msg_namelen = 0;
    if (header.msg_namelen < 0) return error(Errno::EINVAL);
    header.msg_namelen = std::min<i32>(header.msg_namelen, sizeof(sockaddr_storage));
    if (header.msg_iovlen > IOV_MAX) return error(Errno::EMSGSIZE);
    return {};
}

Result<usize> send_message(Thread& thread, SocketRef& socket, MessageHeader pointer, u32 flags) {
    msghdr header = TRY(pointer.copy_in());
    TRY(check_header(header));
    net::Address address;
    if (header.msg_name && header.msg_namelen > 0)
        TRY(copy_in_address(address, VirtAddr{header.msg_name}, header.msg_namelen));
    IoVectors vectors;
    vfs::IoBuffer data = TRY(vectors.import(IovecIn(VirtAddr{header.msg_iov}), header.msg_iovlen));
    if (header.msg_controllen > 0x7fff'ffff) return error(Errno::ENOBUFS);
    net::SendRequest request{.data = data, .flags = flags | socket.waiting_flags()};
    if (header.msg_namelen > 0) request.address = &address;
    if (header.msg_control)
        TRY(parse_control(thread, VirtAddr{header.msg_control}, header.msg_controllen, request.ancillary));
    const usize sent = TRY(socket->send(request));
    count_sent(thread, sent);
    return sent;
}

Result<usize> receive_message(Thread& thread, SocketRef& socket, MessageHeader pointer, u32 flags) {
    msghdr header = TRY(pointer.copy_in());
    const i32 name_room = header.msg_namelen;
    TRY(check_header(header));
    IoVectors vectors;
    vfs::IoBuffer data = TRY(vectors.import(IovecIn(VirtAddr{header.msg_iov}), header.msg_iovlen));
    net::Address address;
    net::ReceiveRequest request{.data = data, .flags = flags | socket.waiting_flags()};
    if (header.msg_name) request.address = &address;
    request.result_flags = flags & MSG_CMSG_CLOEXEC;
    const usize received = TRY(socket->receive(request));
    const u64 control_used =
        TRY(deliver_control(thread, *socket, VirtAddr{header.msg_control}, header.msg_controllen, request));
    if (header.msg_name) {
        const usize fits = std::min<usize>(static_cast<usize>(name_room), address.length);
        TRY(mm::copy_to_user(VirtAddr{header.msg_name}, address.bytes, fits));
        header.msg_namelen = static_cast<i32>(address.length);
        TRY((
            mm::UserPtr<mm::Out, i32>(pointer.address() + offsetof(msghdr, msg_namelen)).copy_out(header.msg_namelen)));
    }
    TRY((mm::UserPtr<mm::Out, u32>(pointer.address() + offsetof(msghdr, msg_flags)).copy_out(request.result_flags)));
    TRY((mm::UserPtr<mm::Out, u64>(pointer.address() + offsetof(msghdr, msg_controllen)).copy_out(control_used)));
    count_received(thread, received);
    return received;
}

/// The number of bytes of one of many messages.
Result<void> put_length(MessageHeaders headers, u32 index, usize length) {
    const VirtAddr place = headers.element(index).address() + offsetof(mmsghdr, msg_len);
    return mm::UserPtr<mm::Out, u32>(place).copy_out(static_cast<u32>(length));
}

} // namespace

Result<long> sys_sendto(Thread& thread, int fd, VirtAddr data, u64 size, u32 flags, VirtAddr address, i32 length) {
    vfs::IoBuffer buffer = TRY(import_range(data, std::min<u64>(size, MAX_RW_COUNT)));
    SocketRef socket = TRY(SocketRef::get(thread, fd));
    net::Address copy;
    net::SendRequest request{.data = buffer, .flags = flags | socket.waiting_flags()};
    if (address.value) {
        TRY(copy_in_address(copy, address, length));
        if (length > 0) request.address = &copy;
    }
    const usize sent = TRY(socket->send(request));
    count_sent(thread, sent);
    return static_cast<long>(sent);
}

Result<long> sys_recvfrom(Thread& thread, int fd, VirtAddr room, u64 size, u32 flags, VirtAddr address,
                          SocketLength length) {
    vfs::IoBuffer buffer = TRY(import_range(room, std::min<u64>(size, MAX_RW_COUNT)));
    SocketRef socket = TRY(SocketRef::get(thread, fd));
    net::Address from;
    net::ReceiveRequest request{.data = buffer, .flags = flags | socket.waiting_flags()};
    if (address.value) request.address = &from;
    const usize received = TRY(socket->receive(request));
    count_received(thread, received);
    if (address.value) TRY(copy_out_address(from, address, length));
    return static_cast<long>(received);
}

Result<long> sys_sendmsg(Thread& thread, int fd, MessageHeader header, u32 flags) {
    SocketRef socket = TRY(SocketRef::get(thread, fd));
    return static_cast<long>(TRY(send_message(thread, socket, header, flags)));
}

Result<long> sys_recvmsg(Thread& thread, int fd, MessageHeader header, u32 flags) {
    SocketRef socket = TRY(SocketRef::get(thread, fd));
    return static_cast<long>(TRY(receive_message(thread, socket, header, flags)));
}

Result<long> sys_sendmmsg(Thread& thread, int fd, MessageHeaders headers, u32 count, u32 flags) {
    SocketRef socket = TRY(SocketRef::get(thread, fd));
    count = std::min(count, most_messages);
    for (u32 sent = 0; sent < count; ++sent) {
        Result<usize> length = send_message(thread, socket, MessageHeader(headers.element(sent).address()), flags);
        Result<void> stored = length ? put_length(headers, sent, *length) : error(length.error());
        if (stored) continue;
        // What has been sent is told; the error comes with the next call, if it lasts.
        if (sent > 0) return sent;
        return error(stored.error());
    }
    return count;
}

Result<long> sys_recvmmsg(Thread& thread, int fd, MessageHeaders headers, u32 count, u32 flags,
                          mm::UserPtr<mm::InOut, timespec> timeout) {
    core::Deadline deadline = core::Deadline::never();
    if (timeout) deadline = TRY(deadline_after(TRY(timeout.copy_in())));
    SocketRef socket = TRY(SocketRef::get(thread, fd));
    if (Errno happened = socket->take_error(); happened != Errno{}) return error(happened);
    u32 received = 0;
    Result<void> result{};
    while (received < count) {
        Result<usize> length = receive_message(thread, socket, MessageHeader(headers.element(received).address()),
                                               flags & ~MSG_WAITFORONE);
        result = length ? put_length(headers, received, *length) : error(length.error());
        if (!result) break;
        ++received;
        if (flags & MSG_WAITFORONE) flags |= MSG_DONTWAIT;
        // The time is looked at between messages only (recvmmsg(2), BUGS).
        if (!deadline.is_never() && core::monotonic_ns() >= deadline.ns) break;
    }
    if (timeout && !deadline.is_never()) TRY(timeout.copy_out(time_left(deadline)));
    if (received > 0) {
        if (!result && result.error() < Errno::RestartIfRequested && result.error() != Errno::EAGAIN)
            socket->set_error(result.error());
        return received;
    }
    TRY(result);
    return 0;
}

} // namespace linnet::syscalls
