// The table of segments. Its lock guards all that changes of them, for mm tells of mappings from within its own locks.
//
// Lock order: mmap lock -> object's mappings lock -> the table's lock. With it held nothing of mm that locks is called,
// and no reference that may be the last is dropped.
#pragma once

#include <ipc/shared_memory.hpp>

#include "id_table.hpp"

namespace linnet::ipc {

class SegmentTable : public IdTable<Segment> {
public:
    /// ENOSPC, ENOMEM.
    Result<void> add(RefPtr<Segment> segment, u64 most) {
        const u64 pages = segment->page_count();
        TRY(IdTable::add(std::move(segment), most));
        total_pages_ += pages;
        return {};
    }
    /// Takes it out; the caller drops the reference without the lock.
    NullableRefPtr<Segment> remove(Segment& segment) {
        total_pages_ -= segment.page_count();
        return IdTable::remove(segment);
    }
    [[nodiscard]] u64 total_pages() const { return total_pages_; }

private:
    u64 total_pages_ = 0;
};

SegmentTable& segment_table();

} // namespace linnet::ipc
