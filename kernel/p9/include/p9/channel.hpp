// Channels: what carries messages to a server of 9P and its answers back. Drivers register them by name; a mount claims
// one for itself.
#pragma once

#include <atomic>
#include <lib/intrusive_list.hpp>
#include <lib/result.hpp>
#include <lib/types.hpp>
#include <span>
#include <string_view>

namespace linnet::p9 {

/// A message and room for its answer, both in memory that devices reach by the direct map. Belongs to the channel from
/// try_send() until `completed`.
struct Request {
    ListNode node; // the owner's
    std::span<u8> message;
    std::span<u8> room;
    /// How much of the room was filled; not more than there is. 0: the server has dropped the request.
    usize answered = 0;
    /// In any context; none of the channel's locks is held.
    void (*completed)(Request&) = nullptr;
};

class Channel {
public:
    static constexpr usize most_tag_bytes = 64;

    /// Begins to send, without waiting. False while there is no room, of which there is some again before the next
    /// request completes. Any context.
    virtual bool try_send(Request& request) = 0;
    [[nodiscard]] std::string_view tag() const { return {tag_, tag_length_}; }

    ListNode node; // the registry's

protected:
    explicit Channel(std::string_view tag);
    ~Channel() = default;

private:
    friend Result<Channel*> claim_channel(std::string_view tag);
    friend void release_channel(Channel& channel);
    char tag_[most_tag_bytes];
    usize tag_length_;
    bool is_claimed_ = false; // the registry's lock
};

/// `channel` must live for ever.
void add_channel(Channel& channel);
/// The first free one of that name, for one user. ENOENT: there is none; EBUSY: it is in use.
Result<Channel*> claim_channel(std::string_view tag);
void release_channel(Channel& channel);

} // namespace linnet::p9
