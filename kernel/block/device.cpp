// Devices: transfers and commands that wait, and the page cache.
#include <algorithm>
#include <block/background_read.hpp>
#include <block/batch.hpp>
#include <core/time.hpp>
#include <cstring>
#include <lib/format.hpp>

namespace linnet::block {

Device::~Device() {
    if (pages_) pages_->detach();
}

vfs::DeviceNumber Device::number() const { return disk_.number_of(index_); }
bool Device::is_read_only() const { return disk_.limits().is_read_only || is_read_only_.load(); }

usize Device::name(std::span<char> room) const {
    if (index_ == 0) return format_into(room, "{}", disk_.name()).size();
    // Else the number would go on with the disk's.
    const bool ends_in_digit = disk_.name().back() >= '0' && disk_.name().back() <= '9';
    return format_into(room, "{}{}{}", disk_.name(), ends_in_digit ? "p" : "", index_).size();
}

// ---- transfers ----

/// The time since the last change counts when something was under way.
void Device::note_begun(DeviceRequest& request) {
    request.begun_ns = core::monotonic_ns();
    const bool was_busy = in_flight() > 0;
    const u64 before = busy_until_.exchange(request.begun_ns, std::memory_order_relaxed);
    if (was_busy && before < request.begun_ns) busy_ns_.fetch_add(request.begun_ns - before, std::memory_order_relaxed);
    in_flight_[request.operation != Operation::Read].fetch_add(1, std::memory_order_relaxed);
}

void Device::note_done(const DeviceRequest& request) {
    const u64 now = core::monotonic_ns();
    const u64 before = busy_until_.exchange(now, std::memory_order_relaxed);
    if (before < now) busy_ns_.fetch_add(now - before, std::memory_order_relaxed);
    in_flight_[request.operation != Operation::Read].fetch_sub(1, std::memory_order_relaxed);
    count(request.operation, request, now - request.begun_ns);
    // As on Linux, whoever asks for a flush has also written, though nothing.
    if (request.operation == Operation::Flush) count(Operation::Write, request, now - request.begun_ns);
}

void Device::count(Operation as, const DeviceRequest& request, u64 nanoseconds) {
    RequestCounts& counts = counts_[static_cast<usize>(as)];
    counts.requests.fetch_add(1, std::memory_order_relaxed);
    counts.merged.fetch_add(request.merged, std::memory_order_relaxed);
    counts.sectors.fetch_add(request.sectors, std::memory_order_relaxed);
    counts.nanoseconds.fetch_add(nanoseconds, std::memory_order_relaxed);
}

void Device::on_completed(Request& request, Errno code) {
    auto& self = static_cast<DeviceRequest&>(request);
    RequestGroup& group = *self.group;
    core::WaitQueue* const queue = group.queue; // request and group are gone once nothing is left
    self.code = code;
    self.device->note_done(self);
    if (group.left.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    if (queue)
        queue->wake_all();
    else
        group.finished(group);
}

void Device::run(std::span<DeviceRequest> requests, RequestGroup& group) {
    group.queue = &disk_.waiters_of(group);
    begin(requests, group);
    (void)core::wait_until(*group.queue, core::Sleep::Deep, core::Deadline::never(),
                           [&] { return group.left.load(std::memory_order_acquire) == 0; });
}

void Device::begin(std::span<DeviceRequest> requests, RequestGroup& group) {
    group.left.store(static_cast<u32>(requests.size()), std::memory_order_relaxed);
    RequestList list;
    for (DeviceRequest& request : requests) {
        request.sector += first_sector_;
        request.device = this;
        request.group = &group;
        request.completed = &on_completed;
        note_begun(request);
        list.push_back(request);
    }
    disk_.driver().submit(list);
}

Result<void> Device::run_one(Operation operation, u64 sector, u64 sectors, std::span<const Segment> segments) {
    DeviceRequest request;
    request.operation = operation;
    request.sector = sector;
    request.sectors = sectors;
    request.segments = segments;
    RequestGroup group;
    run({&request, 1}, group);
    if (request.code != Errno{}) return error(request.code);
    return {};
}

Result<void> Device::transfer(Operation operation, u64 sector, std::span<const Segment> segments) {
    if (operation == Operation::Write && is_read_only()) return error(Errno::EPERM);
    const Limits& limits = disk_.limits();
    while (!segments.empty()) {
        // As much as the disk takes at once. No segment is larger than that: they are pages.
        usize count = 0;
        u64 sectors = 0;
        while (count < segments.size() && count < limits.segments) {
            const u64 more = segments[count].length >> sector_shift;
            if (count > 0 && sectors + more > limits.sectors) break;
            sectors += more;
            ++count;
        }
        // A segment of O_DIRECT need not be whole blocks, but all that is asked at once is.
        const u64 in_block = (limits.logical_block >> sector_shift) - 1;
        while (count > 1 && (sectors & in_block)) sectors -= segments[--count].length >> sector_shift;
        if (sector > this->sectors() || sectors > this->sectors() - sector) return error(Errno::ENXIO);
        TRY(run_one(operation, sector, sectors, segments.first(count)));
        sector += sectors;
        segments = segments.subspan(count);
    }
    return {};
}

Result<void> Device::write_beside_pages(u64 sector, std::span<const Segment> segments) {
    TRY(transfer(Operation::Write, sector, segments));
    update_pages(sector, segments);
    return {};
}

void Device::update_pages(u64 sector, std::span<const Segment> segments) {
    u64 offset = sector << sector_shift;
    for (const Segment& segment : segments)
        for (u32 done = 0; done < segment.length;) {
            const usize begin = offset & (arch::page_size - 1);
            const auto length = static_cast<u32>(std::min<u64>(segment.length - done, arch::page_size - begin));
            if (mm::PageRef page = pages_->find_page(offset >> arch::page_shift))
                std::memcpy(page.data<u8>() + begin, arch::phys_to_virt<u8>(segment.address + done), length);
            offset += length;
            done += length;
        }
}

Result<void> Device::command(Operation operation, u64 sector, u64 sectors) {
    const Limits& limits = disk_.limits();
    if (operation == Operation::Flush && !limits.has_write_cache) return {}; // all that was written is there
    if (operation != Operation::Flush && is_read_only()) return error(Errno::EPERM);
    if (sector > this->sectors() || sectors > this->sectors() - sector) return error(Errno::ENXIO);
    if (operation == Operation::WriteZeroes && limits.zero_sectors == 0) return write_zero_pages(sector, sectors);
    u64 most = ~u64{0};
    if (operation == Operation::Discard) most = limits.discard_sectors;
    if (operation == Operation::WriteZeroes) most = limits.zero_sectors;
    if (most == 0) return error(Errno::EOPNOTSUPP);
    do {
        const u64 count = std::min(sectors, most);
        TRY(run_one(operation, sector, count, {}));
        sector += count;
        sectors -= count;
    } while (sectors > 0);
    return {};
}

/// For disks that have no command for it.
Result<void> Device::write_zero_pages(u64 sector, u64 sectors) {
    auto page = TRY(mm::allocate_page(mm::PageZeroing::Zeroed, mm::PageKind::Kernel));
    constexpr u64 sectors_of_page = arch::page_size >> sector_shift;
    while (sectors > 0) {
        const u64 count = std::min(sectors, sectors_of_page);
        const Segment segment{page.address(), static_cast<u32>(count << sector_shift)};
        TRY(transfer(Operation::Write, sector, {&segment, 1}));
        sector += count;
        sectors -= count;
    }
    return {};
}

// ---- pages ----

namespace {

constexpr u64 sector_of(u64 index) { return index << (arch::page_shift - sector_shift); }

} // namespace

Result<void> Device::read_page(u64 index, mm::Page& page) {
    mm::Page* const only = &page;
    return read_pages(index, {&only, 1});
}

Result<void> Device::write_page(u64 index, mm::Page& page) {
    mm::Page* const only = &page;
    return write_pages(index, {&only, 1});
}

/// How much of a page lies on the device, in whole blocks.
u32 Device::bytes_of_page(u64 index) const {
    const u64 offset = index << arch::page_shift;
    const u64 left = offset < bytes() ? bytes() - offset : 0;
    return static_cast<u32>(align_down(std::min<u64>(arch::page_size, left), disk_.limits().logical_block));
}

Result<void> Device::move_pages(Operation operation, u64 index, std::span<mm::Page* const> pages) {
    Batch batch(*this, operation);
    while (!pages.empty()) {
        Segment segments[mm::FileObject::batch];
        usize count = 0;
        const u64 sector = sector_of(index);
        for (; count < std::min(pages.size(), std::size(segments)) && bytes_of_page(index) > 0; ++index) {
            segments[count] = {mm::page_address(*pages[count]), bytes_of_page(index)};
            ++count;
        }
        if (count == 0) break; // the device ends here
        TRY(batch.add(sector, {segments, count}));
        pages = pages.subspan(count);
    }
    return batch.finish();
}

void Device::zero_behind_end(u64 index, std::span<mm::Page* const> pages) const {
    for (usize i = 0; i < pages.size(); ++i) {
        const usize read = bytes_of_page(index + i);
        std::memset(static_cast<u8*>(mm::page_data(*pages[i])) + read, 0, arch::page_size - read);
    }
}

Result<void> Device::read_pages(u64 index, std::span<mm::Page* const> pages) {
    zero_behind_end(index, pages);
    return move_pages(Operation::Read, index, pages);
}

u64 Device::read_ahead_pages() const {
    return disk_.read_ahead_kb.load(std::memory_order_relaxed) / (arch::page_size / 1024);
}

usize Device::begin_reading(mm::FileObject& object, u64 index, std::span<mm::Page* const> pages) {
    BackgroundRead* const read = background_reads_.take();
    if (!read) return 0;
    zero_behind_end(index, pages);
    for (usize i = 0; i < pages.size() && bytes_of_page(index + i) > 0; ++i) {
        const Segment segment{mm::page_address(*pages[i]), bytes_of_page(index + i)};
        if (read->add(*this, sector_of(index + i), segment)) continue;
        background_reads_.give_back(*read);
        return 0;
    }
    read->begin(*this, object, index, pages);
    return pages.size();
}

Result<void> Device::write_pages(u64 index, std::span<mm::Page* const> pages) {
    return move_pages(Operation::Write, index, pages);
}

Result<void> Device::opened(bool is_exclusive) {
    core::MutexGuard guard(state_lock_);
    if (is_exclusive && is_claimed_) return error(Errno::EBUSY);
    if (!pages_) pages_ = NullableRefPtr<mm::FileObject>(TRY(mm::FileObject::create(*this, bytes())));
    if (is_exclusive) is_claimed_ = true;
    openers_.fetch_add(1);
    disk_.count_opener();
    return {};
}

void Device::set_sectors(u64 sectors) {
    core::MutexGuard guard(state_lock_);
    sectors_.store(sectors, std::memory_order_relaxed);
    if (pages_) pages_->set_size(bytes());
}

void Device::note_written(u64 bytes) {
    constexpr u64 most_unstored = u64{8} << 20;
    if (unstored_.fetch_add(bytes, std::memory_order_relaxed) + bytes < most_unstored) return;
    unstored_.store(0, std::memory_order_relaxed);
    (void)pages_->write_back(0, this->bytes()); // an error stays with the pages, and fsync(2) meets it
}

Result<void> Device::forget_pages() {
    core::MutexGuard guard(state_lock_);
    if (!pages_) return {};
    TRY(pages_->write_back(0, bytes()));
    pages_->punch_hole(0, align_up(bytes(), arch::page_size)); // what is mapped, too
    pages_->wait_for_stores();
    return {};
}

/// The last one to close stores what is left, and the next one to open reads anew.
void Device::closed(bool is_exclusive) {
    {
        core::MutexGuard guard(state_lock_);
        if (is_exclusive) is_claimed_ = false;
        if (openers_.fetch_sub(1) == 1) {
            (void)pages_->write_back(0, bytes()); // nobody is left to be told of an error
            pages_->detach();
            pages_ = nullptr;
        }
    }
    disk_.opener_gone();
}

void Device::sync_if_open() {
    core::MutexGuard guard(state_lock_);   // keeps the page cache
    if (is_open()) (void)sync(0, bytes()); // the error stays with the pages: they are dirty still
}

Result<void> Device::sync(u64 begin, u64 end) {
    TRY(pages_->write_back(begin, std::min(end, bytes())));
    return command(Operation::Flush);
}

} // namespace linnet::block
