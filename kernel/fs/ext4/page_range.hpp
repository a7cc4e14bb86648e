// Bytes of pages that lie behind each other, to be moved to or from a device.
#pragma once

#include <algorithm>
#include <block/batch.hpp>
#include <cstring>
#include <mm/page_cache.hpp>

namespace linnet::fs {

class PageRange {
public:
    /// `size` bytes from `begin` on, counted from the first page's beginning.
    PageRange(std::span<mm::Page* const> pages, u64 begin, u64 size) : pages_(pages), begin_(begin), size_(size) {}
    void zero() const {
        for_each([](mm::Page& page, usize offset, usize length) {
            std::memset(static_cast<u8*>(mm::page_data(page)) + offset, 0, length);
        });
    }
    [[nodiscard]] bool is_zero() const {
        bool result = true;
        for_each([&](mm::Page& page, usize offset, usize length) {
            const u8* bytes = static_cast<const u8*>(mm::page_data(page)) + offset;
            if (bytes[0] != 0 || std::memcmp(bytes, bytes + 1, length - 1) != 0) result = false;
        });
        return result;
    }
    /// Whether `add(page, offset, length)` holds for the part in each page; the first that doesn't is the last asked.
    template <typename Add>
    [[nodiscard]] bool all_of(Add add) const {
        bool result = true;
        for_each([&](mm::Page& page, usize offset, usize length) { result = result && add(page, offset, length); });
        return result;
    }
    /// To be moved from or to `sector` on.
    Result<void> add_to(block::Batch& batch, u64 sector) const {
        block::Segment segments[32];
        for (u64 at = begin_; at < begin_ + size_;) {
            usize count = 0;
            u64 moved = 0;
            while (count < std::size(segments) && at < begin_ + size_) {
                const usize offset = at & (arch::page_size - 1);
                const auto length = static_cast<u32>(std::min<u64>(arch::page_size - offset, begin_ + size_ - at));
                segments[count++] = {mm::page_address(*pages_[at >> arch::page_shift]) + offset, length};
                moved += length;
                at += length;
            }
            TRY(batch.add(sector, {segments, count}));
            sector += moved >> block::sector_shift;
        }
        return {};
    }

private:
    /// `visit(page, offset, length)` for the part in each page.
    template <typename Visit>
    void for_each(Visit visit) const {
        for (u64 at = begin_; at < begin_ + size_;) {
            const usize offset = at & (arch::page_size - 1);
            const usize length = std::min<u64>(arch::page_size - offset, begin_ + size_ - at);
            visit(*pages_[at >> arch::page_shift], offset, length);
            at += length;
        }
    }
    std::span<mm::Page* const> pages_;
    u64 begin_, size_;
};

} // namespace linnet::fs
