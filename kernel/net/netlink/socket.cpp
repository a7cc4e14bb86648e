// Netlink sockets: how they are made, their ports, groups and options, and their end.
#include "socket.hpp"

#include "ports.hpp"

#include <algorithm>
#include <cstring>
#include <vfs/current.hpp>

namespace linnet::net {

using namespace abi;

const char NetlinkSocket::tag = 0;

namespace {

/// As many as nl_groups has bits; Linux has a few more for NETLINK_ROUTE.
constexpr i32 group_count = 32;

bool is_manager() { return vfs::current_credentials().has(vfs::Capability::NetAdmin); }

Result<sockaddr_nl> parse(const Address& address) {
    if (address.length < sizeof(sockaddr_nl) || address.family() != AF_NETLINK) return error(Errno::EINVAL);
    sockaddr_nl value;
    std::memcpy(&value, address.bytes, sizeof value);
    return value;
}

void show(Address& address, u32 port, u32 groups) {
    const sockaddr_nl value{AF_NETLINK, 0, port, groups};
    std::memcpy(address.bytes, &value, sizeof value);
    address.length = sizeof value;
}

} // namespace

NetlinkSocket::NetlinkSocket(u32 type, i32 protocol) : Socket(AF_NETLINK, type, protocol) {
    send_buffer_.store(static_cast<u32>(limits.write_default.load()));
    receive_buffer_.store(static_cast<u32>(limits.read_default.load()));
}

Result<RefPtr<Socket>> NetlinkSocket::create(u32 type, i32 protocol) {
    if (type != SOCK_RAW && type != SOCK_DGRAM) return error(Errno::ESOCKTNOSUPPORT);
    if (protocol != NETLINK_ROUTE && protocol != NETLINK_USERSOCK) return error(Errno::EPROTONOSUPPORT);
    auto* socket = new (std::nothrow) NetlinkSocket(type, protocol);
    if (!socket) return error(Errno::ENOMEM);
    return RefPtr<Socket>(adopt_ref(*socket));
}

// ---- ports ----

/// Whoever wants may talk with others by the protocol that is there for it.
bool NetlinkSocket::may_name_others() const { return protocol() == NETLINK_USERSOCK || is_manager(); }

Result<void> NetlinkSocket::bind_port(u32 port) {
    if (is_closed_.load(std::memory_order_acquire)) return error(Errno::EINVAL);
    return claim_port(*this, port, port_);
}

/// The process's id, or if that is taken a negative number (netlink(7), nl_pid).
Result<void> NetlinkSocket::bind_automatically() {
    static constinit std::atomic<u32> last{static_cast<u32>(-4097)};
    u32 wanted = static_cast<u32>(vfs::current_process_id());
    while (port() == 0) {
        Result<void> result = bind_port(wanted);
        if (result) return {};
        if (result.error() != Errno::EADDRINUSE) return port() != 0 ? Result<void>{} : result;
        wanted = last.fetch_sub(1, std::memory_order_relaxed) | 1u << 31;
    }
    return {};
}

Result<void> NetlinkSocket::bind(const Address& address) {
    const sockaddr_nl wanted = TRY(parse(address));
    if (wanted.nl_groups && protocol() != NETLINK_ROUTE && !is_manager()) return error(Errno::EPERM);
    if (port() == 0)
        TRY(wanted.nl_pid ? bind_port(wanted.nl_pid) : bind_automatically());
    else if (wanted.nl_pid != port())
        return error(Errno::EINVAL);
    groups_.store(wanted.nl_groups, std::memory_order_relaxed);
    return {};
}

Result<void> NetlinkSocket::connect(const Address& address, vfs::Blocking) {
    if (address.length < sizeof(u16)) return error(Errno::EINVAL);
    if (address.family() == AF_UNSPEC) {
        is_connected_.store(false, std::memory_order_release);
        peer_port_.store(0, std::memory_order_relaxed);
        peer_groups_.store(0, std::memory_order_relaxed);
        return {};
    }
    const sockaddr_nl wanted = TRY(parse(address));
    if ((wanted.nl_pid || wanted.nl_groups) && !may_name_others()) return error(Errno::EPERM);
    TRY(bind_automatically());
    peer_port_.store(wanted.nl_pid, std::memory_order_relaxed);
    peer_groups_.store(wanted.nl_groups, std::memory_order_relaxed);
    is_connected_.store(true, std::memory_order_release);
    return {};
}

Result<void> NetlinkSocket::name(Address& address) {
    show(address, port(), groups_.load(std::memory_order_relaxed));
    return {};
}

Result<void> NetlinkSocket::peer_name(Address& address) {
    show(address, peer_port_.load(std::memory_order_relaxed), peer_groups_.load(std::memory_order_relaxed));
    return {};
}

Result<NetlinkSocket::Destination> NetlinkSocket::destination_of(const SendRequest& request) const {
    if (!request.address)
        return Destination{peer_port_.load(std::memory_order_relaxed), peer_groups_.load(std::memory_order_relaxed)};
    const sockaddr_nl wanted = TRY(parse(*request.address));
    if ((wanted.nl_pid || wanted.nl_groups) && !may_name_others()) return error(Errno::EPERM);
    return Destination{wanted.nl_pid, wanted.nl_groups};
}

/// Who has that port and would hear of this socket. ECONNREFUSED is null.
NullableRefPtr<NetlinkSocket> NetlinkSocket::find(u32 port) const {
    NullableRefPtr<NetlinkSocket> found = find_port(protocol(), port);
    if (!found) return {};
    const bool is_taken = found->is_connected_.load(std::memory_order_acquire);
    if (is_taken && found->peer_port_.load(std::memory_order_relaxed) != this->port()) return {};
    return found;
}

void NetlinkSocket::release() {
    release_port(*this);
    IntrusiveList<Packet, &Packet::node> packets;
    {
        core::SpinGuard guard(queue_lock_);
        is_closed_.store(true, std::memory_order_release);
        packets.splice_back(packets_);
    }
    while (Packet* packet = packets.pop_front()) {
        received_.give_back(packet->cost);
        Packet::destroy(packet);
    }
    room_.notify(room_events | POLLHUP);
}

// ---- options ----

Result<void> NetlinkSocket::set_membership(i32 group, bool is_member) {
    if (protocol() != NETLINK_ROUTE && !is_manager()) return error(Errno::EPERM);
    if (group < 1 || group > group_count) return error(Errno::EINVAL);
    const u32 bit = 1u << (group - 1);
    if (is_member)
        groups_.fetch_or(bit, std::memory_order_relaxed);
    else
        groups_.fetch_and(~bit, std::memory_order_relaxed);
    return {};
}

Result<void> NetlinkSocket::set_option(int level, int name, mm::UserSpan value) {
    const bool is_own = level == SOL_SOCKET && name == SO_PASSCRED;
    if (level == SOL_SOCKET && !is_own) return Socket::set_option(level, name, value);
    if (level != SOL_NETLINK && !is_own) return error(Errno::ENOPROTOOPT);
    i32 number = 0; // what is shorter counts as 0, on Linux too
    if (value.size() >= sizeof number) number = TRY((mm::UserPtr<mm::In, i32>(value.address()).copy_in()));
    if (is_own) {
        if (value.size() < sizeof number) return error(Errno::EINVAL);
        pass_credentials_.store(number != 0);
        return {};
    }
    switch (name) {
    case NETLINK_ADD_MEMBERSHIP:
    case NETLINK_DROP_MEMBERSHIP:
        return set_membership(number, name == NETLINK_ADD_MEMBERSHIP);
    case NETLINK_NO_ENOBUFS:
        is_congested_.store(false);
        room_.notify(room_events);
        break;
    case NETLINK_CAP_ACK:
    case NETLINK_EXT_ACK:        // no answer here has more to say
    case NETLINK_GET_STRICT_CHK: // and there is nothing to be listed
        break;
    default:
        return error(Errno::ENOPROTOOPT);
    }
    if (number)
        switches_.fetch_or(1u << name);
    else
        switches_.fetch_and(~(1u << name));
    return {};
}

Result<void> NetlinkSocket::get_option(int level, int name, OptionRoom& room) {
    if (level == SOL_SOCKET && name == SO_PASSCRED) return room.put_int(pass_credentials_.load());
    if (level == SOL_SOCKET) return Socket::get_option(level, name, room);
    if (level != SOL_NETLINK) return error(Errno::ENOPROTOOPT);
    switch (name) {
    case NETLINK_LIST_MEMBERSHIPS: {
        const u32 groups = groups_.load(std::memory_order_relaxed);
        TRY(room.put_object(groups));
        room.used = sizeof groups;
        return {};
    }
    case NETLINK_NO_ENOBUFS:
    case NETLINK_CAP_ACK:
    case NETLINK_EXT_ACK:
    case NETLINK_GET_STRICT_CHK:
        if (room.room.size() < sizeof(i32)) return error(Errno::EINVAL);
        return room.put_int(has(name));
    default:
        return error(Errno::ENOPROTOOPT);
    }
}

} // namespace linnet::net
