// Batches: merging and plugging on behalf of whoever has several things to ask of a disk.
#include <algorithm>
#include <block/batch.hpp>

namespace linnet::block {

/// Requests that are gathered or under way. In the heap, for it is too much for a stack.
struct Batch::Work {
    static constexpr usize most_requests = 12, most_segments = 160;
    RequestGroup group;
    usize request_count = 0, segment_count = 0;
    DeviceRequest requests[most_requests];
    Segment segments[most_segments]; // those of a request lie together
};

Batch::Batch(Device& device, Operation operation, Pages pages)
    : device_(device), operation_(operation), pages_(pages) {}
Batch::~Batch() = default;

/// False: there is no room.
bool Batch::try_append(u64 sector, const Segment& segment) {
    Work& work = *work_;
    const Limits& limits = device_.disk().limits();
    const u64 sectors = segment.length >> sector_shift;
    DeviceRequest* last = work.request_count > 0 ? &work.requests[work.request_count - 1] : nullptr;
    const bool goes_on = last && last->sector + last->sectors == sector && last->sectors + sectors <= limits.sectors;
    if (goes_on) {
        Segment& end = work.segments[work.segment_count - 1];
        if (end.address + end.length == segment.address) {
            end.length += segment.length;
            last->sectors += sectors;
            return true;
        }
    }
    if (work.segment_count == Work::most_segments) return false;
    if (!goes_on || last->segments.size() == limits.segments) {
        if (work.request_count == Work::most_requests) return false;
        last = &work.requests[work.request_count++];
        last->operation = operation_;
        last->sector = sector;
        last->segments = {&work.segments[work.segment_count], 0};
    }
    work.segments[work.segment_count++] = segment;
    last->segments = {last->segments.data(), last->segments.size() + 1};
    last->sectors += sectors;
    return true;
}

Result<void> Batch::add(u64 sector, std::span<const Segment> segments) {
    if (operation_ == Operation::Write && device_.is_read_only()) return error(Errno::EPERM);
    u64 bytes = 0;
    for (const Segment& segment : segments) bytes += segment.length;
    const u64 sectors = bytes >> sector_shift;
    if (sector > device_.sectors() || sectors > device_.sectors() - sector) return error(Errno::ENXIO);
    if (!work_) work_ = OwnPtr<Work>(new (std::nothrow) Work);
    if (!work_) return transfer_now(sector, segments); // who stores pages to free them may have none
    const usize requests_before = work_->request_count;
    for (const Segment& segment : segments) {
        if (!try_append(sector, segment)) {
            TRY(do_all());
            VERIFY(try_append(sector, segment));
        }
        sector += segment.length >> sector_shift;
    }
    if (requests_before > 0 && work_->request_count == requests_before) ++work_->requests[requests_before - 1].merged;
    return {};
}

Result<void> Batch::transfer_now(u64 sector, std::span<const Segment> segments) {
    return pages_ == Pages::Update ? device_.write_beside_pages(sector, segments)
                                   : device_.transfer(operation_, sector, segments);
}

/// Does what was gathered.
Result<void> Batch::do_all() {
    const std::span<DeviceRequest> requests(work_->requests, work_->request_count);
    if (requests.empty()) return {};
    device_.run(requests, work_->group);
    Errno code{};
    for (DeviceRequest& request : requests) {
        if (request.code == Errno{} && pages_ == Pages::Update)
            device_.update_pages(request.sector - device_.first_sector(), request.segments);
        if (code == Errno{}) code = request.code;
        request.~DeviceRequest();
        new (&request) DeviceRequest;
    }
    work_->request_count = work_->segment_count = 0;
    if (code != Errno{}) return error(code);
    return {};
}

Result<void> Batch::finish() {
    if (!work_) return {};
    Result<void> done = do_all();
    work_ = nullptr;
    return done;
}

} // namespace linnet::block
