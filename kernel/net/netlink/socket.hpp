// NetlinkSocket: a socket of AF_NETLINK (netlink(7)): messages between programs, and between them and the kernel, which
// has port 0. What waits to be received counts for the receiver.
//
// Who waits where: readers at `events`; senders and promises (net/netlink.hpp) that the queue has no room for, at
// `room_`.
//
// Lock order: reader_ (sleeping; user copies happen under it) → ports (spinning) → queue_lock_ (spinning).
#pragma once

#include "../limits.hpp"
#include "../packet.hpp"

#include <abi/linux/netlink.hpp>
#include <core/mutex.hpp>
#include <net/socket.hpp>

namespace linnet::net {

class NetlinkSocket final : public Socket {
public:
    static Result<RefPtr<Socket>> create(u32 type, i32 protocol);

    Result<void> bind(const Address& address) override;
    Result<void> connect(const Address& address, vfs::Blocking blocking) override;
    Result<void> name(Address& address) override;
    Result<void> peer_name(Address& address) override;
    Result<usize> send(SendRequest& request) override;
    Result<usize> receive(ReceiveRequest& request) override;
    u32 poll() override;
    Result<void> set_option(int level, int name, mm::UserSpan value) override;
    Result<void> get_option(int level, int name, OptionRoom& room) override;
    void release() override;
    [[nodiscard]] SenderPassing sender_passing() const override { return {.credentials = pass_credentials_.load()}; }
    [[nodiscard]] const void* kind() const override { return &tag; }
    static const char tag;

    [[nodiscard]] u32 port() const { return port_.load(std::memory_order_acquire); }

    /// Room for a message that comes later: waits as a sender does. RestartIfRequested, ECONNREFUSED when it is closed.
    Result<void> take_room(usize cost);
    void give_back_room(usize cost);
    /// Queues a message whose room was taken; ECONNREFUSED.
    Result<void> append(Packet& packet);
    /// An answer of the kernel's: what has no room is lost (ENOBUFS at the next receive).
    void deliver_or_lose(Packet& packet);
    /// Whether errors repeat the header of the request only.
    [[nodiscard]] bool caps_answers() const { return has(abi::NETLINK_CAP_ACK); }

    ListNode port_node; // the list of bound sockets

private:
    /// nl_pid and nl_groups.
    struct Destination {
        u32 port;
        u32 groups;
    };
    static constexpr u32 data_events = abi::POLLIN | abi::POLLRDNORM;
    static constexpr u32 room_events = abi::POLLOUT | abi::POLLWRNORM | abi::POLLWRBAND;

    NetlinkSocket(u32 type, i32 protocol);

    [[nodiscard]] bool has(int option) const { return (switches_.load(std::memory_order_relaxed) >> option & 1) != 0; }
    Result<void> bind_port(u32 port);
    Result<void> bind_automatically();
    [[nodiscard]] bool may_name_others() const;
    Result<Destination> destination_of(const SendRequest& request) const;
    Result<Packet*> make_packet(SendRequest& request);
    Result<void> send_to_port(u32 port, Packet* packet, u32 flags);
    void send_to_groups(Packet& packet, u32 groups);
    Result<void> try_take_room(usize cost);
    NullableRefPtr<NetlinkSocket> find(u32 port) const;
    Result<usize> take_packet(ReceiveRequest& request);
    void after_receiving(usize cost);
    Result<void> set_membership(i32 group, bool is_member);

    std::atomic<u32> port_{0}; // set once
    std::atomic<u32> groups_{0};
    std::atomic<u32> peer_port_{0};
    std::atomic<u32> peer_groups_{0};
    std::atomic<bool> is_connected_{false};
    std::atomic<bool> pass_credentials_{false};
    std::atomic<u32> switches_{0}; // by the numbers of options

    core::Mutex reader_;
    core::SpinLock queue_lock_;
    IntrusiveList<Packet, &Packet::node> packets_;
    std::atomic<bool> is_closed_{false};
    std::atomic<bool> is_congested_{false}; // something was lost: nothing more comes until all has been read
    MessageMemory received_;
    vfs::EventSource room_;
};

/// The kernel's side of NETLINK_ROUTE: the answers to what a program sent (rtnetlink(7)).
void answer_route_requests(NetlinkSocket& from, std::span<const u8> requests);

} // namespace linnet::net
