// Names and connections: bind, listen, connect, accept (unix(7)).
#include "socket.hpp"

#include <core/random.hpp>
#include <vfs/current.hpp>
#include <vfs/operations.hpp>

namespace linnet::net {

using namespace abi;

// ---- names ----

Result<void> UnixSocket::bind(const Address& address) {
    std::string_view path = TRY(path_of(address));
    core::MutexGuard guard(configuration_);
    if (path.empty()) return bind_automatically();
    if (bound_name()) return error(Errno::EINVAL);
    return path[0] == 0 ? bind_abstract(path) : bind_path(path);
}

Result<void> UnixSocket::bind_abstract(std::string_view name) {
    RefPtr<UnixName> fresh = TRY(UnixName::create(name));
    return claim_abstract(*this, *fresh);
}

/// configuration_ held. A socket with a name keeps it.
Result<void> UnixSocket::bind_automatically() {
    constexpr u32 numbers = 1 << 20;
    if (bound_name()) return {};
    const u32 first = static_cast<u32>(core::random_below(numbers));
    for (u32 tried = 0; tried < numbers; ++tried) {
        RefPtr<UnixName> name = TRY(UnixName::create_automatic((first + tried) % numbers));
        Result<void> claimed = claim_abstract(*this, *name);
        if (claimed || claimed.error() != Errno::EADDRINUSE) return claimed;
    }
    return error(Errno::ENOSPC);
}

Result<void> UnixSocket::bind_path(std::string_view path) {
    RefPtr<UnixName> name = TRY(UnixName::create(path));
    auto* made = new (std::nothrow) UnixBinding(*this);
    if (!made) return error(Errno::ENOMEM);
    RefPtr<UnixBinding> binding = adopt_ref(*made);
    // fchmod(2) of the socket decides about the mode of the name (unix(7), "Pathname socket ownership").
    const u32 permissions = file() ? file()->inode().mode() & S_IALLUGO : S_IRWXUGO;
    Result<vfs::Path> place = vfs::create_at(nullptr, path, S_IFSOCK | permissions, {});
    if (!place) return error(place.error() == Errno::EEXIST ? Errno::EADDRINUSE : place.error());
    TRY(place->inode()->attachment([&]() -> Result<RefPtr<vfs::InodeAttachment>> { return binding; }));
    place_ = std::move(*place);
    binding_ = std::move(binding);
    publish_name(*name);
    return {};
}

Result<void> UnixSocket::name(Address& address) {
    if (const UnixName* bound = bound_name())
        bound->copy_to(address);
    else
        put_unnamed(address);
    return {};
}

/// As whom a message comes: nothing at all of a sender without a name.
void UnixSocket::name_if_bound(Address& address) const {
    if (const UnixName* bound = bound_name()) bound->copy_to(address);
}

Result<void> UnixSocket::peer_name(Address& address) {
    NullableRefPtr<UnixSocket> other = peer();
    if (!other) return error(Errno::ENOTCONN);
    return other->name(address);
}

/// Whose address that is. ECONNREFUSED: nobody's; EPROTOTYPE: a socket of another type has the path.
Result<NullableRefPtr<UnixSocket>> UnixSocket::find(const Address& address) {
    std::string_view path = TRY(path_of(address));
    if (path.empty()) return error(Errno::ECONNREFUSED);
    NullableRefPtr<UnixSocket> found;
    if (path[0] == 0) {
        found = find_abstract(path, type());
        if (!found) return error(Errno::ECONNREFUSED);
        return found;
    }
    vfs::Path place = TRY(vfs::lookup(path));
    vfs::Inode& inode = *place.inode();
    TRY(inode.check_permission(vfs::may_write, vfs::current_credentials()));
    if (!S_ISSOCK(inode.mode())) return error(Errno::ECONNREFUSED);
    // Only bindings are attached to sockets' inodes.
    NullableRefPtr<vfs::InodeAttachment> attachment = inode.attachment();
    if (attachment) found = static_cast<UnixBinding&>(*attachment).socket();
    if (!found) return error(Errno::ECONNREFUSED);
    if (found->type() != type()) return error(Errno::EPROTOTYPE);
    vfs::note_access(place);
    return found;
}

// ---- datagram sockets ----

Result<void> UnixSocket::connect_datagram(const Address& address) {
    core::MutexGuard guard(configuration_);
    if (address.family() == AF_UNSPEC && address.length >= UnixName::path_offset) {
        disconnect_datagram();
        state_.store(State::Unconnected, std::memory_order_release);
        return {};
    }
    (void)TRY(path_of(address));
    if (passes_sender()) TRY(bind_automatically());
    NullableRefPtr<UnixSocket> other = TRY(find(address));
    UnixSocket* peer_of_other = other->peer_.load(std::memory_order_acquire);
    if (peer_of_other && peer_of_other != this) return error(Errno::EPERM);
    if (peer_.load(std::memory_order_relaxed) != other.get()) disconnect_datagram();
    set_peer(std::move(other));
    state_.store(State::Connected, std::memory_order_release);
    return {};
}

/// What came from the former peer is lost; if that was connected to us, it learns that (ECONNRESET).
void UnixSocket::disconnect_datagram() {
    NullableRefPtr<UnixSocket> old = peer();
    if (!old) return;
    follow_room_of(nullptr);
    set_peer(nullptr);
    PacketList packets;
    {
        core::SpinGuard guard(incoming_.lock);
        if (incoming_.packets.is_empty()) return;
        packets.splice_back(incoming_.packets);
        incoming_.count.store(0, std::memory_order_release);
        incoming_.bytes.store(0, std::memory_order_relaxed);
    }
    destroy_packets(packets);
    room_.notify(room_events);
    if (old->peer_.load(std::memory_order_acquire) != this) return;
    old->set_error(Errno::ECONNRESET);
    old->events.notify(POLLERR);
}

// ---- connections ----

Result<void> UnixSocket::listen(i32 backlog) {
    if (is_datagram()) return error(Errno::EOPNOTSUPP);
    core::MutexGuard guard(configuration_);
    if (!bound_name()) return error(Errno::EINVAL);
    if (state() == State::Connected) return error(Errno::EINVAL);
    set_peer_credentials(TRY(PeerCredentials::current()));
    // A negative number is a large one.
    const u64 wanted = std::min<u64>(static_cast<u32>(backlog), limits.backlog_most.load());
    backlog_.store(static_cast<u32>(wanted), std::memory_order_relaxed);
    state_.store(State::Listening, std::memory_order_release);
    room_.notify(room_events);
    return {};
}

Result<void> UnixSocket::connect(const Address& address, vfs::Blocking blocking) {
    if (is_datagram()) return connect_datagram(address);
    (void)TRY(path_of(address));
    // The other side of the connection is made before anything is changed.
    NullableRefPtr<UnixSocket> fresh;
    NullableRefPtr<UnixSocket> listener;
    const u64 timeout = send_timeout_ns_.load(std::memory_order_relaxed);
    const core::Deadline deadline = timeout == no_timeout ? core::Deadline::never() : core::Deadline::after(timeout);
    Result<void> result = try_connect(address, listener, fresh);
    // While the queue of who listens is full, wait there; whoever has the name then is asked again.
    while (!result && result.error() == Errno::EAGAIN && blocking == vfs::Blocking::Wait && timeout != 0) {
        vfs::EventWait wait;
        vfs::EventObserver observer(listener->room_, room_events, wait);
        NullableRefPtr<UnixSocket> kept = listener;
        wait.reset();
        result = try_connect(address, listener, fresh);
        if (result || result.error() != Errno::EAGAIN || listener != kept) continue;
        const core::WaitResult slept = wait.sleep(core::Sleep::Interruptible, deadline);
        if (slept == core::WaitResult::TimedOut) break;
        if (slept == core::WaitResult::Interrupted)
            return error(timeout == no_timeout ? Errno::RestartIfRequested : Errno::EINTR);
    }
    return result;
}

Result<void> UnixSocket::try_connect(const Address& address, NullableRefPtr<UnixSocket>& listener,
                                     NullableRefPtr<UnixSocket>& fresh) {
    core::MutexGuard guard(configuration_);
    if (passes_sender()) TRY(bind_automatically());
    NullableRefPtr<UnixSocket> found = TRY(find(address));
    std::swap(listener, found);
    if (listener->state() != State::Listening || listener->is_shut(shut_receive)) return error(Errno::ECONNREFUSED);
    if (listener->is_full()) return error(Errno::EAGAIN);
    if (state() == State::Connected) return error(Errno::EISCONN);
    if (state() == State::Listening) return error(Errno::EINVAL);
    if (!fresh) {
        auto* made = new (std::nothrow) UnixSocket(type(), 0);
        if (!made) return error(Errno::ENOMEM);
        fresh = adopt_ref(*made);
        fresh->was_accepted_.store(false, std::memory_order_relaxed);
        fresh->set_peer_credentials(TRY(PeerCredentials::current()));
    }
    return listener->offer(*this, fresh);
}

/// Takes the connection from `client` into the queue. From then on both sides may be used.
Result<void> UnixSocket::offer(UnixSocket& client, NullableRefPtr<UnixSocket>& fresh) {
    core::SpinGuard guard(incoming_.lock);
    if (incoming_.is_closed) return error(Errno::ECONNREFUSED);
    if (is_full()) return error(Errno::EAGAIN);
    fresh->publish_name(*bound_name()); // who listens has one
    client.become_peers(*fresh);
    client.set_peer_credentials(peer_credentials());
    incoming_.connections.push_back(*fresh.release());
    incoming_.count.fetch_add(1, std::memory_order_release);
    guard.unlock();
    events.notify(data_events);
    return {};
}

Result<RefPtr<Socket>> UnixSocket::accept(vfs::Blocking blocking) {
    if (is_datagram()) return error(Errno::EOPNOTSUPP);
    if (state() != State::Listening) return error(Errno::EINVAL);
    UnixSocket* taken = nullptr;
    const u64 timeout = receive_timeout_ns_.load(std::memory_order_relaxed);
    TRY(wait(events, POLLIN, timeout == 0 ? vfs::Blocking::Refuse : blocking, timeout, [&]() -> Result<void> {
        core::SpinGuard guard(incoming_.lock);
        taken = incoming_.connections.pop_front();
        if (taken) {
            incoming_.count.fetch_sub(1, std::memory_order_release);
            return {};
        }
        return error(is_shut(shut_receive) ? Errno::EINVAL : Errno::EAGAIN);
    }));
    room_.notify(room_events);
    taken->was_accepted_.store(true, std::memory_order_relaxed);
    return RefPtr<Socket>(RefPtr<UnixSocket>::adopt(*taken));
}

} // namespace linnet::net
