// Sending: pieces of a stream, messages to a connected or a named socket.
#include "socket.hpp"

#include <algorithm>
#include <vfs/current.hpp>

namespace linnet::net {

using namespace abi;

Result<usize> UnixSocket::send(SendRequest& request) {
    if (request.flags & MSG_OOB) return error(Errno::EOPNOTSUPP);
    if (request.ancillary.files) TRY(request.ancillary.files->put_in_flight());
    return is_stream() ? send_stream(request) : send_packet(request);
}

/// A sender may go on as long as what it has sent is less than its buffer, however large the next message is.
Result<void> UnixSocket::find_room() {
    if (Errno happened = take_error(); happened != Errno{}) return error(happened);
    if (is_shut(shut_send)) return error(Errno::EPIPE);
    if (!has_room()) return error(Errno::EAGAIN);
    return {};
}

/// The next `size` bytes, counted for this socket.
Result<Packet*> UnixSocket::make_packet(SendRequest& request, usize size) {
    const usize cost = Packet::cost_of(size);
    TRY(sent_.take(cost));
    Result<Packet*> packet = Packet::create(size);
    if (!packet) {
        sent_.give_back(cost);
        return packet;
    }
    (*packet)->cost = static_cast<u32>(cost);
    if (size == 0) return packet;
    Result<usize> copied = request.data.copy_in({(*packet)->bytes(), size});
    if (!copied || *copied < size) {
        drop(**packet);
        return error(Errno::EFAULT);
    }
    (*packet)->end = static_cast<u32>(size);
    return packet;
}

/// A packet of this socket that nobody is to receive.
void UnixSocket::drop(Packet& packet) {
    const usize cost = packet.cost;
    Packet::destroy(&packet);
    give_back(*this, cost);
}

/// Files go with the first bytes of a message; who sent it is noted where somebody wants to know (unix(7),
/// SO_PASSCRED).
Result<void> UnixSocket::attach(Packet& packet, SendRequest& request, const UnixSocket* to) {
    packet.ancillary.files = std::move(request.ancillary.files);
    packet.ancillary.credentials = request.ancillary.credentials;
    if (!passes_sender() && !(to && to->passes_sender())) return {};
    if (!packet.ancillary.credentials.is_known) packet.ancillary.credentials = SenderCredentials::current();
    packet.ancillary.process = request.ancillary.process;
    if (!packet.ancillary.process) packet.ancillary.process = vfs::current_process_identity();
    return {};
}

/// Puts a packet into this socket's queue.
Result<void> UnixSocket::append(Packet& packet) {
    {
        core::SpinGuard guard(incoming_.lock);
        if (incoming_.is_closed || is_shut(shut_receive)) return error(Errno::EPIPE);
        incoming_.packets.push_back(packet);
        incoming_.bytes.store(incoming_.bytes.load(std::memory_order_relaxed) + packet.remaining(),
                              std::memory_order_relaxed);
        incoming_.count.store(incoming_.count.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }
    events.notify(data_events);
    return {};
}

// ---- streams ----

Result<usize> UnixSocket::send_stream(SendRequest& request) {
    if (request.address) return error(state() == State::Connected ? Errno::EISCONN : Errno::EOPNOTSUPP);
    UnixSocket* to = peer_.load(std::memory_order_acquire);
    if (!to) return error(Errno::ENOTCONN);
    usize sent = 0;
    const u64 timeout = send_timeout_ns_.load(std::memory_order_relaxed);
    const vfs::Blocking blocking = timeout == 0 ? vfs::Blocking::Refuse : blocking_of(request.flags);
    Result<void> result = wait(events, POLLOUT, blocking, timeout, [&] { return send_pieces(request, *to, sent); });
    if (result || sent > 0) return sent;
    if (result.error() == Errno::EPIPE && !(request.flags & MSG_NOSIGNAL)) vfs::broken_pipe();
    return error(result.error());
}

Result<void> UnixSocket::send_pieces(SendRequest& request, UnixSocket& to, usize& sent) {
    if (is_shut(shut_send)) return error(Errno::EPIPE);
    while (request.data.remaining() > 0) {
        TRY(find_room());
        const usize half = send_buffer_.load(std::memory_order_relaxed) / 2 - 64;
        const usize size = std::min({request.data.remaining(), piece_limit, half});
        Packet* piece = TRY(make_packet(request, size));
        Result<void> appended = attach(*piece, request, &to);
        if (appended) appended = to.append(*piece);
        if (!appended) {
            drop(*piece);
            return appended;
        }
        sent += size;
    }
    return {};
}

// ---- messages ----

Result<usize> UnixSocket::send_packet(SendRequest& request) {
    const bool is_connected_only = type() == SOCK_SEQPACKET;
    if (is_connected_only) {
        if (Errno happened = take_error(); happened != Errno{}) return error(happened);
        if (state() != State::Connected) return error(Errno::ENOTCONN);
        request.address = nullptr; // as on Linux: not an error
    } else if (request.address) {
        (void)TRY(path_of(*request.address));
    } else if (!peer_.load(std::memory_order_acquire)) {
        return error(Errno::ENOTCONN);
    }
    if (passes_sender() && !bound_name()) {
        core::MutexGuard guard(configuration_);
        TRY(bind_automatically());
    }
    const usize size = request.data.remaining();
    if (size > send_buffer_.load(std::memory_order_relaxed) - 32) return error(Errno::EMSGSIZE);
    const u64 timeout = send_timeout_ns_.load(std::memory_order_relaxed);
    const vfs::Blocking blocking = timeout == 0 ? vfs::Blocking::Refuse : blocking_of(request.flags);
    TRY(wait(events, POLLOUT, blocking, timeout, [&] { return find_room(); }));
    Packet* packet = TRY(make_packet(request, size));
    Result<void> result = hand_to(request, *packet);
    if (result) return size;
    drop(*packet);
    return error(result.error());
}

Result<NullableRefPtr<UnixSocket>> UnixSocket::receiver_of(const SendRequest& request) {
    if (request.address) return find(*request.address);
    NullableRefPtr<UnixSocket> to = peer();
    if (!to) return error(Errno::ECONNRESET);
    return to;
}

/// Waits at the receiver while its queue is too long. The packet is in its queue when this succeeds.
Result<void> UnixSocket::hand_to(const SendRequest& request, Packet& packet) {
    NullableRefPtr<UnixSocket> to = TRY(receiver_of(request));
    SendRequest& sent = const_cast<SendRequest&>(request);
    TRY(attach(packet, sent, to.get()));
    if (is_datagram()) packet.sender = NullableRefPtr<Socket>(this);
    const u64 timeout = send_timeout_ns_.load(std::memory_order_relaxed);
    const vfs::Blocking blocking = timeout == 0 ? vfs::Blocking::Refuse : blocking_of(request.flags);
    return wait(to->room_, POLLOUT, blocking, timeout, [&] { return deliver(*to, packet); });
}

Result<void> UnixSocket::deliver(UnixSocket& to, Packet& packet) {
    if (is_datagram()) {
        UnixSocket* peer_of_receiver = to.peer_.load(std::memory_order_acquire);
        if (peer_of_receiver && peer_of_receiver != this) return error(Errno::EPERM);
        if (to.incoming_.is_closed) {
            core::MutexGuard guard(configuration_);
            if (peer_.load(std::memory_order_relaxed) == &to) {
                disconnect_datagram();
                state_.store(State::Unconnected, std::memory_order_release);
            }
            return error(Errno::ECONNREFUSED);
        }
        if (to.is_shut(shut_receive)) return error(Errno::EPIPE);
        if (&to != this && peer_of_receiver != this && to.is_full()) return error(Errno::EAGAIN);
    }
    return to.append(packet);
}

} // namespace linnet::net
