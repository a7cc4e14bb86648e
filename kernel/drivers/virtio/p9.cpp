// virtio-9p: a channel to a server of 9P, with one queue; each buffer is a message and the room for its answer. The
// configuration holds the name of what is served (VIRTIO_9P_MOUNT_TAG).
#include <algorithm>
#include <arch/page.hpp>
#include <core/log.hpp>
#include <lib/own_ptr.hpp>
#include <p9/channel.hpp>

#include "virtio.hpp"

namespace linnet::drivers {
namespace {

constexpr u64 feature_tag = 1 << 0;
constexpr u32 config_tag_length = 0, config_tag = 2;
constexpr u16 queue_entries = 128;
constexpr u16 pieces_of_request = 2;

class VirtioP9 final : public p9::Channel {
public:
    VirtioP9(VirtioTransport& transport, std::string_view tag) : Channel(tag), transport_(transport) {}
    Result<void> start();
    bool try_send(p9::Request& request) override;

private:
    static void on_interrupt(void* context);
    void take_completed();

    VirtioTransport& transport_;
    core::InterruptSpinLock lock_; // guards the queue and the table
    VirtQueue* queue_ = nullptr;
    p9::Request** requests_ = nullptr; // by the first descriptor of their chain
};

Result<void> VirtioP9::start() {
    TRY(transport_.set_handler(&on_interrupt, this));
    VirtQueue* const queue = TRY(VirtQueue::create(transport_, 0, queue_entries));
    if (queue->size() < pieces_of_request) return error(Errno::ENODEV);
    requests_ = new (std::nothrow) p9::Request*[queue->size()]();
    if (!requests_) return error(Errno::ENOMEM);
    {
        core::InterruptSpinGuard guard(lock_);
        queue_ = queue;
    }
    transport_.set_status(virtio_acknowledge | virtio_driver | virtio_features_ok | virtio_driver_ok);
    return {};
}

bool VirtioP9::try_send(p9::Request& request) {
    const VirtQueue::Piece pieces[pieces_of_request] = {
        {arch::virt_to_phys(request.message.data()), static_cast<u32>(request.message.size()),
         VirtQueue::Direction::ToDevice},
        {arch::virt_to_phys(request.room.data()), static_cast<u32>(request.room.size()),
         VirtQueue::Direction::FromDevice}};
    core::InterruptSpinGuard guard(lock_);
    const auto first = queue_->add_chain(pieces);
    if (!first) return false;
    requests_[*first] = &request;
    queue_->kick();
    return true;
}

void VirtioP9::take_completed() {
    for (;;) {
        p9::Request* request = nullptr;
        {
            core::InterruptSpinGuard guard(lock_);
            if (!queue_) return; // an interrupt of another device on the same line
            const auto used = queue_->take_used();
            if (!used || !*used) return;
            request = std::exchange(requests_[(*used)->descriptor], nullptr);
            if (!request) continue; // a device that answers what it was not asked
            request->answered = std::min<usize>((*used)->length, request->room.size());
        }
        request->completed(*request);
    }
}

void VirtioP9::on_interrupt(void* context) { static_cast<VirtioP9*>(context)->take_completed(); }

} // namespace

Result<void> probe_virtio_p9(VirtioTransport& transport) {
    const u64 features = TRY(start_virtio_device(transport, feature_tag));
    if (!(features & feature_tag)) return error(Errno::ENODEV);
    char tag[p9::Channel::most_tag_bytes];
    const usize length = transport.read_config16(config_tag_length);
    if (length > sizeof(tag)) return error(Errno::ENODEV);
    for (u32 i = 0; i < length; ++i) tag[i] = static_cast<char>(transport.read_config8(config_tag + i));
    // Interrupts find it from the start on: it lives as long as the kernel, whether it can be used or not.
    VirtioP9* const channel = TRY(try_make<VirtioP9>(transport, std::string_view(tag, length))).release();
    TRY(channel->start());
    p9::add_channel(*channel);
    return {};
}

} // namespace linnet::drivers
