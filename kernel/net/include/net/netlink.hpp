// What the rest of the kernel sends to programs through netlink sockets.
#pragma once

#include <net/socket.hpp>

namespace linnet::net {

class NetlinkSocket;
struct Packet;

/// A message that a program was promised: its room in the queue is taken already, so sending it cannot fail but by the
/// socket's end. Without being sent it leaves nothing behind.
class NetlinkPromise {
public:
    /// A message of these bytes. Waits for room as a sender does. EINVAL: no netlink socket; RestartIfRequested,
    /// ENOBUFS.
    static Result<NetlinkPromise> create(Socket& socket, std::span<const u8> bytes);
    NetlinkPromise(NetlinkPromise&&) noexcept;
    ~NetlinkPromise();

    /// The bytes, to be completed before send().
    [[nodiscard]] std::span<u8> bytes();
    /// Once.
    void send();

private:
    NetlinkPromise(NetlinkSocket& socket, Packet& packet);
    NullableRefPtr<NetlinkSocket> socket_;
    Packet* packet_;
};

} // namespace linnet::net
