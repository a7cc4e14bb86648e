// virtio-blk (section 5.2): a disk with one queue. Requests that the queue has no room for wait in a list of ours.
#include <algorithm>
#include <block/disk.hpp>
#include <core/log.hpp>
#include <lib/format.hpp>
#include <lib/own_ptr.hpp>

#include "virtio.hpp"

namespace linnet::drivers {
namespace {

using block::Operation;
using block::Request;

// Feature bits and the configuration (5.2.3, 5.2.4).
constexpr u64 feature_segments = 1 << 2, feature_read_only = 1 << 5, feature_block_size = 1 << 6,
              feature_flush = 1 << 9, feature_topology = 1 << 10, feature_discard = 1 << 13,
              feature_write_zeroes = 1 << 14;
constexpr u32 config_capacity = 0, config_segments = 12, config_block_size = 20, config_physical_exponent = 24,
              config_discard_sectors = 36, config_zero_sectors = 48;
// Requests (5.2.6).
constexpr u32 type_read = 0, type_write = 1, type_flush = 4, type_discard = 11, type_write_zeroes = 13;
constexpr u8 status_done = 0, status_unsupported = 2, status_none = 0xff;

constexpr u16 queue_entries = 256;
constexpr u32 most_segments = queue_entries - 2;
constexpr u32 most_sectors = 2560; // 1.25 MiB

struct Header {
    u32 type;
    u32 reserved;
    u64 sector;
};
struct Range {
    u64 sector;
    u32 sectors;
    u32 flags;
};
/// What the device reads and writes of one request besides its data.
struct Slot {
    Header header;
    Range range;
    u8 status;
    u8 padding[31];
};
static_assert(sizeof(Slot) == 64);

class VirtioBlock final : public block::Driver {
public:
    explicit VirtioBlock(VirtioTransport& transport) : transport_(transport) {}
    Result<void> start();
    void submit(block::RequestList& requests) override;

private:
    block::Limits read_limits(u64 features);
    Result<void> make_slots();
    bool try_start(Request& request);
    static Header header_of(const Request& request);
    void start_waiting();
    static void on_interrupt(void* context);
    void take_completed();

    VirtioTransport& transport_;
    core::InterruptSpinLock lock_; // guards the queue and all below
    VirtQueue* queue_ = nullptr;
    mm::Page* slots_ = nullptr; // one for each descriptor that may be a request's first
    Request** requests_ = nullptr;
    block::RequestList waiting_;
    VirtQueue::Piece pieces_[most_segments + 3]; // of the request that is being started: too much for the stack
};

/// "vda" … "vdz", "vdaa" … "vdzz".
usize name_of(u32 number, std::span<char> room) {
    constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz";
    const std::string_view last = letters.substr(number % letters.size(), 1);
    if (number < letters.size()) return format_into(room, "vd{}", last).size();
    return format_into(room, "vd{}{}", letters.substr(number / letters.size() - 1, 1), last).size();
}

block::Limits VirtioBlock::read_limits(u64 features) {
    block::Limits limits;
    limits.is_read_only = (features & feature_read_only) != 0;
    if (features & feature_segments) {
        const u32 most = transport_.read_config32(config_segments);
        limits.segments = most == 0 ? 1 : most < most_segments ? most : most_segments;
    }
    limits.sectors = most_sectors;
    limits.has_write_cache = (features & feature_flush) != 0;
    if (features & feature_block_size) limits.logical_block = transport_.read_config32(config_block_size);
    limits.physical_block = limits.logical_block;
    if (features & feature_topology)
        limits.physical_block = limits.logical_block << (transport_.read_config8(config_physical_exponent) & 7);
    if (features & feature_discard) limits.discard_sectors = transport_.read_config32(config_discard_sectors);
    if (features & feature_write_zeroes) limits.zero_sectors = transport_.read_config32(config_zero_sectors);
    return limits;
}

Result<void> VirtioBlock::make_slots() {
    unsigned order = 0;
    while ((arch::page_size << order) < queue_->size() * sizeof(Slot)) ++order;
    slots_ = TRY(mm::allocate_pages(order)); // kept as long as the disk: for ever
    requests_ = new (std::nothrow) Request*[queue_->size()]();
    return requests_ ? Result<void>{} : error(Errno::ENOMEM);
}

Result<void> VirtioBlock::start() {
    const u64 features =
        TRY(start_virtio_device(transport_, feature_segments | feature_read_only | feature_block_size | feature_flush |
                                                feature_topology | feature_discard | feature_write_zeroes));
    block::Limits limits = read_limits(features);
    const bool is_sane = std::has_single_bit(limits.logical_block) && limits.logical_block >= block::sector_size &&
                         limits.logical_block <= 4096;
    if (!is_sane) return error(Errno::ENODEV);
    TRY(transport_.set_handler(&on_interrupt, this));
    queue_ = TRY(VirtQueue::create(transport_, 0, queue_entries));
    if (queue_->size() < 4) return error(Errno::ENODEV);
    limits.segments = std::min<u32>(limits.segments, queue_->size() - 2u); // besides header and status
    TRY(make_slots());
    transport_.set_status(virtio_acknowledge | virtio_driver | virtio_features_ok | virtio_driver_ok);
    static constinit std::atomic<u32> count{0};
    const u32 number = count.fetch_add(1);
    char name[12];
    const usize length = name_of(number, name);
    const u64 sectors = transport_.read_config64(config_capacity);
    char parent[48];
    const block::Disk::Place place{.name = {name, length},
                                   .parent = device_directory(transport_, parent),
                                   .carrier_bus = transport_.carrier_bus(),
                                   .major = block::virtio_major,
                                   .first_minor = number * block::Disk::minors};
    auto disk = TRY(try_make<block::Disk>(place, *this, sectors, limits));
    return block::add_disk(*disk.release()); // found by its number from now on; lives as long as the kernel
}

Header VirtioBlock::header_of(const Request& request) {
    switch (request.operation) {
    case Operation::Read:
        return {type_read, 0, request.sector};
    case Operation::Write:
        return {type_write, 0, request.sector};
    case Operation::Flush:
        return {type_flush, 0, 0};
    case Operation::Discard:
        return {type_discard, 0, 0};
    case Operation::WriteZeroes:
        return {type_write_zeroes, 0, 0};
    }
    __builtin_unreachable();
}

/// lock_ held. False: no room.
bool VirtioBlock::try_start(Request& request) {
    const bool has_range = request.operation == Operation::Discard || request.operation == Operation::WriteZeroes;
    if (queue_->free_descriptors() < request.segments.size() + has_range + 2) return false;
    const u16 number = queue_->next_descriptor();
    auto& slot = mm::page_data<Slot>(*slots_)[number];
    const PhysAddr place = mm::page_address(*slots_) + number * sizeof(Slot);
    slot.header = header_of(request);
    slot.status = status_none;
    usize used = 0;
    pieces_[used++] = {place, sizeof(Header), VirtQueue::Direction::ToDevice};
    const auto direction =
        request.operation == Operation::Read ? VirtQueue::Direction::FromDevice : VirtQueue::Direction::ToDevice;
    for (const block::Segment& segment : request.segments)
        pieces_[used++] = {segment.address, segment.length, direction};
    if (has_range) {
        slot.range = {request.sector, static_cast<u32>(request.sectors), 0};
        pieces_[used++] = {place + offsetof(Slot, range), sizeof(Range), VirtQueue::Direction::ToDevice};
    }
    pieces_[used++] = {place + offsetof(Slot, status), 1, VirtQueue::Direction::FromDevice};
    requests_[number] = &request;
    MUST(queue_->add_chain({pieces_, used})); // there is room
    return true;
}

void VirtioBlock::submit(block::RequestList& requests) {
    core::InterruptSpinGuard guard(lock_);
    waiting_.splice_back(requests);
    start_waiting();
}

/// lock_ held.
void VirtioBlock::start_waiting() {
    bool has_started = false;
    while (Request* request = waiting_.first()) {
        if (!try_start(*request)) break;
        waiting_.remove(*request);
        has_started = true;
    }
    if (has_started) queue_->kick();
}

void VirtioBlock::take_completed() {
    for (;;) {
        Request* request = nullptr;
        u8 status = status_none;
        {
            core::InterruptSpinGuard guard(lock_);
            auto used = queue_->take_used();
            if (!used || !*used) return start_waiting();
            const u16 number = (*used)->descriptor;
            request = std::exchange(requests_[number], nullptr);
            status = mm::page_data<Slot>(*slots_)[number].status;
        }
        if (!request) continue; // a device that answers what it was not asked
        const Errno failure = status == status_unsupported ? Errno::EOPNOTSUPP : Errno::EIO;
        request->completed(*request, status == status_done ? Errno{} : failure);
    }
}

void VirtioBlock::on_interrupt(void* context) { static_cast<VirtioBlock*>(context)->take_completed(); }

} // namespace

Result<void> probe_virtio_block(VirtioTransport& transport) {
    // Interrupts find it from the start on: it lives as long as the kernel, whether it can be used or not.
    return TRY(try_make<VirtioBlock>(transport)).release()->start();
}

} // namespace linnet::drivers
