// Addresses and control messages as sockets' calls take and give them.
#pragma once

#include <net/socket.hpp>
#include <syscalls/socket.hpp>
#include <vfs/fd_table.hpp>

namespace linnet::syscalls {

/// The socket behind a descriptor for the length of one call. EBADF, ENOTSOCK.
struct SocketRef {
    static Result<SocketRef> get(process::Thread& thread, int fd);
    net::Socket& operator*() const { return file->socket(); }
    net::Socket* operator->() const { return &file->socket(); }
    /// MSG_DONTWAIT where the descriptor has O_NONBLOCK.
    [[nodiscard]] u32 waiting_flags() const { return file->is_nonblocking() ? abi::MSG_DONTWAIT : 0; }

    vfs::FileRef reference;
    net::SocketFile* file;
};

/// EINVAL for a length that no address has, EFAULT.
Result<void> copy_in_address(net::Address& to, VirtAddr from, i32 length);
/// As much of it as fits; `length` says how much room there is, and receives how long it is.
Result<void> copy_out_address(const net::Address& from, VirtAddr to, SocketLength length);

/// sendmsg(2)'s control messages. EINVAL, EBADF, EPERM, ESRCH, ENOBUFS.
Result<void> parse_control(process::Thread& thread, VirtAddr control, u64 size, net::Ancillary& ancillary);
/// Writes what came with a message as far as it fits into `size` bytes at `control`; returns how many were used.
Result<u64> deliver_control(process::Thread& thread, const net::Socket& socket, VirtAddr control, u64 size,
                            net::ReceiveRequest& request);

} // namespace linnet::syscalls
