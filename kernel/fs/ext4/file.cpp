// The data of regular files.
#include "attributes.hpp"
#include "block_map.hpp"
#include "ext4_superblock.hpp"
#include "inode.hpp"

#include <algorithm>
#include <block/disk.hpp>
#include <cstring>

namespace linnet::fs {

using ext4::Run;

namespace {

/// Bytes of pages that lie behind each other.
class PageRange {
public:
    PageRange(std::span<mm::Page* const> pages, u64 begin, u64 size) : pages_(pages), begin_(begin), size_(size) {}
    void zero() const {
        for_each([](mm::Page& page, usize offset, usize length) {
            std::memset(static_cast<u8*>(mm::page_data(page)) + offset, 0, length);
        });
    }
    Result<void> read_from(block::Device& device, u64 sector) const {
        block::Segment segments[mm::FileObject::batch];
        usize count = 0;
        for_each([&](mm::Page& page, usize offset, usize length) {
            segments[count++] = {mm::page_address(page) + offset, static_cast<u32>(length)};
        });
        return device.transfer(block::Operation::Read, sector, {segments, count});
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

} // namespace

Ext4File::~Ext4File() {
    if (pages_) pages_->detach();
}

Result<void> Ext4File::start() {
    pages_ = TRY(mm::FileObject::create(*this, size()));
    return {};
}

Result<void> Ext4File::read_page(u64 index, mm::Page& page) {
    mm::Page* const only = &page;
    return read_pages(index, {&only, 1});
}

Result<void> Ext4File::read_pages(u64 index, std::span<mm::Page* const> pages) {
    if (disk().has(ext4::inode_inline_data)) return read_inline(index, pages);
    ext4::Volume& volume = ext4().volume();
    const u32 shift = volume.block_shift();
    const u64 first = index << (arch::page_shift - shift);
    const u64 wanted = pages.size() << (arch::page_shift - shift);
    const u64 there = divide_up<u64>(size(), volume.block_size()); // blocks of the file
    u64 done = 0;
    while (done < wanted) {
        Run run{0, wanted - done, Run::Kind::Hole};
        if (first + done < there)
            run = TRY(ext4::map_blocks(volume, disk(), first + done, std::min(wanted - done, there - first - done)));
        const PageRange range(pages, done << shift, run.count << shift);
        if (run.kind == Run::Kind::Data)
            TRY(range.read_from(ext4().device(), run.first << (shift - block::sector_shift)));
        else
            range.zero();
        done += run.count;
    }
    // What the last block holds behind the end of the file is nobody's.
    const u64 begin = index << arch::page_shift, end = begin + (pages.size() << arch::page_shift);
    if (size() > begin && size() < end) PageRange(pages, size() - begin, end - size()).zero();
    return {};
}

/// A small file in its inode: sixty bytes there, the rest in an attribute.
Result<void> Ext4File::read_inline(u64 index, std::span<mm::Page* const> pages) {
    PageRange(pages, 0, pages.size() << arch::page_shift).zero();
    if (index != 0) return {};
    const auto rest = TRY(ext4::inline_data_behind_inode(disk()));
    const usize inside = std::min<u64>(size(), ext4::inode_block_bytes);
    const usize behind = std::min<u64>(size() - inside, rest.size());
    if (inside + behind > arch::page_size) return error(Errno::EUCLEAN);
    auto* to = static_cast<u8*>(mm::page_data(*pages[0]));
    std::memcpy(to, disk().raw.block, inside);
    if (behind) std::memcpy(to + inside, rest.data(), behind);
    return {};
}

Result<u64> Ext4File::seek(u64 offset, Wanted wanted) {
    const u64 end = size();
    if (offset >= end) return error(Errno::ENXIO);
    if (disk().has(ext4::inode_inline_data)) return wanted == Wanted::Data ? offset : end;
    ext4::Volume& volume = ext4().volume();
    const u32 shift = volume.block_shift();
    const u64 blocks = divide_up<u64>(end, volume.block_size());
    for (u64 index = offset >> shift; index < blocks;) {
        const Run run = TRY(ext4::map_blocks(volume, disk(), index, blocks - index));
        if ((run.kind == Run::Kind::Data) == (wanted == Wanted::Data)) return std::max(offset, index << shift);
        index += run.count;
    }
    if (wanted == Wanted::Data) return error(Errno::ENXIO);
    return end;
}

Result<u64> Ext4File::seek_data(u64 offset) { return seek(offset, Wanted::Data); }
Result<u64> Ext4File::seek_hole(u64 offset) { return seek(offset, Wanted::Hole); }

} // namespace linnet::fs
