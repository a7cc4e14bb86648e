// fallocate(2): blocks that read as zeros are given to files before anything is written, and taken out of their midst.
#include "ext4_superblock.hpp"
#include "ext4_writing.hpp"

#include <abi/linux/fcntl.hpp>
#include <algorithm>

namespace linnet::fs {

using ext4::BlockRange;
using ext4::Run;

namespace {

constexpr usize steps_in_handle = 4;
constexpr usize blocks_of_step = ext4::most_changes_of_step + 3; // as in file_write.cpp

} // namespace

Result<void> Ext4File::allocate_range(u32 mode, u64 offset, u64 length) {
    if (mode & abi::FALLOC_FL_UNSHARE_RANGE) return error(Errno::EOPNOTSUPP);
    TRY(check_writable());
    if (mode & (abi::FALLOC_FL_COLLAPSE_RANGE | abi::FALLOC_FL_INSERT_RANGE))
        return heed(move_behind(mode, offset, length));
    const bool punches = (mode & abi::FALLOC_FL_PUNCH_HOLE) != 0, zeroes = (mode & abi::FALLOC_FL_ZERO_RANGE) != 0;
    if (!punches && !disk().has(ext4::inode_extents)) return error(Errno::EOPNOTSUPP); // lists have no unwritten blocks
    const u64 end = offset + length;
    if (punches || zeroes) TRY(heed(punch(offset, end)));
    if (punches) return {};
    BlockRange range{offset >> ext4().volume().block_shift(), blocks_in(end)};
    for (bool may_retry = true; range.begin < range.end;) {
        const auto came_to = preallocate(range);
        if (!came_to && came_to.error() == Errno::ENOSPC && std::exchange(may_retry, false) &&
            ext4().writing()->make_space())
            continue;
        range.begin = TRY(heed(came_to));
    }
    return !(mode & abi::FALLOC_FL_KEEP_SIZE) && end > size() ? truncate(end) : Result<void>{};
}

/// Unwritten blocks in the holes of the range, as far as one transaction goes; how far that was. With an error it went
/// nowhere. What was promised to data in memory is given up: it has its blocks.
Result<u64> Ext4File::preallocate(BlockRange range) {
    constexpr u64 most_in_step = 8192;
    Ext4Writing& writing = *TRY(ext4().to_write());
    const auto privilege = own_privilege();
    auto handle = TRY(writing.begin(blocks_of_step * steps_in_handle));
    core::WriteGuard<> guard(disk_lock);
    auto own_place = TRY(ext4::InodePlace::change(ext4().volume(), handle, disk().number));
    const ext4::InodeEdit edit{writing.allocator(), handle, disk_to_change(), ext4::Privilege::MayUseReserved};
    const u64 begin = range.begin;
    Result<void> done;
    for (usize steps = 0; done && range.begin < range.end && steps < steps_in_handle;) {
        const auto run = ext4::map_blocks(ext4().volume(), disk(), range.begin, range.length());
        if (!run) {
            done = error(run.error());
        } else if (run->kind != Run::Kind::Hole) {
            range.begin += run->count;
        } else {
            const u64 wanted = std::min(run->count, most_in_step);
            done = writing.reserve(wanted, privilege);
            if (!done) break;
            const auto filled = ext4::allocate_file_blocks(edit, range.begin, wanted, Run::Kind::Unwritten);
            writing.unreserve(wanted);
            ++steps;
            if (filled) give_up_promised({range.begin, range.begin + filled->count});
            if (filled) range.begin += filled->count;
            if (!filled) done = error(filled.error());
        }
    }
    store_at(own_place, handle);
    if (!done && range.begin == begin) return error(done.error());
    return range.begin;
}

/// A hole in the place of [begin, end) bytes, up to the last page of the file.
Result<void> Ext4File::punch(u64 begin, u64 end) {
    if (begin >= size()) return {};
    end = std::min(end, divide_up<u64>(size(), arch::page_size) << arch::page_shift);
    // Pages and blocks that stay in part are zeroed in memory, where they are held meanwhile, and stored later.
    mm::PageRef first, last;
    constexpr u64 in_page = arch::page_size - 1;
    if (begin & in_page) first = TRY(pages_->get_page(begin >> arch::page_shift, arch::Access::Write));
    if (end & in_page) last = TRY(pages_->get_page(end >> arch::page_shift, arch::Access::Write));
    const BlockRange range{blocks_in(begin), end >> ext4().volume().block_shift()};
    pages_->punch_hole(begin, end);
    if (range.begin >= range.end) return {};
    pages_->wait_for_stores(); // as when a file is cut off
    give_up_promised(range);
    TRY(free_blocks(range));
    pages_->punch_hole(begin, end); // what was read in meanwhile
    return {};
}

Result<void> Ext4File::free_blocks(BlockRange range) {
    Ext4Writing& writing = *TRY(ext4().to_write());
    while (range.begin < range.end) {
        auto handle = TRY(writing.begin(blocks_of_step));
        core::WriteGuard<> guard(disk_lock);
        pages_->wait_for_reads();
        auto place = TRY(ext4::InodePlace::change(ext4().volume(), handle, disk().number));
        const auto came_to =
            ext4::free_last_blocks({writing.allocator(), handle, disk_to_change()}, range.begin, range.end);
        store_at(place, handle);
        range.end = TRY(came_to);
    }
    return {};
}

} // namespace linnet::fs
