// Sockets in general: the answers of families that don't support something, the open file, the list of families.
#include "limits.hpp"

#include <cstring>
#include <net/socket.hpp>
#include <vfs/current.hpp>
#include <vfs/file_owner.hpp>
#include <vfs/inode.hpp>

namespace linnet::net {

using namespace abi;

int Address::family() const {
    if (length < sizeof(u16)) return AF_UNSPEC;
    u16 value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

SenderCredentials SenderCredentials::current() {
    const vfs::Credentials& who = vfs::current_credentials();
    return {vfs::current_process_id(), who.uid, who.gid, true};
}

Result<void> Socket::bind(const Address&) { return error(Errno::EOPNOTSUPP); }
Result<void> Socket::connect(const Address&, vfs::Blocking) { return error(Errno::EOPNOTSUPP); }
Result<void> Socket::listen(i32) { return error(Errno::EOPNOTSUPP); }
Result<RefPtr<Socket>> Socket::accept(vfs::Blocking) { return error(Errno::EOPNOTSUPP); }
Result<void> Socket::name(Address&) { return error(Errno::EOPNOTSUPP); }
Result<void> Socket::peer_name(Address&) { return error(Errno::EOPNOTSUPP); }
Result<void> Socket::shutdown(int) { return error(Errno::EOPNOTSUPP); }
Result<usize> Socket::send(SendRequest&) { return error(Errno::EOPNOTSUPP); }
Result<usize> Socket::receive(ReceiveRequest&) { return error(Errno::EOPNOTSUPP); }
Result<long> Socket::ioctl(u32, u64) { return error(Errno::ENOTTY); }

const char SocketFile::tag = 0;

SocketFile::SocketFile(RefPtr<vfs::Inode> inode, RefPtr<Socket> socket, u32 flags)
    : File(std::move(inode), O_RDWR | flags, Positioning::Stream), socket_(std::move(socket)) {
    socket_->inode_number_.store(this->inode().number(), std::memory_order_relaxed);
    socket_->file_.store(this, std::memory_order_release);
}

SocketFile::~SocketFile() {
    socket_->file_.store(nullptr, std::memory_order_release);
    socket_->release();
}

Result<RefPtr<SocketFile>> SocketFile::create(RefPtr<Socket> socket, u32 flags) {
    RefPtr<vfs::Inode> inode = TRY(vfs::create_anonymous_inode(S_IFSOCK | 0777));
    auto* file = new (std::nothrow) SocketFile(std::move(inode), std::move(socket), flags & O_NONBLOCK);
    if (!file) return error(Errno::ENOMEM);
    return adopt_ref(*file);
}

Result<usize> SocketFile::read(vfs::IoBuffer& to, u64 offset) { return read_for_pipe(to, offset, blocking()); }

Result<usize> SocketFile::read_for_pipe(vfs::IoBuffer& to, u64, vfs::Blocking blocking) {
    if (to.remaining() == 0) return 0;
    const bool refuses = is_nonblocking() || blocking == vfs::Blocking::Refuse;
    ReceiveRequest request{.data = to, .flags = refuses ? MSG_DONTWAIT : 0};
    return socket_->receive(request);
}

Result<usize> SocketFile::write(vfs::IoBuffer& from, u64) {
    SendRequest request{.data = from, .flags = is_nonblocking() ? MSG_DONTWAIT : 0};
    return socket_->send(request);
}

/// Owners have commands of their own here beside fcntl(2)'s (socket(7), "Ioctls").
Result<long> SocketFile::ioctl(u32 command, u64 argument) {
    switch (command) {
    case FIOSETOWN:
    case SIOCSPGRP: {
        const i32 wanted = TRY((mm::UserPtr<mm::In, i32>(VirtAddr{argument}).copy_in()));
        TRY(vfs::set_file_owner(*this, wanted));
        return 0;
    }
    case FIOGETOWN:
    case SIOCGPGRP:
        TRY((mm::UserPtr<mm::Out, i32>(VirtAddr{argument}).copy_out(vfs::file_owner_number(*this).as_one())));
        return 0;
    default:
        return socket_->ioctl(command, argument);
    }
}

Result<SocketFile*> socket_file(vfs::File& file) {
    if (file.kind() != &SocketFile::tag) return error(Errno::ENOTSOCK);
    return static_cast<SocketFile*>(&file);
}

namespace {

constinit const Family* families[AF_MAX] = {};

} // namespace

void register_family(const Family& family) { families[family.number] = &family; }

Result<const Family*> find_family(int number) {
    if (number < 0 || number >= AF_MAX || !families[number]) return error(Errno::EAFNOSUPPORT);
    return families[number];
}

} // namespace linnet::net
