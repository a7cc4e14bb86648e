// O_DIRECT: bytes of files go between the disk and the memory of programs, past the page cache.
//
// What the cache has of a range is stored before, and given up or replaced behind a write. Blocks that a file lacks are
// allocated unwritten, and count as written, and the file as longer, when their data is on the disk: no crash shows
// what others had left in them. Pieces of blocks that have no data yet, and holes of files with lists, go through
// pages.
//
// Lock order: Inode::lock -> the address space's lock -> disk_lock (shared; handles are never open meanwhile).
#include "ext4_superblock.hpp"
#include "ext4_writing.hpp"

#include <algorithm>
#include <block/direct.hpp>
#include <cstring>

namespace linnet::fs {

using block::Segment;
using ext4::BlockRange;
using ext4::Run;

namespace {

constexpr usize steps_in_handle = 4;
constexpr usize blocks_of_step = ext4::most_changes_of_step + 3; // as in file_write.cpp
constexpr u64 most_in_part = u64{4} << 20;

/// Calls `use` with the segments of the first `bytes` bytes, and leaves the others. There are as many.
template <typename Use>
Result<void> take(std::span<Segment>& segments, u64 bytes, Use use) {
    usize count = 0;
    u64 sum = 0;
    while (sum < bytes) sum += segments[count++].length;
    Segment& last = segments[count - 1];
    const auto rest = static_cast<u32>(sum - bytes);
    last.length -= rest;
    Result<void> result = use(segments.first(count));
    if (rest > 0) {
        last = {last.address + last.length, rest};
        --count;
    }
    segments = segments.subspan(count);
    return result;
}

/// From the byte `begin` of the segments on.
void zero_from(std::span<const Segment> segments, u64 begin) {
    for (const Segment& segment : segments) {
        const u64 skipped = std::min<u64>(begin, segment.length);
        std::memset(arch::phys_to_virt<u8>(segment.address) + skipped, 0, segment.length - skipped);
        begin -= skipped;
    }
}

} // namespace

std::optional<vfs::DirectAlignment> Ext4File::direct_alignment() {
    if (disk().has(ext4::inode_inline_data)) return vfs::DirectAlignment{};
    return vfs::DirectAlignment{block::direct_memory_alignment, ext4().device().disk().limits().logical_block};
}

// ---- reading ----

Result<usize> Ext4File::read_direct(vfs::IoBuffer& to, u64 offset) {
    const u64 there = size() - offset, unit = ext4().device().disk().limits().logical_block;
    const usize wanted = std::min<u64>(to.remaining(), align_up(there, unit));
    TRY(pages_->write_back(offset, offset + wanted));
    return std::min<u64>(TRY(move_all(block::Operation::Read, to, offset, wanted)), there);
}

/// How much was moved: less than `wanted` where something failed behind the first bytes.
Result<usize> Ext4File::move_all(block::Operation operation, vfs::IoBuffer& buffer, u64 offset, usize wanted) {
    const bool reads = operation == block::Operation::Read;
    const usize unit = ext4().device().disk().limits().logical_block;
    for (usize done = 0; done < wanted;) {
        const auto moved = block::move_directly(
            buffer, wanted - done, unit, reads ? block::DirectMove::ToMemory : block::DirectMove::FromMemory,
            [&](std::span<Segment> segments) { return heed(move_segments(operation, offset + done, segments)); });
        if (!moved) return done > 0 ? Result<usize>{done} : error(moved.error());
        done += *moved;
    }
    return wanted;
}

Result<void> Ext4File::move_segments(block::Operation operation, u64 offset, std::span<Segment> segments) {
    u64 left = 0;
    for (const Segment& segment : segments) left += segment.length;
    while (left > 0) {
        const u64 bytes = TRY(move_run(operation, offset, left, segments));
        offset += bytes;
        left -= bytes;
    }
    return {};
}

/// The first run of blocks of `left` bytes at `offset`; how many bytes these were.
Result<u64> Ext4File::move_run(block::Operation operation, u64 offset, u64 left, std::span<Segment>& segments) {
    const u32 shift = ext4().volume().block_shift();
    const u64 index = offset >> shift, skipped = offset - (index << shift);
    block::Device& device = ext4().device();
    core::ReadGuard guard(disk_lock);
    const Run run = TRY(ext4::map_blocks(ext4().volume(), disk(), index, blocks_in(offset + left) - index));
    const u64 bytes = std::min((run.count << shift) - skipped, left);
    const u64 sector = ((run.first << shift) + skipped) >> block::sector_shift;
    TRY(take(segments, bytes, [&](std::span<const Segment> taken) -> Result<void> {
        if (operation == block::Operation::Read) return read_run(run, sector, offset, taken);
        if (run.kind == Run::Kind::Hole) return error(Errno::EUCLEAN); // it was allocated
        TRY(device.write_beside_pages(sector, taken));
        guard.unlock(); // who reads a page in may wait for it, and is waited for
        block::note_stored(*pages_, offset, taken);
        return {};
    }));
    return bytes;
}

Result<void> Ext4File::read_run(const Run& run, u64 sector, u64 offset, std::span<const Segment> segments) {
    u64 end = size() - offset; // what the last block holds behind it is nobody's
    if (run.kind == Run::Kind::Data)
        TRY(ext4().device().transfer(block::Operation::Read, sector, segments));
    else
        end = 0;
    zero_from(segments, end);
    return {};
}

// ---- writing ----

/// What there is to do for blocks that are written to.
struct Ext4File::DirectNeeds {
    bool has_holes = false, has_unwritten = false;
};

Result<Ext4File::DirectNeeds> Ext4File::direct_needs(BlockRange range) {
    core::ReadGuard guard(disk_lock);
    DirectNeeds needs;
    while (range.begin < range.end) {
        const Run run = TRY(ext4::map_blocks(ext4().volume(), disk(), range.begin, range.length()));
        needs.has_holes |= run.kind == Run::Kind::Hole;
        needs.has_unwritten |= run.kind == Run::Kind::Unwritten;
        range.begin += run.count;
    }
    return needs;
}

/// Blocks that are written in part must have data already.
Result<bool> Ext4File::may_write_directly(u64 begin, u64 end) {
    const u32 shift = ext4().volume().block_shift();
    const u64 in_block = ext4().volume().block_size() - 1;
    const auto is_data = [&](u64 place) -> Result<bool> {
        const u64 index = place >> shift;
        const DirectNeeds needs = TRY(direct_needs({index, index + 1}));
        return !needs.has_holes && !needs.has_unwritten;
    };
    if ((begin & in_block) && !TRY(is_data(begin))) return false;
    if ((end & in_block) && !TRY(is_data(end))) return false;
    if (disk().has(ext4::inode_extents)) return true;
    return !TRY(direct_needs({begin >> shift, blocks_in(end)})).has_holes;
}

Result<usize> Ext4File::write_direct(vfs::IoBuffer& from, u64 offset, usize wanted) {
    TRY(check_writable());
    if (is_immutable()) return error(Errno::EPERM);
    give_up_promised({blocks_in(size()), ~u64{0}}); // as in prepare_write()
    if (offset > size()) TRY(heed(zero_behind_end()));
    const u64 end = offset + wanted;
    TRY(pages_->write_back(std::min(offset, size()), end));
    if (!TRY(heed(may_write_directly(offset, end)))) return error(Errno::EOPNOTSUPP);
    for (u64 at = offset; at < end;) {
        const u64 part_end = std::min(end, align_down(at + most_in_part, ext4().volume().block_size()));
        const auto came_to = heed(write_part(from, at, part_end));
        if (!came_to && at == offset) return error(came_to.error());
        if (came_to) at = *came_to;
        if (!came_to || at < part_end) return at - offset;
    }
    return wanted;
}

/// Where it came to: behind `begin`.
Result<u64> Ext4File::write_part(vfs::IoBuffer& from, u64 begin, u64 end) {
    const u32 shift = ext4().volume().block_shift();
    const BlockRange range{begin >> shift, blocks_in(end)};
    const DirectNeeds needs = TRY(direct_needs(range));
    u64 room = end;
    if (needs.has_holes) room = std::min(end, TRY(allocate_all(range)) << shift);
    const auto moved = move_all(block::Operation::Write, from, begin, room - begin);
    u64 reached = moved ? begin + *moved : begin;
    // Of a block that had no data a part doesn't count: the rest would show what others had left.
    if ((needs.has_holes || needs.has_unwritten) && reached < end)
        reached = std::max(begin, align_down(reached, ext4().volume().block_size()));
    if (reached > begin) TRY(finish_part(begin, reached));
    if (reached < end && needs.has_holes) {
        const BlockRange behind{std::max(blocks_in(size()), blocks_in(reached)), range.end};
        if (behind.begin < behind.end) TRY(free_blocks(behind));
    }
    if (reached == begin) return error(moved ? Errno::EFAULT : moved.error());
    return reached;
}

/// Gives the holes of the range unwritten blocks; where there were no more.
Result<u64> Ext4File::allocate_all(BlockRange range) {
    const u64 begin = range.begin;
    for (bool may_retry = true; range.begin < range.end;) {
        const auto came_to = preallocate(range);
        if (came_to) {
            range.begin = *came_to;
            continue;
        }
        if (came_to.error() == Errno::ENOSPC && std::exchange(may_retry, false) && ext4().writing()->make_space())
            continue;
        if (range.begin == begin) return came_to;
        break;
    }
    return range.begin;
}

/// The data of [begin, end) is on the disk.
Result<void> Ext4File::finish_part(u64 begin, u64 end) {
    BlockRange range{begin >> ext4().volume().block_shift(), blocks_in(end)};
    const bool must_grow = end > disk().size();
    if (must_grow || TRY(direct_needs(range)).has_unwritten)
        while (range.begin < range.end) range.begin = TRY(mark_written(range, end));
    if (end > size()) {
        pages_->set_size(end);
        set_size(end);
    }
    return {};
}

/// Unwritten blocks count as written, as far as one transaction goes; how far that was. Once all do, the file is on the
/// disk as long as `end` says.
Result<u64> Ext4File::mark_written(BlockRange range, u64 end) {
    Ext4Writing& writing = *TRY(ext4().to_write());
    auto handle = TRY(writing.begin(blocks_of_step * steps_in_handle));
    core::WriteGuard<> guard(disk_lock);
    auto own_place = TRY(ext4::InodePlace::change(ext4().volume(), handle, disk().number));
    const ext4::InodeEdit edit{writing.allocator(), handle, disk_to_change(), ext4::Privilege::MayUseReserved};
    Result<void> done;
    for (usize steps = 0; done && range.begin < range.end && steps < steps_in_handle;) {
        const auto run = ext4::map_blocks(ext4().volume(), disk(), range.begin, range.length());
        if (run && run->kind == Run::Kind::Unwritten) {
            done = ext4::mark_file_blocks_written(edit, range.begin, run->count);
            ++steps;
        }
        if (!run) done = error(run.error());
        if (done) range.begin += run->count;
    }
    if (done && range.begin >= range.end && end > disk().size()) disk_to_change().set_size(end);
    store_at(own_place, handle);
    TRY(done);
    return range.begin;
}

} // namespace linnet::fs
