// Receiving: a stream's bytes, whole messages.
//
// `reader_` is held by who takes from the queue, so what is in it stays while its bytes are copied to user memory; the
// queue's own lock is held only to look and to unlink. Senders need only the latter.
#include "socket.hpp"

#include <algorithm>

namespace linnet::net {

using namespace abi;

Result<usize> UnixSocket::receive(ReceiveRequest& request) {
    if (request.flags & MSG_OOB) return error(Errno::EOPNOTSUPP);
    // There is no queue of errors (ip(7)); asking for it finds nothing.
    if (request.flags & MSG_ERRQUEUE) return error(Errno::EAGAIN);
    return is_stream() ? receive_stream(request) : receive_packet(request);
}

/// What was sent is received: its sender may send more.
void UnixSocket::give_back(UnixSocket& sender, usize cost) {
    const bool was_writable = sender.is_writable();
    sender.sent_.give_back(cost);
    if (!was_writable && sender.is_writable()) sender.events.notify(room_events);
}

/// The queue is empty and was so after `shut` was read. EAGAIN: there may be more later.
Result<void> UnixSocket::at_end(u8 shut) {
    if (Errno happened = take_error(); happened != Errno{}) return error(happened);
    if (shut & shut_receive) return {};
    return error(Errno::EAGAIN);
}

/// Who sent it, for a receiver that wants to know (SO_PASSCRED, SO_PASSPIDFD).
void UnixSocket::note_sender(const Packet& packet, ReceiveRequest& request) {
    if (!passes_sender()) return;
    request.ancillary.credentials = packet.ancillary.credentials;
    request.ancillary.process = packet.ancillary.process;
}

// ---- streams ----

/// How far one call has come; it may sleep in between.
struct UnixSocket::Progress {
    usize wanted; // bytes without which the call waits
    usize copied = 0;
    bool has_sender = false;
    bool is_done = false;
};

Result<usize> UnixSocket::receive_stream(ReceiveRequest& request) {
    if (state() != State::Connected) return error(Errno::EINVAL);
    const usize size = request.data.remaining();
    const usize low = static_cast<usize>(receive_low_.load(std::memory_order_relaxed));
    Progress progress{std::max<usize>(request.flags & MSG_WAITALL ? size : std::min(low, size), 1)};
    const u64 timeout = receive_timeout_ns_.load(std::memory_order_relaxed);
    const vfs::Blocking blocking = timeout == 0 ? vfs::Blocking::Refuse : blocking_of(request.flags);
    Result<void> result = wait(events, POLLIN, blocking, timeout, [&]() -> Result<void> {
        core::MutexGuard guard(reader_);
        return request.flags & MSG_PEEK ? peek_pieces(request, progress) : take_pieces(request, progress);
    });
    if (!result && progress.copied == 0) return error(result.error());
    if (request.address && progress.copied > 0)
        if (NullableRefPtr<UnixSocket> other = peer()) other->name_if_bound(*request.address);
    return progress.copied;
}

Result<void> UnixSocket::take_pieces(ReceiveRequest& request, Progress& progress) {
    do {
        const u8 shut = shut_.load(std::memory_order_acquire);
        bool is_taken = false;
        Packet* piece = next_piece(request, progress, is_taken);
        if (piece) {
            if (TRY(read_piece(*piece, is_taken, request, progress))) return {};
            continue;
        }
        if (progress.is_done || progress.copied >= progress.wanted) return {};
        return at_end(shut);
    } while (request.data.remaining() > 0);
    return {};
}

/// The first piece, taken out of the queue when the call will read all of it. Null: there is none, or it is another
/// sender's, which ends the call.
Packet* UnixSocket::next_piece(const ReceiveRequest& request, const Progress& progress, bool& is_taken) {
    core::SpinGuard guard(incoming_.lock);
    Packet* piece = incoming_.packets.first();
    if (!piece) return nullptr;
    if (progress.has_sender && piece->ancillary.credentials != request.ancillary.credentials) {
        const_cast<Progress&>(progress).is_done = true;
        return nullptr;
    }
    if (piece->remaining() > request.data.remaining()) return piece;
    is_taken = true;
    incoming_.packets.remove(*piece);
    incoming_.bytes.store(incoming_.bytes.load(std::memory_order_relaxed) - piece->remaining(),
                          std::memory_order_relaxed);
    incoming_.count.store(incoming_.count.load(std::memory_order_relaxed) - 1, std::memory_order_release);
    return piece;
}

/// Copies what fits; true when the call is over: nothing fits any more, or files came with it (unix(7)).
Result<bool> UnixSocket::read_piece(Packet& piece, bool is_taken, ReceiveRequest& request, Progress& progress) {
    const usize size = std::min(piece.remaining(), request.data.remaining());
    if (size > 0) {
        Result<usize> copied = request.data.copy_out({piece.bytes() + piece.begin, size});
        if (!copied || *copied < size) {
            if (is_taken) put_back(piece);
            if (progress.copied > 0) return true;
            return error(Errno::EFAULT);
        }
    }
    progress.copied += size;
    if (passes_sender() && !progress.has_sender) {
        note_sender(piece, request);
        progress.has_sender = true;
    }
    const bool has_files = piece.ancillary.files != nullptr;
    if (has_files) {
        core::SpinGuard guard(incoming_.lock); // the collector may be looking
        request.ancillary.files = std::move(piece.ancillary.files);
    }
    if (is_taken) {
        const usize cost = piece.cost;
        Packet::destroy(&piece);
        if (UnixSocket* sender = peer_.load(std::memory_order_acquire)) give_back(*sender, cost);
        return has_files;
    }
    core::SpinGuard guard(incoming_.lock);
    piece.begin += static_cast<u32>(size);
    incoming_.bytes.store(incoming_.bytes.load(std::memory_order_relaxed) - size, std::memory_order_relaxed);
    return true;
}

void UnixSocket::put_back(Packet& packet) {
    {
        core::SpinGuard guard(incoming_.lock);
        incoming_.packets.push_front(packet);
        incoming_.bytes.store(incoming_.bytes.load(std::memory_order_relaxed) + packet.remaining(),
                              std::memory_order_relaxed);
        incoming_.count.store(incoming_.count.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }
    // Somebody may have looked in between.
    events.notify(data_events);
}

/// MSG_PEEK, from the offset of SO_PEEK_OFF where one is set. Nothing is taken, so it doesn't wait for more.
Result<void> UnixSocket::peek_pieces(ReceiveRequest& request, Progress& progress) {
    const u8 shut = shut_.load(std::memory_order_acquire);
    const i32 offset = peek_offset_.load(std::memory_order_relaxed);
    usize skip = static_cast<usize>(std::max(offset, 0));
    Packet* piece;
    {
        core::SpinGuard guard(incoming_.lock);
        piece = incoming_.packets.first();
    }
    while (piece && request.data.remaining() > 0) {
        const usize skipped = std::min(skip, piece->remaining());
        const usize size = std::min(piece->remaining() - skipped, request.data.remaining());
        if (size > 0) {
            Result<usize> copied = request.data.copy_out(piece->unread().subspan(skipped, size));
            if (!copied || *copied < size) {
                if (progress.copied == 0) return error(Errno::EFAULT);
                break;
            }
            progress.copied += size;
            note_sender(*piece, request);
            if (piece->ancillary.files) {
                request.ancillary.files = TRY(piece->ancillary.files->duplicate());
                break;
            }
        }
        skip -= skipped;
        core::SpinGuard guard(incoming_.lock);
        piece = incoming_.packets.next(*piece);
    }
    if (offset >= 0) peek_offset_.fetch_add(static_cast<i32>(progress.copied), std::memory_order_relaxed);
    if (progress.copied > 0 || (piece && request.data.remaining() == 0)) return {};
    return at_end(shut);
}

// ---- messages ----

Result<usize> UnixSocket::receive_packet(ReceiveRequest& request) {
    if (type() == SOCK_SEQPACKET && state() != State::Connected) return error(Errno::ENOTCONN);
    const u64 timeout = receive_timeout_ns_.load(std::memory_order_relaxed);
    const vfs::Blocking blocking = timeout == 0 ? vfs::Blocking::Refuse : blocking_of(request.flags);
    return wait(events, POLLIN, blocking, timeout, [&]() -> Result<usize> {
        core::MutexGuard guard(reader_);
        return take_packet(request);
    });
}

Result<usize> UnixSocket::take_packet(ReceiveRequest& request) {
    const u8 shut = shut_.load(std::memory_order_acquire);
    const bool is_peek = (request.flags & MSG_PEEK) != 0;
    const i32 offset = peek_offset_.load(std::memory_order_relaxed);
    usize skip = is_peek ? static_cast<usize>(std::max(offset, 0)) : 0;
    bool was_full;
    Packet* packet;
    {
        core::SpinGuard guard(incoming_.lock);
        packet = incoming_.packets.first();
        // An offset beyond a message leads into the next one.
        while (packet && skip > 0 && skip >= packet->remaining()) {
            skip -= packet->remaining();
            packet = incoming_.packets.next(*packet);
        }
        was_full = is_full();
        if (packet && !is_peek) {
            incoming_.packets.remove(*packet);
            incoming_.bytes.store(incoming_.bytes.load(std::memory_order_relaxed) - packet->remaining(),
                                  std::memory_order_relaxed);
            incoming_.count.store(incoming_.count.load(std::memory_order_relaxed) - 1, std::memory_order_release);
        }
    }
    if (!packet) {
        // A datagram socket shut down for reading ends only calls that would wait, as on Linux.
        if (is_datagram() && (request.flags & MSG_DONTWAIT)) TRY(at_end(0));
        TRY(at_end(shut));
        return 0;
    }
    Result<usize> result = hand_over(*packet, skip, request);
    if (is_peek) {
        if (offset >= 0 && result)
            peek_offset_.fetch_add(static_cast<i32>(std::min(*result, request.data.done())), std::memory_order_relaxed);
        return result;
    }
    const NullableRefPtr<UnixSocket> sender(sender_of(*packet)); // beyond the packet's end
    const usize cost = packet->cost;
    Packet::destroy(packet);
    if (UnixSocket* from = is_datagram() ? sender.get() : peer_.load(std::memory_order_acquire)) give_back(*from, cost);
    if (was_full) room_.notify(room_events);
    return result;
}

/// The bytes from `skip` on, as far as they fit, and what came with them.
Result<usize> UnixSocket::hand_over(Packet& packet, usize skip, ReceiveRequest& request) {
    const usize left = packet.remaining() - std::min(skip, packet.remaining());
    const usize size = std::min(left, request.data.remaining());
    if (size > 0) {
        Result<usize> copied = request.data.copy_out(packet.unread().subspan(skip, size));
        if (!copied || *copied < size) return error(Errno::EFAULT);
    }
    if (size < left) request.result_flags |= MSG_TRUNC;
    note_sender(packet, request);
    if (packet.ancillary.files) {
        if (request.flags & MSG_PEEK)
            request.ancillary.files = TRY(packet.ancillary.files->duplicate());
        else
            request.ancillary.files = std::move(packet.ancillary.files);
    }
    if (request.address) {
        if (UnixSocket* sender = sender_of(packet))
            sender->name_if_bound(*request.address);
        else if (NullableRefPtr<UnixSocket> other = peer())
            other->name_if_bound(*request.address);
    }
    return (request.flags & MSG_TRUNC) ? left : size;
}

} // namespace linnet::net
