// What sendmsg(2) and recvmsg(2) hand to a socket and get from it: bytes, an address, and what travels beside them.
#pragma once

#include <abi/linux/socket.hpp>
#include <lib/array_list.hpp>
#include <lib/intrusive_list.hpp>
#include <lib/own_ptr.hpp>
#include <vfs/file.hpp>
#include <vfs/identity.hpp>

namespace linnet::net {

/// A socket address as user space gave it or is to get it; `length` bytes count.
struct Address {
    u32 length = 0;
    alignas(8) u8 bytes[sizeof(abi::sockaddr_storage)];

    /// AF_UNSPEC when it is too short to say.
    [[nodiscard]] int family() const;
};

/// Who sent a message (unix(7), SCM_CREDENTIALS): the process and its real user and group.
struct SenderCredentials {
    i32 pid = 0;
    u32 uid = 65534; // the overflow ids: nobody was noted
    u32 gid = 65534;
    bool is_known = false;

    /// Of the current thread.
    static SenderCredentials current();
    bool operator==(const SenderCredentials&) const = default;
};

/// Open files in a message (SCM_RIGHTS). As long as nobody has received them they count for their sender's user, and
/// sockets among them for the collector (unix/garbage.hpp).
class FileRights {
public:
    /// EINVAL beyond SCM_MAX_FD, ENOMEM.
    Result<void> add(RefPtr<vfs::File> file);
    FileRights() = default;
    FileRights(const FileRights&) = delete;
    /// Lets the files go: one after the other, and not from within another's end (file_rights.cpp).
    static void operator delete(FileRights* rights, std::destroying_delete_t);

    [[nodiscard]] std::span<RefPtr<vfs::File>> files() { return files_.span(); }
    /// Before a message is queued; ETOOMANYREFS.
    Result<void> put_in_flight();
    /// After it was taken out of the queue.
    void land();
    /// The same files once more, for MSG_PEEK.
    Result<OwnPtr<FileRights>> duplicate();

private:
    ArrayList<RefPtr<vfs::File>> files_;
    NullableRefPtr<vfs::UserCharge> user_; // while in flight
    bool is_in_flight_ = false;

public:
    ListNode node; // file_rights.cpp's own
};

/// What travels beside the bytes (cmsg(3)).
struct Ancillary {
    OwnPtr<FileRights> files;
    SenderCredentials credentials;
    NullableRefPtr<vfs::ProcessIdentity> process; // for SCM_PIDFD
};

struct SendRequest {
    vfs::IoBuffer& data;
    u32 flags = 0;                    // MSG_*
    const Address* address = nullptr; // where to; null: where the socket is connected to
    Ancillary ancillary{};
};

struct ReceiveRequest {
    vfs::IoBuffer& data;
    u32 flags = 0;              // MSG_*
    Address* address = nullptr; // receives whom it is from, when asked for
    u32 result_flags = 0;       // MSG_TRUNC, MSG_CTRUNC
    Ancillary ancillary{};
};

} // namespace linnet::net
