// The ports of netlink's protocols: whose they are.
#pragma once

#include "socket.hpp"

namespace linnet::net {

/// Lets a socket be found under its port, which is `port` from then on. EADDRINUSE.
Result<void> claim_port(NetlinkSocket& socket, u32 port, std::atomic<u32>& place);
void release_port(NetlinkSocket& socket);
NullableRefPtr<NetlinkSocket> find_port(i32 protocol, u32 port);
/// All sockets with a port. ENOMEM.
Result<void> collect_ports(i32 protocol, ArrayList<RefPtr<NetlinkSocket>>& found);

} // namespace linnet::net
