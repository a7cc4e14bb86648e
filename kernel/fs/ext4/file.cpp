// The data of regular files.
#include "attributes.hpp"
#include "block_map.hpp"
#include "ext4_superblock.hpp"
#include "ext4_writing.hpp"
#include "page_range.hpp"

#include <algorithm>
#include <block/background_read.hpp>
#include <cstring>

namespace linnet::fs {

using ext4::Run;

Ext4File::~Ext4File() {
    if (pages_) pages_->detach();
    give_up_promised({0, ~u64{0}});
}

Result<void> Ext4File::start() {
    pages_ = TRY(mm::FileObject::create(*this, size()));
    return {};
}

/// So that the thread comes by again. What has no name will not be asked for after a stop.
void Ext4File::pages_dirtied() {
    Ext4Writing* writing = ext4().writing();
    if (writing && link_count() != 0) writing->note_changed(*this);
}

Result<void> Ext4File::read_page(u64 index, mm::Page& page) {
    mm::Page* const only = &page;
    return read_pages(index, {&only, 1});
}

Result<void> Ext4File::read_pages(u64 index, std::span<mm::Page* const> pages) {
    return heed(disk().has(ext4::inode_inline_data) ? read_inline(index, pages) : read_blocks(index, pages));
}

Result<void> Ext4File::read_blocks(u64 index, std::span<mm::Page* const> pages) {
    core::ReadGuard guard(disk_lock);
    ext4::Volume& volume = ext4().volume();
    const u32 shift = volume.block_shift();
    const u64 first = index << (arch::page_shift - shift);
    const u64 wanted = pages.size() << (arch::page_shift - shift);
    const u64 there = divide_up<u64>(size(), volume.block_size()); // blocks of the file
    block::Batch batch(ext4().device(), block::Operation::Read);
    u64 done = 0;
    while (done < wanted) {
        Run run{0, wanted - done, Run::Kind::Hole};
        if (first + done < there)
            run = TRY(ext4::map_blocks(volume, disk(), first + done, std::min(wanted - done, there - first - done)));
        const PageRange range(pages, done << shift, run.count << shift);
        if (run.kind == Run::Kind::Data)
            TRY(range.add_to(batch, run.first << (shift - block::sector_shift)));
        else
            range.zero();
        done += run.count;
    }
    TRY(batch.finish());
    // What the last block holds behind the end of the file is nobody's.
    const u64 begin = index << arch::page_shift, end = begin + (pages.size() << arch::page_shift);
    if (size() > begin && size() < end) PageRange(pages, size() - begin, end - size()).zero();
    return {};
}

u64 Ext4File::read_ahead_pages() const { return ext4().device().read_ahead_pages(); }

/// Blocks are freed with disk_lock held exclusively, after a wait for these reads (free_blocks()) or behind the new end
/// of the file, where none is begun.
usize Ext4File::begin_reading(mm::FileObject& object, u64 index, std::span<mm::Page* const> pages) {
    if (!disk_lock.try_lock_shared()) return 0; // who has it may wait for these reads
    const usize taken = disk().has(ext4::inode_inline_data) ? 0 : begin_reading_locked(object, index, pages);
    disk_lock.unlock_shared();
    return taken;
}

usize Ext4File::begin_reading_locked(mm::FileObject& object, u64 index, std::span<mm::Page* const> pages) {
    block::BackgroundReads& reads = ext4().device().background_reads();
    block::BackgroundRead* const read = reads.take();
    if (!read) return 0;
    if (!add_blocks(*read, index, pages)) {
        reads.give_back(*read);
        return 0;
    }
    read->begin(ext4().device(), object, index, pages);
    return pages.size();
}

/// False: damage, which who wants the pages is to meet, or too many pieces.
bool Ext4File::add_blocks(block::BackgroundRead& read, u64 index, std::span<mm::Page* const> pages) {
    ext4::Volume& volume = ext4().volume();
    const u32 shift = volume.block_shift();
    const u64 first = index << (arch::page_shift - shift);
    const u64 wanted = pages.size() << (arch::page_shift - shift);
    const u64 there = divide_up<u64>(size(), volume.block_size()); // blocks of the file
    u64 done = 0;
    while (done < wanted) {
        Run run{0, wanted - done, Run::Kind::Hole};
        if (first + done < there) {
            const auto mapped =
                ext4::map_blocks(volume, disk(), first + done, std::min(wanted - done, there - first - done));
            if (!mapped) return false;
            run = *mapped;
        }
        const PageRange range(pages, done << shift, run.count << shift);
        u64 sector = run.first << (shift - block::sector_shift);
        const auto add = [&](mm::Page& page, usize offset, usize length) {
            const block::Segment segment{mm::page_address(page) + offset, static_cast<u32>(length)};
            const bool is_added = read.add(ext4().device(), sector, segment);
            sector += length >> block::sector_shift;
            return is_added;
        };
        if (run.kind != Run::Kind::Data)
            range.zero();
        else if (!range.all_of(add))
            return false;
        done += run.count;
    }
    return true;
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
    TRY(store_data()); // what has no place yet is data too
    core::ReadGuard guard(disk_lock);
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

Result<u64> Ext4File::seek_data(u64 offset) { return heed(seek(offset, Wanted::Data)); }
Result<u64> Ext4File::seek_hole(u64 offset) { return heed(seek(offset, Wanted::Hole)); }

} // namespace linnet::fs
