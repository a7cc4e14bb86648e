// BackgroundRead: pages that are read while nobody waits for them (mm/read_ahead.cpp).
#pragma once

#include <block/gathering.hpp>

namespace linnet::block {

/// From Device::background_reads(). First what is to be read is added, then it is begun, or given back.
class BackgroundRead final : private RequestGroup {
public:
    BackgroundRead() { finished = &on_finished; }
    BackgroundRead(const BackgroundRead&) = delete;
    ~BackgroundRead() { free_pages(); }
    /// The memory that a segment is read into, from `sector` of the device on, in whole blocks. False: it isn't on the
    /// device, or there is no room.
    bool add(const Device& device, u64 sector, const Segment& segment);
    /// Reads, into parts of `pages`: those of `object` from `index` on, with a reference to each. It ends as
    /// PageSource::begin_reading() wants, and gives itself back.
    void begin(Device& device, mm::FileObject& object, u64 index, std::span<mm::Page* const> pages);

private:
    friend class BackgroundReads;
    static void on_finished(RequestGroup& group);
    void free_pages();

    Gathering<12, 64> gathered_;
    BackgroundRead* next_ = nullptr; // BackgroundReads' own
    Device* device_ = nullptr;
    mm::FileObject* object_ = nullptr; // waits for its reads before it goes
    u64 index_ = 0;
    usize page_count_ = 0;
    mm::Page* pages_[mm::FileObject::batch]; // behind the end: those that must be freed where that can be done, or null
};

} // namespace linnet::block
