// The collector of sockets that only messages refer to.
//
// A socket in flight is a candidate when all references to its file lie in messages. A candidate that some message
// outside of the candidates' queues has, is reachable, and so is all that waits in its own queue, and so on. What is
// left waits for itself: its messages with files are dropped, which ends the circle.
#include "garbage.hpp"

#include "socket.hpp"

namespace linnet::net {

namespace {

constinit core::LockClass flight_class{"sockets in messages"};
constinit core::Mutex flight_lock_object{flight_class};
using FlightList = IntrusiveList<UnixSocket, &UnixSocket::flight_node>;
constinit FlightList in_flight;
constinit std::atomic<u32> count_in_flight{0};

bool has_socket(std::span<RefPtr<vfs::File>> files) {
    for (RefPtr<vfs::File>& file : files)
        if (UnixSocket::of(*file)) return true;
    return false;
}

template <typename Visit>
void visit_sockets(FileRights& rights, Visit visit) {
    for (RefPtr<vfs::File>& file : rights.files())
        if (UnixSocket* socket = UnixSocket::of(*file)) visit(*socket);
}

/// Leaves on `in_flight` who is reachable, and returns the others.
void find_garbage(FlightList& garbage) {
    FlightList candidates, reachable;
    while (UnixSocket* socket = in_flight.pop_front()) {
        socket->found = 0;
        socket->is_candidate = socket->file()->ref_count() == socket->in_flight;
        (socket->is_candidate ? candidates : reachable).push_back(*socket);
    }
    for (UnixSocket& socket : candidates)
        socket.visit_rights(
            [](FileRights& rights) { visit_sockets(rights, [](UnixSocket& inner) { ++inner.found; }); });
    FlightList waiting; // reachable ones whose queues have not been looked into
    for (UnixSocket* socket = candidates.first(); socket;) {
        UnixSocket* next = candidates.next(*socket);
        if (socket->found < socket->in_flight) {
            candidates.remove(*socket);
            socket->is_candidate = false;
            waiting.push_back(*socket);
        }
        socket = next;
    }
    while (UnixSocket* socket = waiting.pop_front()) {
        reachable.push_back(*socket);
        // Marked under the queue's lock, moved by the next look at the list: a queue may hold a socket many times.
        socket->visit_rights([&](FileRights& rights) {
            visit_sockets(rights, [&](UnixSocket& inner) {
                if (!inner.is_candidate) return;
                inner.is_candidate = false;
                candidates.remove(inner);
                waiting.push_back(inner);
            });
        });
    }
    in_flight.splice_back(reachable);
    garbage.splice_back(candidates);
}

} // namespace

core::Mutex& flight_lock() { return flight_lock_object; }

void enter_flight(std::span<RefPtr<vfs::File>> files) {
    if (!has_socket(files)) return;
    core::MutexGuard guard(flight_lock_object);
    for (RefPtr<vfs::File>& file : files) {
        UnixSocket* socket = UnixSocket::of(*file);
        if (!socket || socket->in_flight++ > 0) continue;
        in_flight.push_back(*socket);
        count_in_flight.fetch_add(1, std::memory_order_relaxed);
    }
}

void leave_flight(std::span<RefPtr<vfs::File>> files) {
    if (!has_socket(files)) return;
    core::MutexGuard guard(flight_lock_object);
    for (RefPtr<vfs::File>& file : files) {
        UnixSocket* socket = UnixSocket::of(*file);
        if (!socket || --socket->in_flight > 0) continue;
        in_flight.remove(*socket);
        count_in_flight.fetch_sub(1, std::memory_order_relaxed);
    }
}

namespace {

/// Somebody collects; somebody wants it done (once more).
constinit std::atomic<bool> is_collecting{false};
constinit std::atomic<bool> is_wanted{false};
/// How many were in flight when the last collection ended.
constinit std::atomic<u32> left_in_flight{0};

void collect_once() {
    FlightList garbage;
    ArrayList<RefPtr<UnixSocket>> doomed;
    {
        core::MutexGuard guard(flight_lock_object);
        // Without room for the list nothing is collected now; a later close tries again.
        if (!doomed.try_reserve(count_in_flight.load(std::memory_order_relaxed))) return;
        find_garbage(garbage);
        for (UnixSocket& socket : garbage) (void)doomed.try_push(RefPtr<UnixSocket>(socket)); // there is room
        in_flight.splice_back(garbage);
    }
    for (RefPtr<UnixSocket>& socket : doomed) socket->drop_rights();
    left_in_flight.store(count_in_flight.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

} // namespace

/// What goes in a collection are sockets that are closed, each of which wants another one: whoever is at it does one
/// more for all of them.
void collect_garbage() {
    if (count_in_flight.load(std::memory_order_relaxed) == 0) return;
    is_wanted.store(true, std::memory_order_seq_cst);
    while (is_wanted.load(std::memory_order_seq_cst)) {
        if (is_collecting.exchange(true, std::memory_order_seq_cst)) return;
        is_wanted.store(false, std::memory_order_seq_cst);
        collect_once();
        is_collecting.store(false, std::memory_order_seq_cst);
    }
}

void collect_garbage_if_much() {
    constexpr u32 few = 256;
    if (count_in_flight.load(std::memory_order_relaxed) > 2 * left_in_flight.load(std::memory_order_relaxed) + few)
        collect_garbage();
}

// ---- the sockets' part ----

void UnixSocket::visit_rights(FunctionRef<void(FileRights&)> visit) {
    core::SpinGuard guard(incoming_.lock);
    for (Packet& packet : incoming_.packets)
        if (packet.ancillary.files) visit(*packet.ancillary.files);
    for (UnixSocket& connection : incoming_.connections) connection.visit_rights(visit);
}

void UnixSocket::take_rights(PacketList& taken) {
    core::SpinGuard guard(incoming_.lock);
    for (Packet* packet = incoming_.packets.first(); packet;) {
        Packet* next = incoming_.packets.next(*packet);
        if (packet->ancillary.files) {
            incoming_.packets.remove(*packet);
            incoming_.bytes.store(incoming_.bytes.load() - packet->remaining());
            incoming_.count.store(incoming_.count.load() - 1);
            taken.push_back(*packet);
        }
        packet = next;
    }
}

void UnixSocket::drop_rights() {
    PacketList taken;
    take_rights(taken);
    // A connection that nobody will accept goes with its listener; what it holds may be what keeps that.
    for (;;) {
        NullableRefPtr<UnixSocket> connection;
        PacketList of_connection;
        {
            core::SpinGuard guard(incoming_.lock);
            for (UnixSocket& waiting : incoming_.connections) {
                waiting.take_rights(of_connection);
                if (of_connection.is_empty()) continue;
                connection = NullableRefPtr<UnixSocket>(&waiting);
                break;
            }
        }
        if (!connection) break;
        connection->destroy_packets(of_connection);
    }
    destroy_packets(taken);
}

} // namespace linnet::net
