// The one table of System V shared memory segments: finding them by key and by number, and counting them.
#include "segment_table.hpp"

#include <algorithm>

namespace linnet::ipc {

namespace {
[[clang::no_destroy]] constinit SegmentTable the_table;
}

SegmentTable& segment_table() { return the_table; }

Segment* SegmentTable::at(i32 index) const {
    if (index < 0 || static_cast<usize>(index) >= segments_.size()) return nullptr;
    return segments_[static_cast<usize>(index)].get();
}

Result<Segment*> SegmentTable::find(i32 id) const {
    if (id < 0) return error(Errno::EINVAL);
    Segment* segment = at(index_of(id));
    if (!segment || segment->id != id) return error(Errno::EINVAL);
    return segment;
}

Segment* SegmentTable::find_key(i32 key) const {
    for (const auto& segment : segments_)
        if (segment && segment->key == key) return segment.get();
    return nullptr;
}

i32 SegmentTable::highest_index() const {
    for (usize i = segments_.size(); i > 0; --i)
        if (segments_[i - 1]) return static_cast<i32>(i - 1);
    return -1;
}

/// The next free index in the circle, whose length follows the number of segments, as Linux's does.
Result<i32> SegmentTable::choose_index() {
    constexpr i32 shortest_circle = 64;
    i32 circle = std::min(std::max(count_ + count_ / 2, shortest_circle), most_indices);
    for (i32 step = 1; step <= circle; ++step) {
        i32 index = (last_index_ + step) % circle;
        if (!at(index)) return index;
    }
    return error(Errno::ENOSPC);
}

Result<void> SegmentTable::add(RefPtr<Segment> segment) {
    constexpr i32 most_sequences = 0x7fff'ffff >> index_bits;
    if (static_cast<u64>(count_) >= shared_memory_limits().most_segments.load()) return error(Errno::ENOSPC);
    i32 index = TRY(choose_index());
    if (static_cast<usize>(index) >= segments_.size()) TRY(segments_.try_resize(static_cast<usize>(index) + 1));
    if (index <= last_index_) sequence_ = sequence_ + 1 < most_sequences ? sequence_ + 1 : 0;
    last_index_ = index;
    segment->id = (sequence_ << index_bits) + index;
    segment->is_listed = true;
    ++count_;
    total_pages_ += segment->page_count();
    segments_[static_cast<usize>(index)] = NullableRefPtr<Segment>(std::move(segment));
    return {};
}

NullableRefPtr<Segment> SegmentTable::remove(Segment& segment) {
    segment.is_listed = false;
    --count_;
    total_pages_ -= segment.page_count();
    return std::move(segments_[static_cast<usize>(index_of(segment.id))]);
}

} // namespace linnet::ipc
