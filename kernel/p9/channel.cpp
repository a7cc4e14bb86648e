// The channels that there are.
#include <algorithm>
#include <core/mutex.hpp>
#include <cstring>
#include <p9/channel.hpp>

namespace linnet::p9 {

namespace {

constinit core::Mutex channels_lock;
[[clang::no_destroy]] constinit IntrusiveList<Channel, &Channel::node> channels;

} // namespace

Channel::Channel(std::string_view tag) : tag_length_(std::min(tag.size(), most_tag_bytes)) {
    std::memcpy(tag_, tag.data(), tag_length_);
}

void add_channel(Channel& channel) {
    core::MutexGuard guard(channels_lock);
    channels.push_back(channel);
}

Result<Channel*> claim_channel(std::string_view tag) {
    core::MutexGuard guard(channels_lock);
    bool is_known = false;
    for (Channel& channel : channels) {
        if (channel.tag() != tag) continue;
        is_known = true;
        if (!std::exchange(channel.is_claimed_, true)) return &channel;
    }
    return error(is_known ? Errno::EBUSY : Errno::ENOENT);
}

void release_channel(Channel& channel) {
    core::MutexGuard guard(channels_lock);
    channel.is_claimed_ = false;
}

} // namespace linnet::p9
