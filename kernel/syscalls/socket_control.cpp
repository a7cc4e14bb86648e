// Control messages: open files and credentials beside the bytes (cmsg(3), unix(7)).
#include "socket_argument.hpp"

#include <algorithm>
#include <cstring>
#include <process/process.hpp>
#include <vfs/fd_table.hpp>

namespace linnet::syscalls {

using namespace abi;
using process::Thread;

namespace {

/// What Linux lets a socket take of control messages (optmem_max); more is ENOBUFS.
constexpr u64 control_limit = 20480;
constexpr usize header_size = sizeof(cmsghdr);
constexpr usize aligned(usize size) { return (size + sizeof(u64) - 1) & ~(sizeof(u64) - 1); }

Result<void> parse_rights(Thread& thread, std::span<const u8> data, net::Ancillary& ancillary) {
    const usize count = data.size() / sizeof(i32);
    if (count == 0) return {};
    if (!ancillary.files) ancillary.files = TRY(try_make<net::FileRights>());
    for (usize i = 0; i < count; ++i) {
        i32 fd;
        std::memcpy(&fd, data.data() + i * sizeof fd, sizeof fd);
        TRY(ancillary.files->add(TRY(thread.own_files().get(fd))));
    }
    return {};
}

/// unix(7), SCM_CREDENTIALS: one's own ids, or what capabilities allow.
Result<void> parse_credentials(Thread& thread, std::span<const u8> data, net::Ancillary& ancillary) {
    if (data.size() != sizeof(ucred)) return error(Errno::EINVAL);
    ucred given;
    std::memcpy(&given, data.data(), sizeof given);
    const vfs::Credentials& who = thread.own_credentials();
    using vfs::Capability;
    const bool is_own_pid = given.pid == thread.process().pid();
    const bool is_own_uid = given.uid == who.uid || given.uid == who.euid || given.uid == who.suid;
    const bool is_own_gid = given.gid == who.gid || given.gid == who.egid || given.gid == who.sgid;
    if ((!is_own_pid && !who.has(Capability::SysAdmin)) || (!is_own_uid && !who.has(Capability::Setuid)) ||
        (!is_own_gid && !who.has(Capability::Setgid)))
        return error(Errno::EPERM);
    ancillary.process = vfs::process_identity(given.pid);
    if (!ancillary.process) return error(Errno::ESRCH);
    if (given.uid == ~0u || given.gid == ~0u) return error(Errno::EINVAL);
    ancillary.credentials = {given.pid, given.uid, given.gid, true};
    return {};
}

Result<void> parse_one(Thread& thread, const cmsghdr& header, std::span<const u8> data, net::Ancillary& ancillary) {
    if (header.cmsg_level != SOL_SOCKET) return {};
    switch (header.cmsg_type) {
    case SCM_RIGHTS:
        return parse_rights(thread, data, ancillary);
    case SCM_CREDENTIALS:
        return parse_credentials(thread, data, ancillary);
    default:
        return error(Errno::EINVAL);
    }
}

/// Where control messages are written; remembers that one didn't fit.
struct ControlRoom {
    VirtAddr at;
    u64 left;
    u64 used = 0;
    bool is_truncated = false;

    void advance(u64 size) {
        size = std::min(size, left);
        at.value += size;
        left -= size;
        used += size;
    }
    Result<void> put(i32 type, std::span<const u8> data) {
        if (left < header_size) return is_truncated = true, Result<void>{};
        u64 size = header_size + data.size();
        if (size > left) is_truncated = true, size = left;
        const cmsghdr header{size, SOL_SOCKET, type};
        TRY(mm::copy_to_user(at, &header, header_size));
        TRY(mm::copy_to_user(at + header_size, data.data(), size - header_size));
        advance(header_size + aligned(data.size()));
        return {};
    }
};

/// Opens one file here and stores its number at `place`.
Result<void> open_here(Thread& thread, RefPtr<vfs::File> file, VirtAddr place, vfs::CloseOnExec close_on_exec) {
    vfs::FdReservation reservation = TRY(vfs::FdReservation::create(thread.own_files()));
    const i32 number = reservation.number();
    TRY(mm::copy_to_user(place, &number, sizeof number));
    reservation.install(std::move(file), close_on_exec);
    return {};
}

/// As many files as there is room and descriptors for; the others are lost (unix(7), MSG_CTRUNC).
Result<void> put_files(Thread& thread, ControlRoom& room, net::ReceiveRequest& request) {
    net::FileRights& rights = *request.ancillary.files;
    rights.land();
    const vfs::CloseOnExec close_on_exec =
        request.flags & MSG_CMSG_CLOEXEC ? vfs::CloseOnExec::Yes : vfs::CloseOnExec::No;
    const usize fit = room.left < header_size ? 0 : (room.left - header_size) / sizeof(i32);
    const usize wanted = std::min(fit, rights.files().size());
    usize opened = 0;
    while (opened < wanted &&
           open_here(thread, rights.files()[opened], room.at + header_size + opened * sizeof(i32), close_on_exec))
        ++opened;
    if (opened < rights.files().size()) room.is_truncated = true;
    if (opened == 0) return {};
    const cmsghdr header{header_size + opened * sizeof(i32), SOL_SOCKET, SCM_RIGHTS};
    TRY(mm::copy_to_user(room.at, &header, sizeof header));
    room.advance(header_size + aligned(opened * sizeof(i32)));
    return {};
}

Result<void> put_pidfd(Thread& thread, ControlRoom& room, net::ReceiveRequest& request) {
    if (room.left < header_size + sizeof(i32)) return room.is_truncated = true, Result<void>{};
    i32 number = -static_cast<i32>(Errno::ESRCH); // what newer kernels store for a process that is gone
    Result<RefPtr<vfs::File>> pidfd = request.ancillary.process ? request.ancillary.process->open_pidfd(0)
                                                                : Result<RefPtr<vfs::File>>(error(Errno::ESRCH));
    if (!pidfd) return room.put(SCM_PIDFD, {reinterpret_cast<const u8*>(&number), sizeof number});
    vfs::FdReservation reservation = TRY(vfs::FdReservation::create(thread.own_files()));
    number = reservation.number();
    TRY(room.put(SCM_PIDFD, {reinterpret_cast<const u8*>(&number), sizeof number}));
    reservation.install(std::move(*pidfd), vfs::CloseOnExec::Yes);
    return {};
}

} // namespace

Result<void> parse_control(Thread& thread, VirtAddr control, u64 size, net::Ancillary& ancillary) {
    if (size == 0) return {};
    if (size > control_limit) return error(Errno::ENOBUFS);
    ArrayList<u8> copy;
    TRY(copy.try_resize(size));
    TRY(mm::copy_from_user(copy.begin(), control, size));
    for (usize at = 0; size - at >= header_size;) {
        cmsghdr header;
        std::memcpy(&header, &copy[at], sizeof header);
        if (header.cmsg_len < header_size || header.cmsg_len > size - at) return error(Errno::EINVAL);
        TRY(parse_one(thread, header, copy.span().subspan(at + header_size, header.cmsg_len - header_size), ancillary));
        at += std::min<usize>(aligned(header.cmsg_len), size - at);
    }
    return {};
}

Result<u64> deliver_control(Thread& thread, const net::Socket& socket, VirtAddr control, u64 size,
                            net::ReceiveRequest& request) {
    ControlRoom room{control, control.value ? size : 0};
    const net::SenderPassing passing = socket.sender_passing();
    if (passing.credentials) {
        const net::SenderCredentials& from = request.ancillary.credentials;
        const ucred shown{from.pid, from.uid, from.gid};
        TRY(room.put(SCM_CREDENTIALS, {reinterpret_cast<const u8*>(&shown), sizeof shown}));
    }
    if (request.ancillary.files) TRY(put_files(thread, room, request));
    if (passing.pidfd) TRY(put_pidfd(thread, room, request));
    if (room.is_truncated) request.result_flags |= MSG_CTRUNC;
    return room.used;
}

} // namespace linnet::syscalls
