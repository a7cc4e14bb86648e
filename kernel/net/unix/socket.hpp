// UnixSocket: a socket of AF_UNIX of any type (unix(7)).
//
// Connected sockets name each other as peers. What one sends goes to the queue of the other; what is queued counts for
// the sender (`sent_`). A stream's and a sequence's peer is set once, before anybody else may use the socket, and stays
// until release(), so that their sends and receives need neither a lock nor a reference to reach it; a datagram socket
// may change its peer at any time.
//
// Who waits where: readers, and senders whose own buffer is full, at their own socket's `events`; senders and
// connections that the other side's queue is too long for, at the other side's `room`.
//
// Lock order:
//   configuration_ (sleeping)         bind, listen, connect
//     reader_ (sleeping)              who takes from the queue; user copies happen under it
//       flight_lock() (sleeping)      garbage.hpp
//         Queue::lock (spinning)
//           peer_lock_ (spinning)
//         names (name.hpp), list of sockets: spinning, leaves
#pragma once

#include "../limits.hpp"
#include "../packet.hpp"
#include "name.hpp"

#include <net/socket.hpp>
#include <vfs/path.hpp>

namespace linnet::net {

/// Who made a connection or waits for them (SO_PEERCRED, SO_PEERGROUPS, SO_PEERPIDFD).
struct PeerCredentials : RefCounted<PeerCredentials> {
    static Result<RefPtr<PeerCredentials>> current();
    NullableRefPtr<const vfs::Credentials> credentials;
    NullableRefPtr<vfs::ProcessIdentity> process;
    i32 pid = 0;
};

class UnixSocket final : public Socket {
public:
    static Result<RefPtr<Socket>> create(u32 type, i32 protocol);
    static Result<void> connect_pair(Socket& one, Socket& other);
    ~UnixSocket() override;

    Result<void> bind(const Address& address) override;
    Result<void> connect(const Address& address, vfs::Blocking blocking) override;
    Result<void> listen(i32 backlog) override;
    Result<RefPtr<Socket>> accept(vfs::Blocking blocking) override;
    Result<void> name(Address& address) override;
    Result<void> peer_name(Address& address) override;
    Result<void> shutdown(int how) override;
    Result<usize> send(SendRequest& request) override;
    Result<usize> receive(ReceiveRequest& request) override;
    u32 poll() override;
    Result<void> set_option(int level, int name, mm::UserSpan value) override;
    Result<void> get_option(int level, int name, OptionRoom& room) override;
    Result<long> ioctl(u32 command, u64 argument) override;
    void release() override;
    void show_fdinfo(TextSink sink) const override;
    [[nodiscard]] SenderPassing sender_passing() const override {
        return {pass_credentials_.load(std::memory_order_relaxed), pass_pidfd_.load(std::memory_order_relaxed)};
    }
    [[nodiscard]] const void* kind() const override { return &tag; }
    static const char tag;

    /// Null when `file` is no socket of this family.
    static UnixSocket* of(vfs::File& file);
    /// One line of /proc/net/unix.
    void show(TextSink sink);
    /// All of them, for /proc/net/unix; the `position`-th, null at the end.
    static NullableRefPtr<UnixSocket> at(usize position);

    // name.cpp's and garbage.cpp's own.
    ListNode abstract_node;
    ListNode list_node;
    ListNode accept_node; // in the queue of who listens, under its lock
    ListNode flight_node; // flight_lock()
    u32 in_flight = 0;    // references in messages
    u32 found = 0;        // of these, in messages of sockets that are in flight only
    bool is_candidate = false;
    [[nodiscard]] const UnixName* bound_name() const { return name_.load(std::memory_order_acquire); }
    /// Shows the name from now on; once.
    void publish_name(const UnixName& name) {
        name.ref();
        name_.store(&name, std::memory_order_release);
    }
    /// Calls `visit` for what is queued here and at connections that wait to be accepted.
    void visit_rights(FunctionRef<void(FileRights&)> visit);
    /// Drops the messages with files, likewise.
    void drop_rights();
    using PacketList = IntrusiveList<Packet, &Packet::node>;

private:
    enum class State : u8 { Unconnected, Connected, Listening };
    /// Bits of `shut_`.
    static constexpr u8 shut_receive = 1, shut_send = 2, shut_both = 3;
    static constexpr u32 room_events = abi::POLLOUT | abi::POLLWRNORM | abi::POLLWRBAND;
    static constexpr u32 data_events = abi::POLLIN | abi::POLLRDNORM;
    static constexpr u32 all_events = room_events | data_events | abi::POLLHUP | abi::POLLRDHUP | abi::POLLERR;
    /// The largest piece of a stream in one block of the heap.
    static constexpr usize piece_limit = (32 << 10) - sizeof(Packet);

    struct Queue {
        core::SpinLock lock;
        PacketList packets;
        IntrusiveList<UnixSocket, &UnixSocket::accept_node> connections; // counted; nobody has accepted them
        std::atomic<u64> bytes{0};
        std::atomic<u32> count{0}; // of packets or of connections
        bool is_closed = false;
    };

    explicit UnixSocket(u32 type, i32 protocol);

    [[nodiscard]] bool is_stream() const { return type() == abi::SOCK_STREAM; }
    [[nodiscard]] bool is_datagram() const { return type() == abi::SOCK_DGRAM; }
    [[nodiscard]] State state() const { return state_.load(std::memory_order_acquire); }
    [[nodiscard]] bool is_shut(u8 bits) const { return (shut_.load(std::memory_order_acquire) & bits) != 0; }
    [[nodiscard]] bool passes_sender() const {
        return pass_credentials_.load(std::memory_order_relaxed) || pass_pidfd_.load(std::memory_order_relaxed);
    }

    // peers
    NullableRefPtr<UnixSocket> peer();
    void set_peer(NullableRefPtr<UnixSocket> peer);
    void become_peers(UnixSocket& other);
    void set_peer_credentials(NullableRefPtr<PeerCredentials> credentials);
    NullableRefPtr<PeerCredentials> peer_credentials();
    void name_if_bound(Address& address) const;
    Result<void> bind_automatically();
    Result<void> bind_path(std::string_view path);
    Result<void> bind_abstract(std::string_view name);
    Result<NullableRefPtr<UnixSocket>> find(const Address& address);
    Result<void> connect_datagram(const Address& address);
    void disconnect_datagram();
    Result<void> try_connect(const Address& address, NullableRefPtr<UnixSocket>& listener,
                             NullableRefPtr<UnixSocket>& fresh);
    Result<void> offer(UnixSocket& client, NullableRefPtr<UnixSocket>& fresh);
    void hang_up_on_peer(bool lost_data);
    void tell_of_shutdown();

    // sending
    Result<usize> send_stream(SendRequest& request);
    Result<void> send_pieces(SendRequest& request, UnixSocket& to, usize& sent);
    Result<usize> send_packet(SendRequest& request);
    Result<void> find_room();
    Result<Packet*> make_packet(SendRequest& request, usize size);
    void drop(Packet& packet);
    /// Null: nobody, or the peer.
    static UnixSocket* sender_of(const Packet& packet) { return static_cast<UnixSocket*>(packet.sender.get()); }
    Result<void> attach(Packet& packet, SendRequest& request, const UnixSocket* to);
    Result<void> append(Packet& packet);
    Result<void> deliver(UnixSocket& to, Packet& packet);
    Result<NullableRefPtr<UnixSocket>> receiver_of(const SendRequest& request);
    Result<void> hand_to(const SendRequest& request, Packet& packet);
    [[nodiscard]] bool has_room() const { return sent_.used() < send_buffer_.load(std::memory_order_relaxed); }
    [[nodiscard]] bool is_writable() const { return sent_.used() * 4 <= send_buffer_.load(std::memory_order_relaxed); }
    [[nodiscard]] bool is_full() const {
        return incoming_.count.load(std::memory_order_relaxed) > backlog_.load(std::memory_order_relaxed);
    }
    bool has_room_at_peer();
    void follow_room_of(NullableRefPtr<UnixSocket> target);

    void destroy_packets(PacketList& packets);
    void take_rights(PacketList& taken);

    // receiving
    struct Progress;
    Result<usize> receive_stream(ReceiveRequest& request);
    Result<void> take_pieces(ReceiveRequest& request, Progress& progress);
    Result<void> peek_pieces(ReceiveRequest& request, Progress& progress);
    Packet* next_piece(const ReceiveRequest& request, const Progress& progress, bool& is_taken);
    Result<bool> read_piece(Packet& piece, bool is_taken, ReceiveRequest& request, Progress& progress);
    void put_back(Packet& packet);
    Result<void> at_end(u8 shut);
    void note_sender(const Packet& packet, ReceiveRequest& request);
    Result<usize> receive_packet(ReceiveRequest& request);
    Result<usize> take_packet(ReceiveRequest& request);
    Result<usize> hand_over(Packet& packet, usize skip, ReceiveRequest& request);
    static void give_back(UnixSocket& sender, usize cost);
    Result<long> readable_bytes();

    Queue incoming_;
    std::atomic<State> state_{State::Unconnected};
    std::atomic<u8> shut_{0};
    std::atomic<bool> was_accepted_{true}; // false: a connection that waits for accept(2)
    std::atomic<bool> pass_credentials_{false};
    std::atomic<bool> pass_pidfd_{false};
    std::atomic<bool> pass_security_{false};
    std::atomic<i32> peek_offset_{-1};
    std::atomic<u32> backlog_;
    std::atomic<UnixSocket*> peer_{nullptr}; // counted
    MessageMemory sent_;
    core::Mutex reader_;
    core::Mutex configuration_;
    core::SpinLock peer_lock_; // of peer_ while it may change, peer_credentials_, followed_
    NullableRefPtr<PeerCredentials> peer_credentials_;
    std::atomic<const UnixName*> name_{nullptr}; // counted; set once
    NullableRefPtr<UnixBinding> binding_;        // configuration_
    std::optional<vfs::Path> place_;             // of a bound path: keeps its inode, on which the binding is
    vfs::EventSource room_;                      // of who waits until this queue is shorter

    /// Tells the own events of what happens at the peer's `room_`, for poll.
    struct RoomFollower : core::WaitQueue::Waiter {
        UnixSocket* owner = nullptr;
    };
    RoomFollower follower_;
    NullableRefPtr<UnixSocket> followed_;
};

} // namespace linnet::net
