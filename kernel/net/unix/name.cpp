// Names: the table of abstract ones, the bindings of paths. Both are looked up without a reference to the socket, which
// withdraws itself before it ends.
#include "socket.hpp"

#include <algorithm>
#include <cstring>

namespace linnet::net {

using namespace abi;

namespace {

constexpr usize bucket_count = 256;
constinit core::LockClass names_class{"abstract socket names"};
constinit core::SpinLock names_lock{names_class};
constinit IntrusiveList<UnixSocket, &UnixSocket::abstract_node> buckets[bucket_count];

IntrusiveList<UnixSocket, &UnixSocket::abstract_node>& bucket_of(std::string_view name) {
    u32 hash = 2166136261u; // FNV-1a
    for (char byte : name) hash = (hash ^ static_cast<u8>(byte)) * 16777619u;
    return buckets[(hash ^ hash >> 8 ^ hash >> 16) % bucket_count];
}

/// Takes a reference: the holder may be on its way out.
NullableRefPtr<UnixSocket> find_locked(std::string_view name, u32 type) {
    for (UnixSocket& socket : bucket_of(name)) {
        if (socket.type() != type || socket.bound_name()->path() != name) continue;
        if (socket.try_ref()) return NullableRefPtr<UnixSocket>::adopt(&socket);
    }
    return {};
}

} // namespace

Result<RefPtr<UnixName>> UnixName::create(std::string_view path) {
    auto* name = new (std::nothrow) UnixName;
    if (!name) return error(Errno::ENOMEM);
    // A path is shown with its NUL (unix(7), "Pathname sockets").
    const bool is_path = !path.empty() && path[0] != 0;
    name->size_ = static_cast<u32>(path.size() + (is_path ? 1 : 0));
    std::memcpy(name->path_, path.data(), path.size());
    return adopt_ref(*name);
}

Result<RefPtr<UnixName>> UnixName::create_automatic(u32 number) {
    char digits[6] = {};
    for (int i = 5; i > 0; --i, number >>= 4) digits[i] = "0123456789abcdef"[number & 15];
    return create({digits, sizeof digits});
}

void UnixName::copy_to(Address& address) const {
    put_unnamed(address);
    std::memcpy(address.bytes + path_offset, path_, size_);
    address.length = static_cast<u32>(path_offset + size_);
}

void put_unnamed(Address& address) {
    constexpr u16 family = AF_UNIX;
    std::memcpy(address.bytes, &family, sizeof family);
    address.length = UnixName::path_offset;
}

Result<std::string_view> path_of(const Address& address) {
    if (address.length < UnixName::path_offset || address.length > sizeof(sockaddr_un)) return error(Errno::EINVAL);
    if (address.family() != AF_UNIX) return error(Errno::EINVAL);
    const char* path = reinterpret_cast<const char*>(address.bytes) + UnixName::path_offset;
    usize size = address.length - UnixName::path_offset;
    if (size > 0 && path[0] != 0) size = static_cast<usize>(std::find(path, path + size, 0) - path);
    return std::string_view(path, size);
}

NullableRefPtr<UnixSocket> UnixBinding::socket() {
    core::SpinGuard guard(lock_);
    if (!socket_ || !socket_->try_ref()) return {};
    return NullableRefPtr<UnixSocket>::adopt(socket_);
}

void UnixBinding::forget() {
    core::SpinGuard guard(lock_);
    socket_ = nullptr;
}

Result<void> claim_abstract(UnixSocket& socket, const UnixName& name) {
    core::SpinGuard guard(names_lock);
    for (UnixSocket& other : bucket_of(name.path()))
        if (other.type() == socket.type() && other.bound_name()->path() == name.path()) return error(Errno::EADDRINUSE);
    socket.publish_name(name);
    bucket_of(name.path()).push_back(socket);
    return {};
}

void release_abstract(UnixSocket& socket) {
    core::SpinGuard guard(names_lock);
    socket.abstract_node.unlink();
}

NullableRefPtr<UnixSocket> find_abstract(std::string_view name, u32 type) {
    core::SpinGuard guard(names_lock);
    return find_locked(name, type);
}

} // namespace linnet::net
