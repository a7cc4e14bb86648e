// Memory of programs as segments of requests.
#include <algorithm>
#include <block/direct.hpp>
#include <lib/own_ptr.hpp>
#include <mm/address_space.hpp>

namespace linnet::block {

namespace {

constexpr usize most_pieces = 128;
constexpr usize most_bytes = usize{512} << 10; // what fork may have to wait for

/// What is moved in one go; too large for the stack.
class Pieces {
public:
    /// The first of the buffer's bytes, cut where pages end.
    void collect(const vfs::IoBuffer& buffer, usize most, usize block) {
        most = std::min(most, align_down(most_bytes, block));
        buffer.visit_ranges([&](VirtAddr address, usize size) {
            size = std::min(size, most - bytes_);
            while (size > 0 && count_ < most_pieces) {
                const usize length = std::min(size, arch::page_size - (address.value & (arch::page_size - 1)));
                add(address, length);
                address = address + length;
                size -= length;
            }
            return count_ < most_pieces && bytes_ < most;
        });
    }
    [[nodiscard]] std::span<const VirtAddr> addresses() const { return {addresses_, count_}; }
    [[nodiscard]] std::span<mm::PageRef> pages() { return {pages_, count_}; }

    /// The memory of the first `held` pieces, in whole blocks; empty when that is less than one.
    std::span<Segment> segments(usize held, usize block) {
        usize total = 0, used = 0;
        for (usize i = 0; i < held; ++i) total += lengths_[i];
        bytes_ = align_down(total, block);
        for (usize i = 0, left = bytes_; left > 0; ++i) {
            const auto length = static_cast<u32>(std::min<usize>(lengths_[i], left));
            const PhysAddr place = pages_[i].address() + (addresses_[i].value & (arch::page_size - 1));
            left -= length;
            Segment* const last = used > 0 ? &segments_[used - 1] : nullptr;
            if (last && last->address + last->length == place)
                last->length += length;
            else
                segments_[used++] = {place, length};
        }
        return {segments_, used};
    }
    /// Of the segments.
    [[nodiscard]] usize bytes() const { return bytes_; }

    /// What a device has written to is noted as if a CPU had.
    void note_written(usize held) {
        for (mm::PageRef& page : pages().first(held)) {
            page->clear(mm::page_code_synced);
            if (page->kind == mm::PageKind::File) mm::note_dirty(*page);
        }
    }

private:
    void add(VirtAddr address, usize length) {
        addresses_[count_] = address;
        lengths_[count_++] = static_cast<u32>(length);
        bytes_ += length;
    }

    usize count_ = 0, bytes_ = 0;
    VirtAddr addresses_[most_pieces]{};
    u32 lengths_[most_pieces]{};
    mm::PageRef pages_[most_pieces];
    Segment segments_[most_pieces]{};
};

} // namespace

Result<usize> move_directly(vfs::IoBuffer& buffer, usize most, usize block, DirectMove direction,
                            FunctionRef<Result<void>(std::span<Segment>)> move) {
    mm::AddressSpace* const space = mm::current_address_space();
    if (!space) return error(Errno::EFAULT);
    const bool fills = direction == DirectMove::ToMemory;
    auto pieces = TRY(try_make<Pieces>());
    pieces->collect(buffer, most, block);
    if (pieces->addresses().empty()) return error(Errno::EINVAL);
    Result<void> moved;
    TRY(space->hold_pages(pieces->addresses(), fills ? arch::Access::Write : arch::Access::Read, pieces->pages(),
                          [&](usize held) {
                              const std::span<Segment> segments = pieces->segments(held, block);
                              moved = segments.empty() ? error(Errno::EFAULT) : move(segments);
                              if (fills) pieces->note_written(held);
                          }));
    TRY(moved);
    buffer.skip(pieces->bytes());
    return pieces->bytes();
}

void note_stored(mm::FileObject& pages, u64 offset, std::span<const Segment> segments) {
    for (const Segment& segment : segments) {
        pages.note_stored(offset, {arch::phys_to_virt<u8>(segment.address), segment.length});
        offset += segment.length;
    }
}

} // namespace linnet::block
