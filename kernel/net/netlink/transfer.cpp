// Netlink sockets: sending and receiving.
#include "ports.hpp"
#include "socket.hpp"

#include <algorithm>
#include <cstring>
#include <net/netlink.hpp>

namespace linnet::net {

using namespace abi;

// ---- room ----

Result<void> NetlinkSocket::try_take_room(usize cost) {
    if (is_closed_.load(std::memory_order_acquire)) return error(Errno::ECONNREFUSED);
    const bool is_full = received_.used() > receive_buffer_.load(std::memory_order_relaxed);
    if (is_full || is_congested_.load(std::memory_order_relaxed)) return error(Errno::EAGAIN);
    return received_.take(cost);
}

Result<void> NetlinkSocket::take_room(usize cost) {
    return wait(room_, POLLOUT, vfs::Blocking::Wait, no_timeout, [&] { return try_take_room(cost); });
}

void NetlinkSocket::give_back_room(usize cost) {
    received_.give_back(cost);
    room_.notify(room_events);
}

Result<void> NetlinkSocket::append(Packet& packet) {
    {
        core::SpinGuard guard(queue_lock_);
        if (is_closed_.load(std::memory_order_relaxed)) return error(Errno::ECONNREFUSED);
        packets_.push_back(packet);
    }
    events.notify(data_events);
    return {};
}

void NetlinkSocket::deliver_or_lose(Packet& packet) {
    Result<void> taken = try_take_room(packet.cost);
    if (taken) {
        if (append(packet)) return;
        received_.give_back(packet.cost);
    } else if (taken.error() != Errno::ECONNREFUSED && !has(NETLINK_NO_ENOBUFS) && !is_congested_.exchange(true)) {
        set_error(Errno::ENOBUFS);
        events.notify(POLLERR);
    }
    Packet::destroy(&packet);
}

// ---- sending ----

Result<Packet*> NetlinkSocket::make_packet(SendRequest& request) {
    const usize size = request.data.remaining();
    Packet* packet = TRY(Packet::create(size));
    Result<usize> copied = request.data.copy_in({packet->bytes(), size});
    if (!copied || *copied < size) {
        Packet::destroy(packet);
        return error(Errno::EFAULT);
    }
    packet->end = static_cast<u32>(size);
    packet->cost = static_cast<u32>(Packet::cost_of(size));
    packet->sender = NullableRefPtr<Socket>(this);
    packet->ancillary.credentials = request.ancillary.credentials;
    if (!packet->ancillary.credentials.is_known) packet->ancillary.credentials = SenderCredentials::current();
    return packet;
}

Result<usize> NetlinkSocket::send(SendRequest& request) {
    if (request.flags & MSG_OOB) return error(Errno::EOPNOTSUPP);
    if (request.ancillary.files) return error(Errno::EINVAL); // files travel in Unix-domain sockets only
    const usize size = request.data.remaining();
    if (size == 0) return error(Errno::ENODATA);
    const Destination to = TRY(destination_of(request));
    TRY(bind_automatically());
    if (size > send_buffer_.load(std::memory_order_relaxed) - 32) return error(Errno::EMSGSIZE);
    Packet* packet = TRY(make_packet(request));
    if (to.groups) send_to_groups(*packet, to.groups);
    TRY(send_to_port(to.port, packet, request.flags));
    return size;
}

/// To everybody else who listens to one of the groups; who has no room misses it.
void NetlinkSocket::send_to_groups(Packet& packet, u32 groups) {
    packet.groups = groups;
    ArrayList<RefPtr<NetlinkSocket>> others;
    if (!collect_ports(protocol(), others)) return;
    for (RefPtr<NetlinkSocket>& other : others.span()) {
        if (&*other == this || (other->groups_.load(std::memory_order_relaxed) & groups) == 0) continue;
        Result<Packet*> copy = Packet::create(packet.remaining());
        if (!copy) return;
        std::memcpy((*copy)->bytes(), packet.bytes(), packet.remaining());
        (*copy)->end = packet.end;
        (*copy)->cost = packet.cost;
        (*copy)->groups = groups;
        (*copy)->sender = packet.sender;
        (*copy)->ancillary.credentials = packet.ancillary.credentials;
        other->deliver_or_lose(**copy);
    }
}

/// The packet is gone afterwards.
Result<void> NetlinkSocket::send_to_port(u32 port, Packet* packet, u32 flags) {
    ScopeGuard drop([&] { Packet::destroy(packet); });
    if (port == 0) {
        if (protocol() != NETLINK_ROUTE) return error(Errno::ECONNREFUSED);
        answer_route_requests(*this, packet->unread());
        return {};
    }
    NullableRefPtr<NetlinkSocket> to = find(port);
    if (!to) return error(Errno::ECONNREFUSED);
    const u64 timeout = send_timeout_ns_.load(std::memory_order_relaxed);
    const vfs::Blocking blocking = timeout == 0 ? vfs::Blocking::Refuse : blocking_of(flags);
    TRY(wait(to->room_, POLLOUT, blocking, timeout, [&] { return to->try_take_room(packet->cost); }));
    const usize cost = packet->cost;
    Result<void> appended = to->append(*packet);
    if (appended)
        drop.dismiss();
    else
        to->received_.give_back(cost);
    return appended;
}

// ---- receiving ----

u32 NetlinkSocket::poll() {
    u32 ready = room_events;
    core::SpinGuard guard(queue_lock_);
    if (!packets_.is_empty()) ready |= data_events;
    if (has_error()) ready |= POLLERR;
    return ready;
}

Result<usize> NetlinkSocket::receive(ReceiveRequest& request) {
    if (request.flags & MSG_OOB) return error(Errno::EOPNOTSUPP);
    const u64 timeout = receive_timeout_ns_.load(std::memory_order_relaxed);
    const vfs::Blocking blocking = timeout == 0 ? vfs::Blocking::Refuse : blocking_of(request.flags);
    return wait(events, POLLIN, blocking, timeout, [&]() -> Result<usize> {
        core::MutexGuard guard(reader_);
        return take_packet(request);
    });
}

Result<usize> NetlinkSocket::take_packet(ReceiveRequest& request) {
    if (Errno happened = take_error(); happened != Errno{}) return error(happened);
    const bool is_peek = (request.flags & MSG_PEEK) != 0;
    Packet* packet;
    {
        core::SpinGuard guard(queue_lock_);
        packet = packets_.first();
        if (!packet) return error(Errno::EAGAIN);
        if (!is_peek) packets_.remove(*packet);
    }
    const usize cost = packet->cost;
    ScopeGuard drop([&] {
        if (is_peek) return;
        Packet::destroy(packet);
        after_receiving(cost);
    });
    const usize size = std::min(packet->remaining(), request.data.remaining());
    if (size > 0 && TRY(request.data.copy_out(packet->unread().first(size))) < size) return error(Errno::EFAULT);
    if (size < packet->remaining()) request.result_flags |= MSG_TRUNC;
    request.ancillary.credentials = packet->ancillary.credentials;
    if (request.address) {
        const auto* sender = static_cast<const NetlinkSocket*>(packet->sender.get());
        const sockaddr_nl from{AF_NETLINK, 0, sender ? sender->port() : 0, packet->groups};
        std::memcpy(request.address->bytes, &from, sizeof from);
        request.address->length = sizeof from;
    }
    return (request.flags & MSG_TRUNC) ? packet->remaining() : size;
}

void NetlinkSocket::after_receiving(usize cost) {
    received_.give_back(cost);
    {
        core::SpinGuard guard(queue_lock_);
        if (packets_.is_empty()) is_congested_.store(false, std::memory_order_relaxed);
    }
    if (!is_congested_.load(std::memory_order_relaxed)) room_.notify(room_events);
}

// ---- promises ----

NetlinkPromise::NetlinkPromise(NetlinkSocket& socket, Packet& packet) : socket_(&socket), packet_(&packet) {}
NetlinkPromise::NetlinkPromise(NetlinkPromise&& other) noexcept
    : socket_(std::move(other.socket_)), packet_(std::exchange(other.packet_, nullptr)) {}

Result<NetlinkPromise> NetlinkPromise::create(Socket& socket, std::span<const u8> bytes) {
    if (socket.kind() != &NetlinkSocket::tag) return error(Errno::EINVAL);
    auto& to = static_cast<NetlinkSocket&>(socket);
    Packet* packet = TRY(Packet::create(bytes.size()));
    packet->end = static_cast<u32>(bytes.size());
    packet->cost = static_cast<u32>(Packet::cost_of(bytes.size()));
    packet->ancillary.credentials = {0, 0, 0, true};
    std::memcpy(packet->bytes(), bytes.data(), bytes.size());
    if (Result<void> room = to.take_room(packet->cost); !room) {
        Packet::destroy(packet);
        return error(room.error());
    }
    return NetlinkPromise(to, *packet);
}

NetlinkPromise::~NetlinkPromise() {
    if (!packet_) return;
    socket_->give_back_room(packet_->cost);
    Packet::destroy(packet_);
}

std::span<u8> NetlinkPromise::bytes() { return {packet_->bytes(), packet_->remaining()}; }

void NetlinkPromise::send() {
    if (socket_->append(*packet_)) packet_ = nullptr;
}

} // namespace linnet::net
