// Sockets (socket(2), socket(7)).
#pragma once

#include <abi/linux/socket.hpp>
#include <abi/linux/time.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

using SocketLength = mm::UserPtr<mm::InOut, i32>;
using MessageHeader = mm::UserPtr<mm::InOut, abi::msghdr>;
using MessageHeaders = mm::UserPtr<mm::InOut, abi::mmsghdr>;

Result<long> sys_socket(process::Thread&, int family, u32 type, i32 protocol);
Result<long> sys_socketpair(process::Thread&, int family, u32 type, i32 protocol, mm::UserPtr<mm::Out, i32> fds);
Result<long> sys_bind(process::Thread&, int fd, VirtAddr address, i32 length);
Result<long> sys_listen(process::Thread&, int fd, i32 backlog);
Result<long> sys_accept(process::Thread&, int fd, VirtAddr address, SocketLength length);
Result<long> sys_accept4(process::Thread&, int fd, VirtAddr address, SocketLength length, u32 flags);
Result<long> sys_connect(process::Thread&, int fd, VirtAddr address, i32 length);
Result<long> sys_getsockname(process::Thread&, int fd, VirtAddr address, SocketLength length);
Result<long> sys_getpeername(process::Thread&, int fd, VirtAddr address, SocketLength length);
Result<long> sys_shutdown(process::Thread&, int fd, int how);
Result<long> sys_getsockopt(process::Thread&, int fd, int level, int name, VirtAddr value, SocketLength length);
Result<long> sys_setsockopt(process::Thread&, int fd, int level, int name, VirtAddr value, i32 length);

Result<long> sys_sendto(process::Thread&, int fd, VirtAddr data, u64 size, u32 flags, VirtAddr address, i32 length);
Result<long> sys_recvfrom(process::Thread&, int fd, VirtAddr room, u64 size, u32 flags, VirtAddr address,
                          SocketLength length);
Result<long> sys_sendmsg(process::Thread&, int fd, MessageHeader header, u32 flags);
Result<long> sys_recvmsg(process::Thread&, int fd, MessageHeader header, u32 flags);
Result<long> sys_sendmmsg(process::Thread&, int fd, MessageHeaders headers, u32 count, u32 flags);
Result<long> sys_recvmmsg(process::Thread&, int fd, MessageHeaders headers, u32 count, u32 flags,
                          mm::UserPtr<mm::InOut, abi::timespec> timeout);

inline constexpr Entry socket_calls[] = {
    entry<sys_accept>("accept", nr::accept),
    entry<sys_accept4>("accept4", nr::accept4),
    entry<sys_bind>("bind", nr::bind),
    entry<sys_connect>("connect", nr::connect),
    entry<sys_getpeername>("getpeername", nr::getpeername),
    entry<sys_getsockname>("getsockname", nr::getsockname),
    entry<sys_getsockopt>("getsockopt", nr::getsockopt, Support::Partial,
                          "SOL_SOCKET without time stamps, filters, networks: ENOPROTOOPT"),
    entry<sys_listen>("listen", nr::listen),
    entry<sys_recvfrom>("recvfrom", nr::recvfrom, Support::Partial, "no MSG_OOB: EOPNOTSUPP"),
    entry<sys_recvmmsg>("recvmmsg", nr::recvmmsg, Support::Partial, "no MSG_OOB: EOPNOTSUPP"),
    entry<sys_recvmsg>("recvmsg", nr::recvmsg, Support::Partial, "no MSG_OOB: EOPNOTSUPP"),
    entry<sys_sendmmsg>("sendmmsg", nr::sendmmsg, Support::Partial, "no MSG_OOB: EOPNOTSUPP"),
    entry<sys_sendmsg>("sendmsg", nr::sendmsg, Support::Partial, "no MSG_OOB: EOPNOTSUPP"),
    entry<sys_sendto>("sendto", nr::sendto, Support::Partial, "no MSG_OOB: EOPNOTSUPP"),
    entry<sys_setsockopt>("setsockopt", nr::setsockopt, Support::Partial,
                          "SOL_SOCKET without time stamps, filters, networks: ENOPROTOOPT"),
    entry<sys_shutdown>("shutdown", nr::shutdown),
    entry<sys_socket>("socket", nr::socket, Support::Partial,
                      "AF_UNIX and AF_NETLINK only: EAFNOSUPPORT; NETLINK_ROUTE without requests: EOPNOTSUPP"),
    entry<sys_socketpair>("socketpair", nr::socketpair, Support::Partial, "AF_UNIX only: EAFNOSUPPORT"),
};

} // namespace linnet::syscalls
