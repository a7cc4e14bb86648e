// Packet: what one send put into a socket's queue: a message, or a piece of a stream. Header and bytes are one block of
// the heap, no larger than needed.
#pragma once

#include <lib/intrusive_list.hpp>
#include <net/socket.hpp>

namespace linnet::net {

struct Packet {
    /// Room for `size` bytes; ENOBUFS.
    static Result<Packet*> create(usize size);
    static void destroy(Packet* packet);

    [[nodiscard]] usize remaining() const { return end - begin; }
    [[nodiscard]] u8* bytes() { return reinterpret_cast<u8*>(this + 1); }
    [[nodiscard]] std::span<const u8> unread() { return {bytes() + begin, remaining()}; }

    /// What Linux would count for a message of that size: programs know how many fit (socket(7), SO_SNDBUF).
    static constexpr usize cost_of(usize size) {
        constexpr usize header = 256, trailer = 320, linear = 4096, page = 4096;
        if (size + trailer > linear) return header + linear + (size + trailer - linear + page - 1) / page * page;
        return header + (size + trailer <= 512 ? 512 : std::bit_ceil(size + trailer));
    }

    ListNode node;
    u32 begin = 0; // what has been read of a stream's piece
    u32 end = 0;
    u32 cost = 0;                    // what is counted for who sent it, or who is to receive it
    u32 groups = 0;                  // whom else it was for (netlink(7), nl_groups)
    NullableRefPtr<Socket> sender{}; // of a datagram
    Ancillary ancillary{};
};

} // namespace linnet::net
