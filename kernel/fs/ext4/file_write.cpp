// Writing regular files.
//
// What is written stays in pages at first, and blocks that the file lacks are only promised to it (so that ENOSPC comes
// at once); they are allocated when the pages are stored, many at a time. The transaction that does so is not committed
// before the data is on the disk: no crash shows what others had left in the blocks.
#include "ext4_superblock.hpp"
#include "ext4_writing.hpp"
#include "page_range.hpp"

#include <vfs/current.hpp>

namespace linnet::fs {

using ext4::BlockRange;
using ext4::Run;

namespace {

constexpr usize steps_in_handle = 4;
constexpr u64 most_unstored = u64{8} << 20;
/// What a handle for one step is to have room for: the step, the inode, the superblock and a neighbour among the
/// orphans.
constexpr usize blocks_of_step = ext4::most_changes_of_step + 3;

} // namespace

/// Whether the current thread may use the blocks that are kept for some.
ext4::Privilege Ext4File::own_privilege() const {
    const ext4::Superblock& on_disk = ext4().volume().superblock();
    const vfs::Credentials& who = vfs::current_credentials();
    const bool may = who.effective.has(vfs::Capability::SysResource) || who.fsuid == on_disk.reserved_uid ||
                     (on_disk.reserved_gid != 0 && who.is_in_group(on_disk.reserved_gid));
    return may ? ext4::Privilege::MayUseReserved : ext4::Privilege::None;
}

u64 Ext4File::blocks_in(u64 bytes) const { return divide_up<u64>(bytes, ext4().volume().block_size()); }

Result<vfs::Attributes> Ext4File::attributes() {
    vfs::Attributes result = TRY(Ext4Inode::attributes());
    result.direct = direct_alignment();
    core::SpinGuard guard(promised_lock_);
    result.blocks += promised_.count() << (ext4().volume().block_shift() - block::sector_shift);
    return result;
}

/// Data in inodes is read only.
Result<void> Ext4File::check_writable() const {
    TRY(ext4().to_write());
    if (disk().has(ext4::inode_inline_data)) return error(Errno::EOPNOTSUPP);
    return {};
}

// ---- promises ----

Result<void> Ext4File::prepare_write(u64 offset, usize length) {
    TRY(check_writable());
    if (is_immutable()) return error(Errno::EPERM); // since it was opened
    give_up_promised({blocks_in(size()), ~u64{0}}); // of a write that came to nothing
    // Who writes much stores it, too, when the thread doesn't keep up: memory must not be full of what one can store.
    Ext4Writing& writing = *TRY(ext4().to_write());
    unstored_ += length;
    if (unstored_ > most_unstored && writing.is_behind()) TRY(store_data());
    writing.note_written(length);
    write_begin_ = offset, write_end_ = offset + length;
    writer_.store(&core::current_thread(), std::memory_order_relaxed);
    if (offset > size()) TRY(heed(zero_behind_end()));
    return {};
}

Result<void> Ext4File::prepare_write(u64 index, mm::Page& page) {
    TRY(check_writable());
    if (is_immutable()) return error(Errno::EPERM);
    const u32 shift = ext4().volume().block_shift();
    const u64 page_begin = index << arch::page_shift, page_end = page_begin + arch::page_size;
    // Of a page that is mapped any byte up to the file's end may be written.
    u64 begin = page_begin, end = std::min(page_end, size());
    if (writer_.load(std::memory_order_relaxed) == &core::current_thread() && write_begin_ < page_end &&
        write_end_ > page_begin) {
        begin = std::max(begin, write_begin_);
        end = std::min(page_end, write_end_);
    }
    if (begin < end) TRY(heed(promise({begin >> shift, divide_up<u64>(end, ext4().volume().block_size())})));
    if (!page.has(mm::page_dirty)) touch_modified();
    return {};
}

/// Promises what is a hole in the range, and not promised yet.
Result<void> Ext4File::promise(BlockRange range) {
    Ext4Writing& writing = *TRY(ext4().to_write());
    for (bool may_retry = true; range.begin < range.end;) {
        const auto came_to = promise_some(range, writing);
        if (!came_to && came_to.error() == Errno::ENOSPC && std::exchange(may_retry, false) && writing.make_space())
            continue;
        range.begin = TRY(came_to);
        may_retry = true;
    }
    return {};
}

/// The same for the first part of the range that is all hole, all promised, or neither; where that ends.
Result<u64> Ext4File::promise_some(BlockRange range, Ext4Writing& writing) {
    BlockRange known;
    {
        core::SpinGuard guard(promised_lock_);
        known = promised_.first_in(range);
    }
    if (known.begin == range.begin && known.length() > 0) return known.end;
    // Held to the end: a hole that gets blocks before it is promised would keep the promise.
    core::ReadGuard guard(disk_lock);
    const Run run = TRY(ext4::map_blocks(ext4().volume(), disk(), range.begin, known.begin - range.begin));
    const BlockRange part{range.begin, range.begin + run.count};
    if (run.kind != Run::Kind::Hole) return part.end;
    TRY(writing.reserve(part.length(), own_privilege()));
    core::SpinGuard promised_guard(promised_lock_);
    const u64 before = promised_.count();
    auto added = promised_.add(part);
    writing.unreserve(part.length() - (promised_.count() - before)); // others may have been faster
    TRY(added);
    return part.end;
}

void Ext4File::give_up_promised(BlockRange range) {
    u64 given_up;
    {
        core::SpinGuard guard(promised_lock_);
        if (promised_.count() == 0) return;
        given_up = promised_.remove(range).value_or(0); // without memory they stay promised
    }
    ext4().writing()->unreserve(given_up);
}

/// Before the file grows: what its last page holds behind the end must read as zeros.
Result<void> Ext4File::zero_behind_end() {
    const usize begin = size() & (arch::page_size - 1);
    if (begin == 0) return {};
    const u64 index = size() >> arch::page_shift;
    const u64 block = size() >> ext4().volume().block_shift();
    bool is_hole;
    {
        core::ReadGuard guard(disk_lock);
        is_hole = TRY(ext4::map_blocks(ext4().volume(), disk(), block, 1)).kind == Run::Kind::Hole;
    }
    mm::PageRef page = pages_->find_page(index);
    if (!page && is_hole) return {};
    if (!is_hole) page = TRY(pages_->get_page(index, arch::Access::Write));
    std::memset(page.data<u8>() + begin, 0, arch::page_size - begin);
    mm::note_dirty(*page); // it may have been stored meanwhile
    return {};
}

// ---- storing ----

Result<void> Ext4File::store_data() {
    unstored_ = 0;
    return ext4().writing() ? pages_->write_back(0, size()) : Result<void>{};
}

Result<void> Ext4File::write_page(u64 index, mm::Page& page) {
    mm::Page* const only = &page;
    return write_pages(index, {&only, 1});
}

Result<void> Ext4File::write_pages(u64 index, Pages pages) { return heed(store_pages(index, pages)); }

Result<void> Ext4File::store_pages(u64 index, Pages pages) {
    Ext4Writing& writing = *TRY(ext4().to_write());
    const u32 in_page = arch::page_shift - ext4().volume().block_shift();
    const Dirty dirty{index << in_page, pages};
    BlockRange range{dirty.base, std::min(dirty.base + (pages.size() << in_page), blocks_in(size()))};
    bool may_retry = true;
    while (range.begin < range.end) {
        u64 end = range.end;
        if (!TRY(has_places(dirty, range))) {
            ext4::DataInFlight in_flight;
            const auto placed = place(dirty, range, in_flight);
            if (!placed && placed.error() == Errno::ENOSPC && std::exchange(may_retry, false) && writing.make_space())
                continue;
            end = TRY(placed);
            TRY(store_blocks(dirty, {range.begin, end}));
        } else {
            TRY(store_blocks(dirty, range));
        }
        range.begin = end;
    }
    // A writer that has not yet said how long the file is now has filled these.
    core::SpinGuard guard(promised_lock_);
    for (usize i = 0; i < pages.size(); ++i) {
        const u64 begin = std::max(dirty.base + (i << in_page), range.end), end = dirty.base + ((i + 1) << in_page);
        if (begin < end && promised_.first_in({begin, end}).length() > 0) mm::note_dirty(*pages[i]);
    }
    return {};
}

/// The first blocks in a hole that have data in memory: those that are promised, and others that a mapping has written
/// to before the file grew beyond them.
BlockRange Ext4File::wanted_in(const Dirty& dirty, BlockRange hole) {
    BlockRange promised;
    {
        core::SpinGuard guard(promised_lock_);
        promised = promised_.first_in(hole);
    }
    const u32 shift = ext4().volume().block_shift();
    for (u64 block = hole.begin; block < promised.begin; ++block)
        if (!PageRange(dirty.pages, (block - dirty.base) << shift, u64{1} << shift).is_zero())
            return {block, block + 1};
    return promised;
}

/// Whether the range can be stored without changing metadata.
Result<bool> Ext4File::has_places(const Dirty& dirty, BlockRange range) {
    core::ReadGuard guard(disk_lock);
    const u64 end = range.end << ext4().volume().block_shift();
    if (std::min(size(), end) > disk().size()) return false;
    while (range.begin < range.end) {
        const Run run = TRY(ext4::map_blocks(ext4().volume(), disk(), range.begin, range.length()));
        if (run.kind == Run::Kind::Unwritten) return false;
        const BlockRange part{range.begin, range.begin + run.count};
        if (run.kind == Run::Kind::Hole && wanted_in(dirty, part).length() > 0) return false;
        range.begin = part.end;
    }
    return true;
}

/// Gives the range places on the disk, as far as one transaction goes; how far that was. With an error it went nowhere.
Result<u64> Ext4File::place(const Dirty& dirty, BlockRange range, ext4::DataInFlight& in_flight) {
    Ext4Writing& writing = *TRY(ext4().to_write());
    auto handle = TRY(writing.begin(blocks_of_step * steps_in_handle));
    core::WriteGuard<> guard(disk_lock);
    // What was cut off meanwhile needs none. (Who cuts sets the size first, and frees the blocks under the lock.)
    const u64 wanted_end = std::exchange(range.end, std::min(range.end, blocks_in(size())));
    if (range.begin >= range.end) return wanted_end;
    auto own_place = TRY(ext4::InodePlace::change(ext4().volume(), handle, static_cast<u32>(number())));
    const ext4::InodeEdit edit{writing.allocator(), handle, disk_to_change(), ext4::Privilege::MayUseReserved};
    const auto end = place_some(dirty, range, edit);
    if (end) {
        const u64 reached = std::min(size(), *end << ext4().volume().block_shift());
        if (reached > disk().size()) disk_to_change().set_size(reached);
    }
    store_at(own_place, handle);
    // Who has placed nothing may go on to commit, and must not wait for itself.
    if (end) in_flight = handle.data_in_flight();
    return end;
}

Result<u64> Ext4File::place_some(const Dirty& dirty, BlockRange range, const ext4::InodeEdit& edit) {
    const u64 begin = range.begin;
    const auto came_to = [&](Errno code) -> Result<u64> { // what was done before an error counts
        if (range.begin == begin) return error(code);
        return range.begin;
    };
    for (usize steps = 0; range.begin < range.end && steps < steps_in_handle;) {
        const auto run = ext4::map_blocks(ext4().volume(), disk(), range.begin, range.length());
        if (!run) return came_to(run.error());
        const BlockRange part{range.begin, range.begin + run->count};
        if (run->kind == Run::Kind::Hole) {
            const BlockRange wanted = wanted_in(dirty, part);
            range.begin = wanted.begin;
            if (wanted.length() == 0) continue;
            const auto filled = ext4::allocate_file_blocks(edit, wanted.begin, wanted.length(), Run::Kind::Data);
            if (!filled) return came_to(filled.error());
            range.begin = wanted.begin + filled->count;
            give_up_promised({wanted.begin, range.begin});
            ++steps;
        } else {
            if (run->kind == Run::Kind::Unwritten) {
                if (auto marked = ext4::mark_file_blocks_written(edit, part.begin, part.length()); !marked)
                    return came_to(marked.error());
                ++steps;
            }
            give_up_promised(part);
            range.begin = part.end;
        }
    }
    return range.begin;
}

Result<void> Ext4File::store_blocks(const Dirty& dirty, BlockRange range) {
    core::ReadGuard guard(disk_lock);
    const u32 shift = ext4().volume().block_shift();
    block::Batch batch(ext4().device(), block::Operation::Write, block::Batch::Pages::Update);
    while (range.begin < range.end) {
        const Run run = TRY(ext4::map_blocks(ext4().volume(), disk(), range.begin, range.length()));
        const PageRange bytes(dirty.pages, (range.begin - dirty.base) << shift, run.count << shift);
        if (run.kind == Run::Kind::Data) TRY(bytes.add_to(batch, run.first << (shift - block::sector_shift)));
        range.begin += run.count;
    }
    return batch.finish();
}

// ---- truncation ----

Result<void> Ext4File::truncate(u64 size) { return heed(change_size(size)); }

Result<void> Ext4File::change_size(u64 size) {
    TRY(check_writable());
    if (is_immutable()) return error(Errno::EPERM);
    Ext4Writing& writing = *TRY(ext4().to_write());
    if (size > this->size()) TRY(zero_behind_end());
    // As on Linux, blocks that it was given beyond its end go even when it ends where it did.
    const bool cuts = size < this->size() || (size == this->size() && TRY(attributes()).blocks != 0);
    {
        // Where the machine stops before all is freed, the next mount goes on.
        auto handle = TRY(writing.begin(blocks_of_step));
        core::WriteGuard<> guard(disk_lock);
        auto place = TRY(ext4::InodePlace::change(ext4().volume(), handle, static_cast<u32>(number())));
        if (cuts && link_count() > 0) TRY(make_orphan(handle, place));
        // Before the lock goes: who stores pages lets the disk's size grow up to this one.
        if (cuts) set_size(size);
        disk_to_change().set_size(size);
        store_at(place, handle);
    }
    set_size(size);
    pages_->set_size(size);
    if (!cuts) return {};
    // Who stores a page that is gone now must not meet the blocks that the file gets where it grows again.
    pages_->wait_for_stores();
    pages_->wait_for_reads();
    give_up_promised({blocks_in(size), ~u64{0}});
    TRY(writing.free_blocks(disk_to_change(), blocks_in(size), disk_lock));
    if (link_count() == 0) return {}; // it stays an orphan
    auto handle = TRY(writing.begin(blocks_of_step));
    core::WriteGuard<> guard(disk_lock);
    auto place = TRY(ext4::InodePlace::change(ext4().volume(), handle, disk().number));
    note_transaction(handle.transaction());
    return writing.orphans().remove(handle, disk().number, place, 0);
}

} // namespace linnet::fs
