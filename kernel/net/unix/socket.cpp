// Unix-domain sockets: how they are made, what they are ready for, their options and their end.
#include "socket.hpp"

#include "garbage.hpp"

#include <algorithm>
#include <vfs/current.hpp>
#include <vfs/fd_table.hpp>

namespace linnet::net {

using namespace abi;

const char UnixSocket::tag = 0;

namespace {

/// All sockets, in the order of their making, for /proc/net/unix.
constinit core::LockClass sockets_class{"list of Unix sockets"};
constinit core::SpinLock sockets_lock{sockets_class};
constinit IntrusiveList<UnixSocket, &UnixSocket::list_node> sockets;

} // namespace

Result<RefPtr<PeerCredentials>> PeerCredentials::current() {
    auto* result = new (std::nothrow) PeerCredentials;
    if (!result) return error(Errno::ENOMEM);
    result->credentials = NullableRefPtr<const vfs::Credentials>(&vfs::current_credentials());
    result->process = vfs::current_process_identity();
    result->pid = vfs::current_process_id();
    return adopt_ref(*result);
}

UnixSocket::UnixSocket(u32 type, i32 protocol)
    : Socket(AF_UNIX, type, protocol), backlog_(static_cast<u32>(limits.datagrams.load())) {
    send_buffer_.store(static_cast<u32>(limits.write_default.load()));
    receive_buffer_.store(static_cast<u32>(limits.read_default.load()));
    core::SpinGuard guard(sockets_lock);
    sockets.push_back(*this);
}

UnixSocket::~UnixSocket() {
    {
        core::SpinGuard guard(sockets_lock);
        list_node.unlink();
    }
    if (const UnixName* name = bound_name()) name->unref();
}

Result<RefPtr<Socket>> UnixSocket::create(u32 type, i32 protocol) {
    if (protocol != 0 && protocol != AF_UNIX) return error(Errno::EPROTONOSUPPORT);
    if (type == SOCK_RAW) type = SOCK_DGRAM; // as on Linux; nobody knows what for
    if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET) return error(Errno::ESOCKTNOSUPPORT);
    auto* socket = new (std::nothrow) UnixSocket(type, 0);
    if (!socket) return error(Errno::ENOMEM);
    return RefPtr<Socket>(adopt_ref(*socket));
}

Result<void> UnixSocket::connect_pair(Socket& one, Socket& other) {
    auto& first = static_cast<UnixSocket&>(one);
    auto& second = static_cast<UnixSocket&>(other);
    RefPtr<PeerCredentials> credentials = TRY(PeerCredentials::current());
    first.set_peer_credentials(credentials);
    second.set_peer_credentials(credentials);
    first.become_peers(second);
    return {};
}

UnixSocket* UnixSocket::of(vfs::File& file) {
    Result<SocketFile*> socket = socket_file(file);
    if (!socket || (*socket)->socket().kind() != &tag) return nullptr;
    return static_cast<UnixSocket*>(&(*socket)->socket());
}

NullableRefPtr<UnixSocket> UnixSocket::at(usize position) {
    core::SpinGuard guard(sockets_lock);
    for (UnixSocket& socket : sockets) {
        if (position > 0)
            --position;
        else if (socket.try_ref())
            return NullableRefPtr<UnixSocket>::adopt(&socket);
    }
    return {};
}

// ---- peers ----

NullableRefPtr<UnixSocket> UnixSocket::peer() {
    core::SpinGuard guard(peer_lock_);
    return NullableRefPtr<UnixSocket>(peer_.load(std::memory_order_relaxed));
}

void UnixSocket::set_peer(NullableRefPtr<UnixSocket> peer) {
    core::SpinGuard guard(peer_lock_);
    UnixSocket* old = peer_.exchange(peer.release(), std::memory_order_acq_rel);
    guard.unlock();
    if (old) old->unref();
}

/// Both sides of a new connection, before others use either.
void UnixSocket::become_peers(UnixSocket& other) {
    set_peer(NullableRefPtr<UnixSocket>(&other));
    other.set_peer(NullableRefPtr<UnixSocket>(this));
    state_.store(State::Connected, std::memory_order_release);
    other.state_.store(State::Connected, std::memory_order_release);
}

void UnixSocket::set_peer_credentials(NullableRefPtr<PeerCredentials> credentials) {
    core::SpinGuard guard(peer_lock_);
    std::swap(peer_credentials_, credentials);
    guard.unlock(); // before the former ones go
}

NullableRefPtr<PeerCredentials> UnixSocket::peer_credentials() {
    core::SpinGuard guard(peer_lock_);
    return peer_credentials_;
}

// ---- readiness ----

u32 UnixSocket::poll() {
    u32 mask = 0;
    const State now = state();
    const u8 shut = shut_.load(std::memory_order_acquire);
    if (has_error()) mask |= POLLERR;
    if (shut == shut_both) mask |= POLLHUP;
    if (shut & shut_receive) mask |= POLLRDHUP | data_events;
    if (incoming_.count.load(std::memory_order_acquire) > 0) mask |= data_events;
    if (!is_datagram() && now == State::Unconnected) mask |= POLLHUP;
    if (now != State::Listening && is_writable() && has_room_at_peer()) mask |= room_events;
    return mask;
}

/// Whether a datagram to the connected peer would be taken. A peer that is connected back is limited by the sender's
/// buffer alone. Once there was no room, the own events tell when there is.
bool UnixSocket::has_room_at_peer() {
    if (!is_datagram() || !peer_.load(std::memory_order_relaxed)) return true;
    NullableRefPtr<UnixSocket> to = peer();
    if (!to || to->peer_.load(std::memory_order_relaxed) == this || !to->is_full()) return true;
    follow_room_of(to);
    return !to->is_full();
}

void UnixSocket::follow_room_of(NullableRefPtr<UnixSocket> target) {
    core::SpinGuard guard(peer_lock_);
    if (followed_ == target) return;
    if (followed_) followed_->room_.remove(follower_);
    std::swap(followed_, target);
    if (followed_) {
        follower_.owner = this;
        follower_.exclusive = false;
        follower_.callback = [](core::WaitQueue::Waiter& waiter, u32 happened) {
            static_cast<RoomFollower&>(waiter).owner->events.notify(happened);
        };
        followed_->room_.add(follower_);
    }
    guard.unlock(); // before the former one goes
}

// ---- shutdown and the end ----

void UnixSocket::tell_of_shutdown() {
    const u32 half = data_events | room_events | POLLRDHUP;
    events.notify(shut_.load(std::memory_order_acquire) == shut_both ? half | POLLHUP : half);
}

Result<void> UnixSocket::shutdown(int how) {
    if (how < SHUT_RD || how > SHUT_RDWR) return error(Errno::EINVAL);
    const u8 mine = static_cast<u8>(how + 1);
    shut_.fetch_or(mine, std::memory_order_acq_rel);
    if (!is_datagram()) {
        if (NullableRefPtr<UnixSocket> other = peer()) {
            u8 theirs = 0;
            if (mine & shut_receive) theirs |= shut_send;
            if (mine & shut_send) theirs |= shut_receive;
            other->shut_.fetch_or(theirs, std::memory_order_acq_rel);
            other->tell_of_shutdown();
        }
    }
    tell_of_shutdown();
    room_.notify(all_events);
    return {};
}

/// What the other side of a connection sees when this one ends.
void UnixSocket::hang_up_on_peer(bool lost_data) {
    UnixSocket* other = peer_.load(std::memory_order_acquire);
    if (!other || is_datagram()) return;
    // The error comes first: who sees the end looks for it.
    if (lost_data) other->set_error(Errno::ECONNRESET);
    other->shut_.fetch_or(shut_both, std::memory_order_acq_rel);
    other->events.notify(all_events);
}

void UnixSocket::destroy_packets(PacketList& packets) {
    NullableRefPtr<UnixSocket> other = peer();
    while (Packet* packet = packets.pop_front()) {
        if (UnixSocket* sender = packet->sender ? sender_of(*packet) : other.get()) give_back(*sender, packet->cost);
        Packet::destroy(packet);
    }
}

void UnixSocket::release() {
    if (bound_name()) {
        release_abstract(*this);
        if (binding_) binding_->forget();
    }
    PacketList packets;
    IntrusiveList<UnixSocket, &UnixSocket::accept_node> connections;
    {
        core::SpinGuard guard(incoming_.lock);
        incoming_.is_closed = true;
        incoming_.count.store(0, std::memory_order_release);
        packets.splice_back(incoming_.packets);
        connections.splice_back(incoming_.connections);
    }
    const bool was_connected = state() == State::Connected;
    shut_.store(shut_both, std::memory_order_release);
    // A connection that nobody accepted has no file: its client learns that it was lost.
    hang_up_on_peer(was_connected && (!packets.is_empty() || !was_accepted_));
    while (UnixSocket* connection = connections.pop_front()) {
        connection->release();
        connection->unref();
    }
    destroy_packets(packets);
    room_.notify(all_events);
    follow_room_of(nullptr);
    set_peer(nullptr);
    place_.reset();
    collect_garbage();
}

// ---- options ----

Result<void> UnixSocket::set_option(int level, int name, mm::UserSpan value) {
    if (level != SOL_SOCKET) return error(Errno::EOPNOTSUPP);
    std::atomic<bool>* switched = nullptr;
    switch (name) {
    case SO_PASSCRED:
        switched = &pass_credentials_;
        break;
    case SO_PASSPIDFD:
        switched = &pass_pidfd_;
        break;
    case SO_PASSSEC:
        switched = &pass_security_;
        break;
    case SO_PEEK_OFF:
        break;
    default:
        return Socket::set_option(level, name, value);
    }
    if (value.size() < sizeof(i32)) return error(Errno::EINVAL);
    const i32 number = TRY((mm::UserPtr<mm::In, i32>(value.address()).copy_in()));
    if (switched)
        switched->store(number != 0);
    else
        peek_offset_.store(number);
    return {};
}

namespace {

Result<void> put_groups(OptionRoom& room, const PeerCredentials* peer) {
    if (!peer || !peer->credentials) return error(Errno::ENODATA);
    std::span<const u32> groups = peer->credentials->groups();
    if (room.room.size() < groups.size_bytes()) {
        room.used = groups.size_bytes();
        return error(Errno::ERANGE);
    }
    return room.put({reinterpret_cast<const u8*>(groups.data()), groups.size_bytes()});
}

Result<void> put_pidfd(OptionRoom& room, const PeerCredentials* peer) {
    if (!peer || !peer->process) return error(Errno::ENODATA);
    RefPtr<vfs::File> pidfd = TRY(peer->process->open_pidfd(0));
    vfs::FdReservation reservation = TRY(vfs::FdReservation::create(vfs::current_files()));
    TRY(room.put_int(reservation.number()));
    reservation.install(std::move(pidfd), vfs::CloseOnExec::Yes);
    return {};
}

ucred shown(const PeerCredentials* peer) {
    if (!peer) return {0, ~0u, ~0u};
    return {peer->pid, peer->credentials->euid, peer->credentials->egid};
}

} // namespace

Result<void> UnixSocket::get_option(int level, int name, OptionRoom& room) {
    if (level != SOL_SOCKET) return error(Errno::EOPNOTSUPP);
    switch (name) {
    case SO_ACCEPTCONN:
        return room.put_int(state() == State::Listening);
    case SO_PASSCRED:
        return room.put_int(pass_credentials_.load());
    case SO_PASSPIDFD:
        return room.put_int(pass_pidfd_.load());
    case SO_PASSSEC:
        return room.put_int(pass_security_.load());
    case SO_PEEK_OFF:
        return room.put_int(peek_offset_.load());
    case SO_PEERCRED:
        return room.put_object(shown(peer_credentials().get()));
    case SO_PEERGROUPS:
        return put_groups(room, peer_credentials().get());
    case SO_PEERPIDFD:
        return put_pidfd(room, peer_credentials().get());
    case SO_PEERNAME: {
        Address address;
        TRY(peer_name(address));
        if (address.length < room.room.size()) room.room = room.room.sub(0, address.length);
        return room.put({address.bytes, address.length});
    }
    default:
        return Socket::get_option(level, name, room);
    }
}

Result<long> UnixSocket::readable_bytes() {
    if (state() == State::Listening) return error(Errno::EINVAL);
    if (!is_datagram()) return static_cast<long>(incoming_.bytes.load());
    core::SpinGuard guard(incoming_.lock);
    const Packet* first = incoming_.packets.first();
    return first ? static_cast<long>(first->remaining()) : 0;
}

Result<long> UnixSocket::ioctl(u32 command, u64 argument) {
    mm::UserPtr<mm::Out, i32> result(VirtAddr{argument});
    switch (command) {
    case SIOCINQ:
        TRY(result.copy_out(static_cast<i32>(TRY(readable_bytes()))));
        return 0;
    case SIOCOUTQ:
        TRY(result.copy_out(static_cast<i32>(sent_.used())));
        return 0;
    default:
        return Socket::ioctl(command, argument);
    }
}

} // namespace linnet::net
