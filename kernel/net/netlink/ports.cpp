// A hash table of the sockets that have a port.
#include "ports.hpp"

namespace linnet::net {

namespace {

constexpr usize bucket_count = 256;
constinit core::LockClass ports_class{"netlink ports"};
constinit core::SpinLock ports_lock{ports_class};
constinit IntrusiveList<NetlinkSocket, &NetlinkSocket::port_node> buckets[bucket_count];

auto& bucket_of(u32 port) { return buckets[port % bucket_count]; }

NetlinkSocket* find_locked(i32 protocol, u32 port) {
    for (NetlinkSocket& socket : bucket_of(port))
        if (socket.protocol() == protocol && socket.port() == port) return &socket;
    return nullptr;
}

} // namespace

Result<void> claim_port(NetlinkSocket& socket, u32 port, std::atomic<u32>& place) {
    core::SpinGuard guard(ports_lock);
    if (place.load(std::memory_order_relaxed) != 0) return error(Errno::EINVAL);
    if (find_locked(socket.protocol(), port)) return error(Errno::EADDRINUSE);
    place.store(port, std::memory_order_release);
    bucket_of(port).push_back(socket);
    return {};
}

void release_port(NetlinkSocket& socket) {
    core::SpinGuard guard(ports_lock);
    socket.port_node.unlink();
}

NullableRefPtr<NetlinkSocket> find_port(i32 protocol, u32 port) {
    core::SpinGuard guard(ports_lock);
    NetlinkSocket* socket = find_locked(protocol, port);
    if (!socket || !socket->try_ref()) return {};
    return NullableRefPtr<NetlinkSocket>::adopt(socket);
}

Result<void> collect_ports(i32 protocol, ArrayList<RefPtr<NetlinkSocket>>& found) {
    for (auto& bucket : buckets) {
        for (bool is_complete = false; !is_complete;) {
            usize count = 0;
            {
                core::SpinGuard guard(ports_lock);
                for (NetlinkSocket& socket : bucket) count += socket.protocol() == protocol;
            }
            TRY(found.try_reserve(found.span().size() + count));
            core::SpinGuard guard(ports_lock);
            usize now = 0;
            for (NetlinkSocket& socket : bucket) now += socket.protocol() == protocol;
            if (now > count) continue; // more have come: more room
            for (NetlinkSocket& socket : bucket)
                if (socket.protocol() == protocol && socket.try_ref())
                    (void)found.try_push(RefPtr<NetlinkSocket>::adopt(socket));
            is_complete = true;
        }
    }
    return {};
}

} // namespace linnet::net
