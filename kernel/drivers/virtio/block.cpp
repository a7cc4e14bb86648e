// virtio-blk (section 5.2): a disk with a queue for each CPU, or as many as it has. Nothing there tells the device that
// one write is to be on stable storage when it is done (FUA): who wants that flushes.
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
constexpr u64 feature_segment_bytes = 1 << 1, feature_segments = 1 << 2, feature_read_only = 1 << 5,
              feature_block_size = 1 << 6, feature_flush = 1 << 9, feature_topology = 1 << 10, feature_queues = 1 << 12,
              feature_discard = 1 << 13, feature_write_zeroes = 1 << 14;
constexpr u32 config_capacity = 0, config_segment_bytes = 8, config_segments = 12, config_block_size = 20,
              config_physical_exponent = 24, config_queues = 34, config_discard_sectors = 36, config_zero_sectors = 48;
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

/// One queue, and the requests that it has no room for. Threads use that of the CPU on which they run, so that they
/// hardly meet; where the queue has an interrupt of its own, its end neither meets those of others.
class BlockQueue {
public:
    static Result<BlockQueue*> create(VirtioTransport& transport, u16 index);
    [[nodiscard]] u16 size() const { return queue_->size(); }
    void set_segment_bytes(u32 most) { segment_bytes_ = most; }
    /// Any context.
    void submit(block::RequestList& requests);
    /// Interrupt context.
    void take_completed();
    static void on_interrupt(void* context) { static_cast<BlockQueue*>(context)->take_completed(); }

private:
    Result<void> make_slots();
    bool try_start(Request& request);
    static Header header_of(const Request& request);
    void start_waiting();

    core::InterruptSpinLock lock_; // guards all below
    VirtQueue* queue_ = nullptr;
    mm::Page* slots_ = nullptr; // one for each descriptor that may be a request's first
    Request** requests_ = nullptr;
    block::RequestList waiting_;
    u32 segment_bytes_ = ~0u;
    VirtQueue::Piece pieces_[most_segments + 3]; // of the request that is being started: too much for the stack
};

class VirtioBlock final : public block::Driver {
public:
    explicit VirtioBlock(VirtioTransport& transport) : transport_(transport) {}
    Result<void> start();
    void submit(block::RequestList& requests) override;

private:
    static constexpr u32 most_queues = 64;
    block::Limits read_limits(u64 features);
    Result<void> make_queues(u64 features);
    static void on_interrupt(void* context);

    VirtioTransport& transport_;
    BlockQueue* queues_[most_queues] = {};
    u32 queue_count_ = 0;
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
    if (features & feature_segment_bytes) {
        // Queues cut segments up: half of what a request may have is for the pieces that makes more.
        limits.segments = std::max(limits.segments / 2, 1u);
        const u64 bytes = u64{limits.segments} * transport_.read_config32(config_segment_bytes);
        limits.sectors = static_cast<u32>(std::min<u64>(most_sectors, bytes >> block::sector_shift));
    }
    limits.has_write_cache = (features & feature_flush) != 0;
    if (features & feature_block_size) limits.logical_block = transport_.read_config32(config_block_size);
    limits.physical_block = limits.logical_block;
    if (features & feature_topology)
        limits.physical_block = limits.logical_block << (transport_.read_config8(config_physical_exponent) & 7);
    if (features & feature_discard) limits.discard_sectors = transport_.read_config32(config_discard_sectors);
    if (features & feature_write_zeroes) limits.zero_sectors = transport_.read_config32(config_zero_sectors);
    return limits;
}

Result<BlockQueue*> BlockQueue::create(VirtioTransport& transport, u16 index) {
    auto made = TRY(try_make<BlockQueue>());
    // Interrupts find it from now on: it lives as long as the kernel, whether it can be used or not.
    BlockQueue& self = *made.release();
    (void)transport.set_queue_handler(index, &on_interrupt, &self); // else the one for all looks after it
    self.queue_ = TRY(VirtQueue::create(transport, index, queue_entries));
    if (self.size() < 4) return error(Errno::ENODEV);
    TRY(self.make_slots());
    return &self;
}

Result<void> BlockQueue::make_slots() {
    unsigned order = 0;
    while ((arch::page_size << order) < queue_->size() * sizeof(Slot)) ++order;
    slots_ = TRY(mm::allocate_pages(order)); // kept as long as the disk: for ever
    requests_ = new (std::nothrow) Request*[queue_->size()]();
    return requests_ ? Result<void>{} : error(Errno::ENOMEM);
}

/// The first has to be there; of the others as many as can be had.
Result<void> VirtioBlock::make_queues(u64 features) {
    u32 wanted = 1;
    if (features & feature_queues)
        wanted = std::clamp<u32>(transport_.read_config16(config_queues), 1, std::min(core::cpu_count(), most_queues));
    for (u32 i = 0; i < wanted; ++i) {
        const auto queue = BlockQueue::create(transport_, static_cast<u16>(i));
        if (!queue && i == 0) return error(queue.error());
        if (!queue) break;
        queues_[i] = *queue;
        __atomic_store_n(&queue_count_, i + 1, __ATOMIC_RELEASE);
    }
    return {};
}

Result<void> VirtioBlock::start() {
    const u64 features = TRY(start_virtio_device(
        transport_, feature_segment_bytes | feature_segments | feature_read_only | feature_block_size | feature_flush |
                        feature_topology | feature_queues | feature_discard | feature_write_zeroes));
    block::Limits limits = read_limits(features);
    const bool is_sane = std::has_single_bit(limits.logical_block) && limits.logical_block >= block::sector_size &&
                         limits.logical_block <= 4096 && limits.sectors >= arch::page_size / block::sector_size;
    if (!is_sane) return error(Errno::ENODEV);
    TRY(transport_.set_handler(&on_interrupt, this));
    TRY(make_queues(features));
    limits.queues = queue_count_;
    limits.queue_entries = queues_[0]->size();
    for (u32 i = 0; i < queue_count_; ++i) {
        // Besides header and status.
        limits.segments = std::min<u32>(limits.segments, queues_[i]->size() - 2u);
        if (features & feature_segment_bytes)
            queues_[i]->set_segment_bytes(transport_.read_config32(config_segment_bytes));
    }
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

Header BlockQueue::header_of(const Request& request) {
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
bool BlockQueue::try_start(Request& request) {
    const bool has_range = request.operation == Operation::Discard || request.operation == Operation::WriteZeroes;
    usize needed = has_range + 2u;
    for (const block::Segment& segment : request.segments) needed += divide_up(segment.length, segment_bytes_);
    if (queue_->free_descriptors() < needed) return false;
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
        for (u32 at = 0; at < segment.length; at += pieces_[used++].length)
            pieces_[used] = {segment.address + at, std::min(segment.length - at, segment_bytes_), direction};
    if (has_range) {
        slot.range = {request.sector, static_cast<u32>(request.sectors), 0};
        pieces_[used++] = {place + offsetof(Slot, range), sizeof(Range), VirtQueue::Direction::ToDevice};
    }
    pieces_[used++] = {place + offsetof(Slot, status), 1, VirtQueue::Direction::FromDevice};
    requests_[number] = &request;
    MUST(queue_->add_chain({pieces_, used})); // there is room
    return true;
}

void BlockQueue::submit(block::RequestList& requests) {
    core::InterruptSpinGuard guard(lock_);
    waiting_.splice_back(requests);
    start_waiting();
}

/// lock_ held.
void BlockQueue::start_waiting() {
    bool has_started = false;
    while (Request* request = waiting_.first()) {
        if (!try_start(*request)) break;
        waiting_.remove(*request);
        has_started = true;
    }
    if (has_started) queue_->kick();
}

void BlockQueue::take_completed() {
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

void VirtioBlock::submit(block::RequestList& requests) {
    // The thread may be elsewhere by now: any queue will do.
    queues_[core::this_cpu().number % queue_count_]->submit(requests);
}

/// Of those queues that have no interrupt of their own.
void VirtioBlock::on_interrupt(void* context) {
    auto& self = *static_cast<VirtioBlock*>(context);
    const u32 count = __atomic_load_n(&self.queue_count_, __ATOMIC_ACQUIRE);
    for (u32 i = 0; i < count; ++i) self.queues_[i]->take_completed();
}

} // namespace

Result<void> probe_virtio_block(VirtioTransport& transport) {
    // Interrupts find it from the start on: it lives as long as the kernel, whether it can be used or not.
    return TRY(try_make<VirtioBlock>(transport)).release()->start();
}

} // namespace linnet::drivers
