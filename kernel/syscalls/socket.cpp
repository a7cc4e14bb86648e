// socket(2) and its relatives that move no bytes.
#include "socket_argument.hpp"

#include <algorithm>
#include <vfs/fd_table.hpp>

namespace linnet::syscalls {

using namespace abi;
using process::Thread;

Result<SocketRef> SocketRef::get(Thread& thread, int fd) {
    vfs::FileRef file = TRY(thread.own_files().use(fd));
    net::SocketFile* socket = TRY(net::socket_file(*file));
    return SocketRef{std::move(file), socket};
}

Result<void> copy_in_address(net::Address& to, VirtAddr from, i32 length) {
    if (length < 0 || static_cast<usize>(length) > sizeof to.bytes) return error(Errno::EINVAL);
    to.length = static_cast<u32>(length);
    return mm::copy_from_user(to.bytes, from, to.length);
}

Result<void> copy_out_address(const net::Address& from, VirtAddr to, SocketLength length) {
    const i32 room = TRY(length.copy_in());
    if (room < 0) return error(Errno::EINVAL);
    TRY(mm::copy_to_user(to, from.bytes, std::min<usize>(static_cast<usize>(room), from.length)));
    return length.copy_out(static_cast<i32>(from.length));
}

namespace {

/// The flags that socket(2) has in its type argument.
Result<void> check_type(u32 type) {
    if (type & ~(SOCK_TYPE_MASK | SOCK_CLOEXEC | SOCK_NONBLOCK)) return error(Errno::EINVAL);
    return {};
}

Result<const net::Family*> family_of(int number, u32 type) {
    if (number < 0 || number >= AF_MAX) return error(Errno::EAFNOSUPPORT);
    if ((type & SOCK_TYPE_MASK) >= SOCK_MAX) return error(Errno::EINVAL);
    return net::find_family(number);
}

Result<RefPtr<vfs::File>> make_file(const RefPtr<net::Socket>& socket, u32 flags) {
    Result<RefPtr<net::SocketFile>> file = net::SocketFile::create(socket, flags);
    if (!file) {
        socket->release();
        return error(file.error());
    }
    return RefPtr<vfs::File>(std::move(*file));
}

} // namespace

Result<long> sys_socket(Thread& thread, int family, u32 type, i32 protocol) {
    TRY(check_type(type));
    const net::Family& chosen = *TRY(family_of(family, type));
    RefPtr<net::Socket> socket = TRY(chosen.create(type & SOCK_TYPE_MASK, protocol));
    RefPtr<vfs::File> file = TRY(make_file(socket, type));
    return TRY(thread.own_files().add(std::move(file), vfs::close_on_exec(type)));
}

Result<long> sys_socketpair(Thread& thread, int family, u32 type, i32 protocol, mm::UserPtr<mm::Out, i32> fds) {
    TRY(check_type(type));
    vfs::FdReservation first = TRY(vfs::FdReservation::create(thread.own_files()));
    vfs::FdReservation second = TRY(vfs::FdReservation::create(thread.own_files()));
    const i32 numbers[2] = {first.number(), second.number()};
    TRY(fds.copy_out(std::span<const i32>(numbers)));
    const net::Family& chosen = *TRY(family_of(family, type));
    RefPtr<net::Socket> one = TRY(chosen.create(type & SOCK_TYPE_MASK, protocol));
    RefPtr<vfs::File> one_file = TRY(make_file(one, type));
    RefPtr<net::Socket> other = TRY(chosen.create(type & SOCK_TYPE_MASK, protocol));
    RefPtr<vfs::File> other_file = TRY(make_file(other, type));
    if (!chosen.connect_pair) return error(Errno::EOPNOTSUPP);
    TRY(chosen.connect_pair(*one, *other));
    first.install(std::move(one_file), vfs::close_on_exec(type));
    second.install(std::move(other_file), vfs::close_on_exec(type));
    return 0;
}

Result<long> sys_bind(Thread& thread, int fd, VirtAddr address, i32 length) {
    SocketRef socket = TRY(SocketRef::get(thread, fd));
    net::Address copy;
    TRY(copy_in_address(copy, address, length));
    TRY(socket->bind(copy));
    return 0;
}

Result<long> sys_connect(Thread& thread, int fd, VirtAddr address, i32 length) {
    SocketRef socket = TRY(SocketRef::get(thread, fd));
    net::Address copy;
    TRY(copy_in_address(copy, address, length));
    TRY(socket->connect(copy, socket.file->blocking()));
    return 0;
}

Result<long> sys_listen(Thread& thread, int fd, i32 backlog) {
    SocketRef socket = TRY(SocketRef::get(thread, fd));
    TRY(socket->listen(backlog));
    return 0;
}

Result<long> sys_accept4(Thread& thread, int fd, VirtAddr address, SocketLength length, u32 flags) {
    if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) return error(Errno::EINVAL);
    SocketRef listener = TRY(SocketRef::get(thread, fd));
    vfs::FdReservation reservation = TRY(vfs::FdReservation::create(thread.own_files()));
    RefPtr<net::Socket> socket = TRY(listener->accept(listener.file->blocking()));
    RefPtr<vfs::File> file = TRY(make_file(socket, flags));
    if (address.value != 0) {
        net::Address peer;
        if (!socket->peer_name(peer)) return error(Errno::ECONNABORTED);
        TRY(copy_out_address(peer, address, length));
    }
    return reservation.install(std::move(file), vfs::close_on_exec(flags));
}

Result<long> sys_accept(Thread& thread, int fd, VirtAddr address, SocketLength length) {
    return sys_accept4(thread, fd, address, length, 0);
}

Result<long> sys_getsockname(Thread& thread, int fd, VirtAddr address, SocketLength length) {
    SocketRef socket = TRY(SocketRef::get(thread, fd));
    net::Address name;
    TRY(socket->name(name));
    TRY(copy_out_address(name, address, length));
    return 0;
}

Result<long> sys_getpeername(Thread& thread, int fd, VirtAddr address, SocketLength length) {
    SocketRef socket = TRY(SocketRef::get(thread, fd));
    net::Address name;
    TRY(socket->peer_name(name));
    TRY(copy_out_address(name, address, length));
    return 0;
}

Result<long> sys_shutdown(Thread& thread, int fd, int how) {
    SocketRef socket = TRY(SocketRef::get(thread, fd));
    TRY(socket->shutdown(how));
    return 0;
}

Result<long> sys_setsockopt(Thread& thread, int fd, int level, int name, VirtAddr value, i32 length) {
    if (length < 0) return error(Errno::EINVAL);
    SocketRef socket = TRY(SocketRef::get(thread, fd));
    TRY(socket->set_option(level, name, mm::UserSpan(value, static_cast<usize>(length))));
    return 0;
}

Result<long> sys_getsockopt(Thread& thread, int fd, int level, int name, VirtAddr value, SocketLength length) {
    SocketRef socket = TRY(SocketRef::get(thread, fd));
    const i32 size = TRY(length.copy_in());
    if (size < 0) return error(Errno::EINVAL);
    net::OptionRoom room{mm::UserSpan(value, static_cast<usize>(size))};
    Result<void> result = socket->get_option(level, name, room);
    if (!result && result.error() != Errno::ERANGE) return error(result.error());
    TRY(length.copy_out(static_cast<i32>(room.used)));
    TRY(result);
    return 0;
}

} // namespace linnet::syscalls
