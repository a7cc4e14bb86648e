// Reads that nobody waits for: their end is an interrupt's business, which may not free memory. So who comes next does.
#include <algorithm>
#include <block/background_read.hpp>

namespace linnet::block {

BackgroundReads::~BackgroundReads() {
    while (BackgroundRead* read = free_) {
        free_ = read->next_;
        delete read;
    }
}

BackgroundRead* BackgroundReads::take() {
    BackgroundRead* read;
    {
        core::InterruptSpinGuard guard(lock_);
        read = free_;
        if (read) free_ = read->next_;
    }
    if (read) {
        read->free_pages();
        return read;
    }
    if (made_.fetch_add(1, std::memory_order_relaxed) < most) read = new (std::nothrow) BackgroundRead;
    if (!read) made_.fetch_sub(1, std::memory_order_relaxed);
    return read;
}

void BackgroundReads::give_back(BackgroundRead& read) {
    read.gathered_.clear();
    core::InterruptSpinGuard guard(lock_);
    read.next_ = free_;
    free_ = &read;
}

bool BackgroundRead::add(const Device& device, u64 sector, const Segment& segment) {
    const u64 sectors = segment.length >> sector_shift;
    if (sector > device.sectors() || sectors > device.sectors() - sector) return false;
    return gathered_.try_append(device.disk().limits(), Operation::Read, sector, segment);
}

void BackgroundRead::begin(Device& device, mm::FileObject& object, u64 index, std::span<mm::Page* const> pages) {
    device_ = &device;
    object_ = &object;
    index_ = index;
    page_count_ = pages.size();
    std::ranges::copy(pages, pages_);
    if (gathered_.request_count == 0) return on_finished(*this); // holes
    device.begin(gathered_.all(), *this);
}

void BackgroundRead::on_finished(RequestGroup& group) {
    auto& self = static_cast<BackgroundRead&>(group);
    const bool is_done =
        std::ranges::all_of(self.gathered_.all(), [](const DeviceRequest& request) { return request.code == Errno{}; });
    using Outcome = mm::FileObject::ReadOutcome;
    mm::FileObject& object = *self.object_;
    object.finish_reading(self.index_, {self.pages_, self.page_count_}, is_done ? Outcome::Done : Outcome::Failed);
    self.device_->background_reads().give_back(self); // first, for who waits for the object may take the device away
    object.end_reading();
}

void BackgroundRead::free_pages() {
    for (mm::Page* page : std::span(pages_, page_count_))
        if (page) mm::unref_page(*page);
    page_count_ = 0;
}

} // namespace linnet::block
