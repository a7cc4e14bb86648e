// fallocate(2) that moves what lies behind a place in a file: FALLOC_FL_COLLAPSE_RANGE and FALLOC_FL_INSERT_RANGE.
//
// What is to move is stored first, and forgotten by the page cache: pages stay where they are. Blocks move leaf by leaf
// of the tree, all in one transaction unless the tree is large; a crash between two finds part of them moved.
#include "ext4_superblock.hpp"
#include "ext4_writing.hpp"

#include <abi/linux/fcntl.hpp>

namespace linnet::fs {

namespace {

constexpr usize steps_in_handle = 4;
constexpr usize blocks_of_step = ext4::most_changes_of_step + 3; // as in file_write.cpp

} // namespace

/// Collapses or inserts [offset, offset + length).
Result<void> Ext4File::move_behind(u32 mode, u64 offset, u64 length) {
    const ext4::Volume& volume = ext4().volume();
    const bool inserts = mode & abi::FALLOC_FL_INSERT_RANGE;
    if (!disk().has(ext4::inode_extents)) return error(Errno::EOPNOTSUPP);
    if ((offset | length) & (volume.block_size() - 1)) return error(Errno::EINVAL);
    if (inserts && length > ext4().max_file_size() - std::min(size(), ext4().max_file_size()))
        return error(Errno::EFBIG);
    if (inserts ? offset >= size() : offset + length >= size()) return error(Errno::EINVAL);
    const u64 new_size = inserts ? size() + length : size() - length;
    const u64 first_page = align_down(offset, arch::page_size);
    TRY(forget_pages(first_page));
    const u64 from = offset >> volume.block_shift(), distance = length >> volume.block_shift();
    TRY(inserts ? open_gap(from, distance, new_size) : close_gap(from + distance, distance, new_size));
    const u64 end = std::max(size(), new_size);
    set_size(new_size);
    pages_->set_size(new_size);
    pages_->punch_hole(first_page, align_up(end, arch::page_size)); // what was read in meanwhile
    return {};
}

/// What a mapping writes between the two is lost, as it is to no one who waits for fallocate(2) to return.
Result<void> Ext4File::forget_pages(u64 begin) {
    TRY(pages_->write_back(begin, size()));
    pages_->punch_hole(begin, align_up(size(), arch::page_size)); // whole pages: what stayed would be zeroed
    pages_->wait_for_stores();
    give_up_promised({begin >> ext4().volume().block_shift(), ~u64{0}});
    return {};
}

/// A handle's worth of steps, each of which says where the next goes on, until that is `end`; the inode is stored.
template <typename Step>
Result<u64> Ext4File::move_some(u64 at, u64 end, Step step) {
    Ext4Writing& writing = *TRY(ext4().to_write());
    auto handle = TRY(writing.begin(blocks_of_step * steps_in_handle));
    core::WriteGuard<> guard(disk_lock);
    pages_->wait_for_reads();
    auto place = TRY(ext4::InodePlace::change(ext4().volume(), handle, disk().number));
    const ext4::InodeEdit edit{writing.allocator(), handle, disk_to_change(), ext4::Privilege::MayUseReserved};
    Result<u64> reached = at;
    for (usize steps = 0; reached && *reached != end && steps < steps_in_handle; ++steps)
        reached = step(edit, *reached);
    store_at(place, handle);
    return reached;
}

/// The file is shorter once all blocks are where they belong.
Result<void> Ext4File::close_gap(u64 from, u64 distance, u64 new_size) {
    while (from != ext4::no_end)
        from = TRY(move_some(from, ext4::no_end, [&](const ext4::InodeEdit& edit, u64 at) {
            const auto reached = ext4::close_gap(edit, at, distance);
            if (reached && *reached == ext4::no_end) edit.inode.set_size(new_size);
            return reached;
        }));
    return {};
}

/// The file is longer as soon as a block may lie behind its old end.
Result<void> Ext4File::open_gap(u64 from, u64 distance, u64 new_size) {
    for (u64 until = ext4::no_end; until != from;)
        until = TRY(move_some(until, from, [&](const ext4::InodeEdit& edit, u64 at) {
            const auto reached = ext4::open_gap(edit, from, at, distance);
            if (reached) edit.inode.set_size(new_size); // in the same transaction
            return reached;
        }));
    return {};
}

} // namespace linnet::fs
