// Names of Unix-domain sockets (unix(7), "Address format").
#pragma once

#include <core/spinlock.hpp>
#include <lib/intrusive_list.hpp>
#include <net/message.hpp>
#include <string_view>
#include <vfs/inode.hpp>

namespace linnet::net {

class UnixSocket;

/// A sockaddr_un as its owner shows it; constant.
class UnixName : public RefCounted<UnixName> {
public:
    static constexpr usize path_offset = 2;

    static Result<RefPtr<UnixName>> create(std::string_view path);
    /// An abstract name of five digits (unix(7), "Autobind feature").
    static Result<RefPtr<UnixName>> create_automatic(u32 number);

    void copy_to(Address& address) const;
    /// sun_path: a path with its NUL, or an abstract name with the NUL before it.
    [[nodiscard]] std::string_view path() const { return {path_, size_}; }
    [[nodiscard]] bool is_abstract() const { return path_[0] == 0; }

private:
    u32 size_ = 0;
    char path_[sizeof(abi::sockaddr_un::sun_path) + 1] = {};
};

/// What an address says: EINVAL when it is none of AF_UNIX. A path ends where its first NUL is; empty: autobind.
Result<std::string_view> path_of(const Address& address);
void put_unnamed(Address& address);

/// On the inode of a bound path: whose it is.
class UnixBinding final : public vfs::InodeAttachment {
public:
    explicit UnixBinding(UnixSocket& socket) : socket_(&socket) {}
    NullableRefPtr<UnixSocket> socket();
    void forget();

private:
    core::SpinLock lock_;
    UnixSocket* socket_; // not counted; forgets itself before it ends
};

/// The abstract names. A name belongs to one socket of each type.
Result<void> claim_abstract(UnixSocket& socket, const UnixName& name); // EADDRINUSE
void release_abstract(UnixSocket& socket);
NullableRefPtr<UnixSocket> find_abstract(std::string_view name, u32 type);

} // namespace linnet::net
