// Which of the two ways a file has.
#include "file_blocks.hpp"

#include "block_lists.hpp"
#include "extent_tree.hpp"
#include <algorithm>

namespace linnet::ext4 {

Result<Run> allocate_file_blocks(const InodeEdit& edit, u64 index, u64 most, Run::Kind kind) {
    VERIFY(most > 0 && kind != Run::Kind::Hole);
    if (edit.inode.has(inode_inline_data)) return error(Errno::EOPNOTSUPP);
    if (index >= ExtentTree::end_of_file) return error(Errno::EFBIG);
    const Run hole = TRY(map_blocks(edit.volume(), edit.inode, index, std::min(most, ExtentTree::end_of_file - index)));
    if (hole.kind != Run::Kind::Hole) return error(Errno::EEXIST);
    most = hole.count;
    if (!edit.inode.has(inode_extents)) {
        if (kind == Run::Kind::Unwritten) return error(Errno::EOPNOTSUPP);
        return allocate_in_lists(edit, index, most);
    }
    ExtentTree tree(edit);
    most = std::min(most, kind == Run::Kind::Data ? ExtentTree::most_written : ExtentTree::most_unwritten);
    const u64 goal = TRY(tree.goal(index));
    Run run = TRY(edit.allocator.allocate_blocks(edit.writer, goal, most, edit.privilege));
    run.kind = kind;
    Result<void> done = add_to_block_count(edit.volume(), edit.inode, static_cast<i64>(run.count));
    if (done) {
        done = tree.insert(index, run);
        if (!done) (void)add_to_block_count(edit.volume(), edit.inode, -static_cast<i64>(run.count));
    }
    if (done) return run;
    (void)edit.allocator.undo_blocks(edit.writer, run);
    return error(done.error());
}

Result<void> mark_file_blocks_written(const InodeEdit& edit, u64 index, u64 count) {
    if (!edit.inode.has(inode_extents)) return {}; // all are
    return ExtentTree(edit).mark_written(index, count);
}

Result<u64> free_last_blocks(const InodeEdit& edit, u64 first, u64 end) {
    if (edit.inode.has(inode_inline_data)) return first;
    return edit.inode.has(inode_extents) ? ExtentTree(edit).remove_last(first, end)
                                         : remove_last_in_lists(edit, first, end);
}

namespace {

/// One step of freeing [first, end); false: there is more to do.
Result<bool> clear(const InodeEdit& edit, u64 first, u64 end) {
    return TRY(ExtentTree(edit).remove_last(first, end)) == first;
}

bool has_extents(const InodeEdit& edit) { return edit.inode.has(inode_extents) && !edit.inode.has(inode_inline_data); }

} // namespace

Result<u64> close_gap(const InodeEdit& edit, u64 from, u64 distance) {
    VERIFY(distance <= from);
    if (!has_extents(edit)) return error(Errno::EOPNOTSUPP);
    if (!TRY(clear(edit, from - distance, from))) return from;
    const u64 reached = TRY(ExtentTree(edit).move_down(from, distance));
    return reached == ExtentTree::end_of_file ? no_end : reached;
}

Result<u64> open_gap(const InodeEdit& edit, u64 from, u64 until, u64 distance) {
    if (!has_extents(edit)) return error(Errno::EOPNOTSUPP);
    ExtentTree tree(edit);
    if (until == no_end)
        TRY(tree.part_at(from));
    else if (!TRY(clear(edit, until, until + distance)))
        return until;
    return tree.move_up(from, std::min(until, ExtentTree::end_of_file), distance);
}

} // namespace linnet::ext4
