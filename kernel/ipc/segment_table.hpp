// The table of segments: which index and key is whose.
//
// An id is a sequence number above an index of 15 bits, so that an id of a removed segment doesn't soon mean
// another. Indices are handed out in a circle.
//
// Lock order: mmap lock -> object's mappings lock -> the table's lock. With it held nothing of mm that locks is called,
// and no reference that may be the last is dropped.
#pragma once

#include <core/mutex.hpp>
#include <ipc/shared_memory.hpp>
#include <lib/array_list.hpp>

namespace linnet::ipc {

class SegmentTable {
public:
    static constexpr u32 index_bits = 15;
    static constexpr i32 most_indices = 1 << index_bits;
    static constexpr i32 index_of(i32 id) { return id & (most_indices - 1); }

    core::Mutex lock;

    // ---- lock held ----
    /// Null for an index that is free.
    [[nodiscard]] Segment* at(i32 index) const;
    /// EINVAL when there is no segment of this id, or no longer.
    Result<Segment*> find(i32 id) const;
    [[nodiscard]] Segment* find_key(i32 key) const;
    /// ENOSPC, ENOMEM.
    Result<void> add(RefPtr<Segment> segment);
    /// Takes it out; the caller drops the reference without the lock.
    NullableRefPtr<Segment> remove(Segment& segment);
    [[nodiscard]] i32 count() const { return count_; }
    [[nodiscard]] u64 total_pages() const { return total_pages_; }
    [[nodiscard]] i32 highest_index() const;

private:
    Result<i32> choose_index();
    ArrayList<NullableRefPtr<Segment>> segments_; // by index
    i32 count_ = 0;
    i32 last_index_ = -1;
    i32 sequence_ = 0;
    u64 total_pages_ = 0;
};

SegmentTable& segment_table();

} // namespace linnet::ipc
