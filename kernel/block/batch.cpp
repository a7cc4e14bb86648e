// Batches: merging and plugging on behalf of whoever has several things to ask of a disk.
#include <algorithm>
#include <block/batch.hpp>
#include <block/gathering.hpp>

namespace linnet::block {

/// What is gathered or under way. In the heap, for it is too much for a stack.
struct Batch::Work : Gathering<12, 160> {
    RequestGroup group;
};

Batch::Batch(Device& device, Operation operation, Pages pages)
    : device_(device), operation_(operation), pages_(pages) {}
Batch::~Batch() = default;

Result<void> Batch::add(u64 sector, std::span<const Segment> segments) {
    if (operation_ == Operation::Write && device_.is_read_only()) return error(Errno::EPERM);
    u64 bytes = 0;
    for (const Segment& segment : segments) bytes += segment.length;
    const u64 sectors = bytes >> sector_shift;
    if (sector > device_.sectors() || sectors > device_.sectors() - sector) return error(Errno::ENXIO);
    if (!work_) work_ = OwnPtr<Work>(new (std::nothrow) Work);
    if (!work_) return transfer_now(sector, segments); // who stores pages to free them may have none
    const usize requests_before = work_->request_count;
    const Limits& limits = device_.disk().limits();
    for (const Segment& segment : segments) {
        if (!work_->try_append(limits, operation_, sector, segment)) {
            TRY(do_all());
            VERIFY(work_->try_append(limits, operation_, sector, segment));
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
    const std::span<DeviceRequest> requests = work_->all();
    if (requests.empty()) return {};
    device_.run(requests, work_->group);
    Errno code{};
    for (DeviceRequest& request : requests) {
        if (request.code == Errno{} && pages_ == Pages::Update)
            device_.update_pages(request.sector - device_.first_sector(), request.segments);
        if (code == Errno{}) code = request.code;
    }
    work_->clear();
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
