// Feature negotiation, the split virtqueue, and the table of device types.
#include "virtio.hpp"

#include <arch/page.hpp>
#include <core/log.hpp>
#include <lib/format.hpp>
#include <lib/own_ptr.hpp>
#include <optional>

namespace linnet::drivers {
namespace {

constexpr u16 descriptor_next = 1, descriptor_write = 2;
constexpr u16 used_no_notify = 1;
constexpr u16 end_of_list = 0xffff;
constexpr usize ring_alignment = 4096; // legacy devices place the used ring at the next multiple of it

} // namespace

u16 VirtioTransport::read_config16(u32 offset) {
    return static_cast<u16>(read_config8(offset) | read_config8(offset + 1) << 8);
}
u32 VirtioTransport::read_config32(u32 offset) {
    return read_config16(offset) | static_cast<u32>(read_config16(offset + 2)) << 16;
}

Result<u64> start_virtio_device(VirtioTransport& transport, u64 wanted) {
    transport.set_status(0);
    transport.set_status(virtio_acknowledge);
    transport.set_status(virtio_acknowledge | virtio_driver);
    u64 agreed = transport.device_features() & (wanted | virtio_version_1);
    if (!transport.is_legacy() && !(agreed & virtio_version_1)) return error(Errno::ENODEV);
    transport.set_driver_features(agreed);
    if (transport.is_legacy()) return agreed;
    transport.set_status(virtio_acknowledge | virtio_driver | virtio_features_ok);
    if (!(transport.status() & virtio_features_ok)) {
        transport.set_status(virtio_failed);
        return error(Errno::ENODEV);
    }
    return agreed;
}

Result<VirtQueue*> VirtQueue::create(VirtioTransport& transport, u16 index, u16 wanted_size) {
    u16 offered = transport.queue_size(index);
    if (offered == 0) return error(Errno::ENODEV);
    // A legacy device has a fixed size.
    u16 size = transport.is_legacy() || wanted_size > offered ? offered : wanted_size;
    usize available_at = usize{16} * size;
    usize used_at = align_up(available_at + 6 + usize{2} * size, ring_alignment);
    usize bytes = used_at + 6 + usize{8} * size;
    unsigned order = 0;
    while ((arch::page_size << order) < bytes) ++order;
    auto* queue = new (std::nothrow) VirtQueue(transport, index, size);
    if (!queue) return error(Errno::ENOMEM);
    mm::Page* pages = TRY(mm::allocate_pages(order)); // kept as long as the device: for ever
    auto* memory = static_cast<u8*>(mm::page_data(*pages));
    queue->descriptors_ = reinterpret_cast<Descriptor*>(memory);
    queue->available_ = reinterpret_cast<volatile u16*>(memory + available_at);
    queue->used_ = reinterpret_cast<volatile u16*>(memory + used_at);
    for (u16 i = 0; i < size; ++i) queue->descriptors_[i].next = i + 1 < size ? static_cast<u16>(i + 1) : end_of_list;
    queue->free_count_ = size;
    PhysAddr base = mm::page_address(*pages);
    TRY(transport.enable_queue(index, size, base, base + available_at, base + used_at));
    return queue;
}

Result<u16> VirtQueue::add(PhysAddr address, u32 length, Direction direction) {
    const Piece piece{address, length, direction};
    return add_chain({&piece, 1});
}

Result<u16> VirtQueue::add_chain(std::span<const Piece> pieces) {
    if (free_count_ < pieces.size()) return error(Errno::EAGAIN);
    const u16 number = free_head_;
    for (usize i = 0; i < pieces.size(); ++i) {
        Descriptor& descriptor = descriptors_[free_head_];
        free_head_ = descriptor.next; // which stays the next of the chain
        descriptor.address = pieces[i].address.value;
        descriptor.length = pieces[i].length;
        descriptor.flags = pieces[i].direction == Direction::FromDevice ? descriptor_write : 0;
        if (i + 1 < pieces.size()) descriptor.flags |= descriptor_next;
    }
    free_count_ = static_cast<u16>(free_count_ - pieces.size());
    available_[2 + next_available_ % size_] = number;
    ++next_available_;
    // The device must see the entry before the index.
    std::atomic_thread_fence(std::memory_order_release);
    available_[1] = next_available_;
    return number;
}

void VirtQueue::kick() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!(used_[0] & used_no_notify)) transport_.notify(index_);
}

bool VirtQueue::has_used() const { return used_[1] != last_used_; }

Result<std::optional<VirtQueue::Used>> VirtQueue::take_used() {
    if (!has_used()) return std::optional<Used>{};
    std::atomic_thread_fence(std::memory_order_acquire);
    auto* entries = reinterpret_cast<volatile u32*>(const_cast<u16*>(used_ + 2));
    u32 number = entries[2 * (last_used_ % size_)];
    u32 length = entries[2 * (last_used_ % size_) + 1];
    if (number >= size_) return error(Errno::EIO);
    ++last_used_;
    u16 last = static_cast<u16>(number);
    for (++free_count_; descriptors_[last].flags & descriptor_next; ++free_count_) last = descriptors_[last].next;
    descriptors_[last].next = free_head_;
    free_head_ = static_cast<u16>(number);
    return std::optional<Used>(Used{static_cast<u16>(number), length});
}

std::string_view device_directory(const VirtioTransport& transport, std::span<char> room) {
    const usize length = transport.carrier(room).size();
    return {room.data(), length + format_into(room.subspan(length), "/virtio{}", transport.number()).size()};
}

Result<void> probe_virtio_device(VirtioTransport& transport) {
    static constinit std::atomic<u32> count{0};
    transport.set_number(count.fetch_add(1));
    switch (transport.device_type()) {
    case 2:
        return probe_virtio_block(transport);
    case 3:
        return probe_virtio_console(transport);
    case 4:
        return probe_virtio_rng(transport);
    case 9:
        return probe_virtio_p9(transport);
    default:
        return error(Errno::ENODEV);
    }
}

} // namespace linnet::drivers
