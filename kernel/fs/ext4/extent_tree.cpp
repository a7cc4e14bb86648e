// Editing trees of extents.
//
// A tree is changed in steps, each of which asks for all the blocks that it changes before it changes the first, and
// leaves a valid tree. So a failure between steps needs no way back: at worst a node has been split for nothing.
#include "extent_tree.hpp"

#include <algorithm>
#include <lib/crc32c.hpp>

namespace linnet::ext4 {

namespace {

Extent extent_of(u64 index, u64 start, u64 length, bool written) {
    return {static_cast<u32>(index), static_cast<u16>(written ? length : length + most_written_length),
            static_cast<u16>(start >> 32), static_cast<u32>(start)};
}

/// The part [begin, end) of the file's blocks in an extent.
Extent part_of(const Extent& extent, u64 begin, u64 end, bool written) {
    return extent_of(begin, start_of(extent) + (begin - extent.first), end - begin, written);
}

/// Whether `b` goes on where `a` ends, and both have room in one.
bool can_join(const Extent& a, const Extent& b) {
    const u64 most = is_written(a) ? ExtentTree::most_written : ExtentTree::most_unwritten;
    return is_written(a) == is_written(b) && end_of(a) == b.first && start_of(a) + length_of(a) == start_of(b) &&
           length_of(a) + length_of(b) <= most;
}

/// An extent as it lies on the disk.
Result<Extent> checked(const Volume& volume, const Extent& extent) {
    if (length_of(extent) == 0 || end_of(extent) > ExtentTree::end_of_file) return error(Errno::EUCLEAN);
    TRY(volume.check_blocks(start_of(extent), length_of(extent)));
    return extent;
}

ExtentHeader header_of(std::span<const u8> bytes) {
    ExtentHeader header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    return header;
}

u8* entry_in(std::span<u8> bytes, usize entry) { return bytes.data() + sizeof(ExtentHeader) + entry * sizeof(Extent); }

/// Puts `size` new entries in the place of `count` others.
void replace_entries(std::span<u8> bytes, usize at, usize count, const void* with, usize size) {
    ExtentHeader header = header_of(bytes);
    const usize behind = header.entries - at - count;
    VERIFY(at + size + behind <= header.max_entries);
    std::memmove(entry_in(bytes, at + size), entry_in(bytes, at + count), behind * sizeof(Extent));
    if (size) std::memcpy(entry_in(bytes, at), with, size * sizeof(Extent));
    header.entries = static_cast<u16>(at + size + behind);
    std::memcpy(bytes.data(), &header, sizeof(header));
}

ExtentIndex index_of(u32 first, u64 block) {
    return {first, static_cast<u32>(block), static_cast<u16>(block >> 32), 0};
}

} // namespace

/// Joins it to the last one if it can be.
void ExtentTree::Plan::add(const Extent& extent) {
    if (size > 0 && can_join(with[size - 1], extent)) {
        Extent& last = with[size - 1];
        last = extent_of(last.first, start_of(last), length_of(last) + length_of(extent), is_written(last));
        return;
    }
    VERIFY(size < most);
    with[size++] = extent;
}

Result<void> ExtentTree::find(u64 index, Path& path) {
    path = Path{};
    Level* level = &path.levels[0];
    level->node = TRY(ExtentNode::parse(edit_.inode.raw.block, {}));
    for (;;) {
        level->place = level->node.count_up_to(index);
        const u16 depth = level->node.depth();
        if (depth == 0) return {};
        if (level->node.entries() == 0) return error(Errno::EUCLEAN);
        if (level->place > 0) --level->place; // what is before all extents would be put before the first
        const u64 number = block_of(level->node.index(level->place));
        level = &path.levels[++path.depth];
        level->number = number;
        level->block = TRY(read_extent_block(edit_.volume(), edit_.inode, number));
        level->node = TRY(ExtentNode::parse(level->block.bytes(), static_cast<u16>(depth - 1)));
    }
}

Result<void> ExtentTree::change(Level& level) {
    if (level.number != 0 && !level.is_changeable) level.changed = TRY(edit_.writer.change(level.number));
    level.is_changeable = true;
    return {};
}

std::span<u8> ExtentTree::bytes(Level& level) {
    VERIFY(level.is_changeable);
    return level.number ? level.changed.bytes() : std::span<u8>(edit_.inode.raw.block);
}

/// After the last change of a node: its checksum.
void ExtentTree::seal(Level& level) {
    if (level.number == 0 || !edit_.volume().has_checksums()) return;
    const auto all = bytes(level);
    const usize end = sizeof(ExtentHeader) + header_of(all).max_entries * sizeof(Extent);
    const u32 checksum = crc32c(edit_.inode.checksum_seed, all.first(end));
    std::memcpy(all.data() + end, &checksum, sizeof(checksum)); // there is room: it was checked when the node was read
}

Result<u64> ExtentTree::goal(u64 index) {
    Path path;
    TRY(find(index, path));
    if (path.leaf().place == 0) return edit_.home();
    const Extent before = path.leaf().node.extent(path.leaf().place - 1);
    return start_of(before) + (index - before.first);
}

/// The same change with the extents on both sides, as far as they join what is between.
ExtentTree::Plan ExtentTree::with_neighbours(Path& path, const Plan& plan) const {
    const ExtentNode& node = path.leaf().node;
    Plan result{.at = plan.at, .count = plan.count, .size = 0, .with = {}};
    if (plan.size > 0 && plan.at > 0 && can_join(node.extent(plan.at - 1), plan.with[0])) {
        result.add(node.extent(--result.at));
        ++result.count;
    }
    for (usize i = 0; i < plan.size; ++i) result.add(plan.with[i]);
    const usize behind = plan.at + plan.count;
    if (plan.size > 0 && behind < node.entries() && can_join(result.with[result.size - 1], node.extent(behind))) {
        result.add(node.extent(behind));
        ++result.count;
    }
    return result;
}

/// False: there is more room now than before, but the path is another.
Result<bool> ExtentTree::has_room(Path& path, const Plan& plan, Privilege privilege) {
    if (plan.size <= plan.count + path.leaf().node.room()) return true;
    TRY(make_room(path, privilege));
    return false;
}

/// All nodes above `level` whose keys depend on its first one.
Result<void> ExtentTree::prepare_keys(Path& path, usize level) {
    while (level > 0) {
        TRY(change(path.levels[--level]));
        if (path.levels[level].place > 0) break;
    }
    return {};
}

/// Tells the nodes above `level` what its first entry is now.
void ExtentTree::store_keys(Path& path, usize level) {
    u32 first;
    std::memcpy(&first, entry_in(bytes(path.levels[level]), 0), sizeof(first));
    while (level > 0) {
        Level& above = path.levels[--level];
        std::memcpy(entry_in(bytes(above), above.place), &first, sizeof(first));
        seal(above);
        if (above.place > 0) break;
    }
}

Result<void> ExtentTree::prepare(Path& path, const Plan& plan) {
    TRY(change(path.leaf()));
    if (plan.at == 0) TRY(prepare_keys(path, path.depth));
    return {};
}

void ExtentTree::apply(Path& path, const Plan& plan) {
    Level& leaf = path.leaf();
    replace_entries(bytes(leaf), plan.at, plan.count, plan.with, plan.size);
    seal(leaf);
    if (plan.at == 0) store_keys(path, path.depth);
}

Result<void> ExtentTree::insert(u64 index, const Run& run) {
    const bool written = run.kind == Run::Kind::Data;
    VERIFY(run.count > 0 && run.count <= (written ? most_written : most_unwritten));
    if (index + run.count > end_of_file) return error(Errno::EFBIG);
    for (;;) {
        Path path;
        TRY(find(index, path));
        const ExtentNode& leaf = path.leaf().node;
        Plan plan{.at = path.leaf().place, .count = 0, .size = 0, .with = {}};
        if (plan.at > 0 && end_of(TRY(checked(edit_.volume(), leaf.extent(plan.at - 1)))) > index)
            return error(Errno::EUCLEAN);
        if (plan.at < leaf.entries() && leaf.first_of(plan.at) < index + run.count) return error(Errno::EUCLEAN);
        plan.add(extent_of(index, run.first, run.count, written));
        plan = with_neighbours(path, plan);
        if (!TRY(has_room(path, plan, edit_.privilege))) continue;
        TRY(prepare(path, plan));
        apply(path, plan);
        return {};
    }
}

Result<void> ExtentTree::mark_written(u64 index, u64 count) {
    for (const u64 end = index + count; index < end;) {
        Path path;
        TRY(find(index, path));
        const Level& leaf = path.leaf();
        Extent extent{};
        if (leaf.place > 0) extent = TRY(checked(edit_.volume(), leaf.node.extent(leaf.place - 1)));
        if (leaf.place == 0 || end_of(extent) <= index || is_written(extent)) {
            const Run run = TRY(map_blocks(edit_.volume(), edit_.inode, index, end - index));
            if (run.kind == Run::Kind::Unwritten) return error(Errno::EUCLEAN);
            index += run.count;
            continue;
        }
        const u64 stop = std::min(end, end_of(extent));
        Plan plan{.at = leaf.place - 1, .count = 1, .size = 0, .with = {}};
        if (extent.first < index) plan.add(part_of(extent, extent.first, index, false));
        plan.add(part_of(extent, index, stop, true));
        if (stop < end_of(extent)) plan.add(part_of(extent, stop, end_of(extent), false));
        plan = with_neighbours(path, plan);
        if (!TRY(has_room(path, plan, Privilege::MayUseReserved))) continue;
        TRY(prepare(path, plan));
        apply(path, plan);
        index = stop;
    }
    return {};
}

Result<u64> ExtentTree::remove_last(u64 first, u64 end) {
    for (;;) {
        if (first >= end) return first;
        Path path;
        TRY(find(end - 1, path));
        const Level& leaf = path.leaf();
        if (leaf.place == 0) return first;
        const Extent extent = TRY(checked(edit_.volume(), leaf.node.extent(leaf.place - 1)));
        if (end_of(extent) <= first) return first;
        const u64 stop = std::min(end, end_of(extent)), most = edit_.volume().superblock().blocks_per_group;
        const u64 begin = std::max({first, u64{extent.first}, stop - std::min(stop, most)});
        Plan plan{.at = leaf.place - 1, .count = 1, .size = 0, .with = {}};
        if (extent.first < begin) plan.add(part_of(extent, extent.first, begin, is_written(extent)));
        if (stop < end_of(extent)) plan.with[plan.size++] = part_of(extent, stop, end_of(extent), is_written(extent));
        if (!TRY(has_room(path, plan, Privilege::MayUseReserved))) continue;
        BlockFreeing freeing(edit_.allocator, edit_.writer);
        TRY(freeing.add(start_of(extent) + (begin - extent.first), stop - begin, edit_.contents()));
        if (plan.size == 0 && leaf.node.entries() == 1 && path.depth > 0) {
            TRY(remove_leaf(path, freeing));
        } else {
            TRY(prepare(path, plan));
            TRY(freeing.finish());
            apply(path, plan);
        }
        TRY(add_to_block_count(edit_.volume(), edit_.inode, -static_cast<i64>(freeing.count())));
        return begin;
    }
}

/// Gives up the leaf and all nodes that have nothing else.
Result<void> ExtentTree::remove_leaf(Path& path, BlockFreeing& freeing) {
    usize stays = path.depth;
    do {
        TRY(freeing.add(path.levels[stays].number, 1, BlockContents::Metadata));
        --stays;
    } while (stays > 0 && path.levels[stays].node.entries() == 1);
    Level& level = path.levels[stays];
    const bool is_first = level.place == 0, is_last = level.node.entries() == 1;
    TRY(change(level));
    if (is_first) TRY(prepare_keys(path, stays));
    TRY(freeing.finish());
    replace_entries(bytes(level), level.place, 1, nullptr, 0);
    if (is_last) {
        ExtentHeader header = header_of(bytes(level)); // of the root: the tree is empty
        header.depth = 0;
        header.max_entries = (inode_block_bytes - sizeof(ExtentHeader)) / sizeof(Extent);
        std::memcpy(bytes(level).data(), &header, sizeof(header));
        return {};
    }
    seal(level);
    if (is_first) store_keys(path, stays);
    return {};
}

/// Where the leaf behind this one begins.
u64 ExtentTree::first_behind(const Path& path) {
    for (usize level = path.depth; level > 0; --level) {
        const Level& above = path.levels[level - 1];
        if (above.place + 1 < above.node.entries()) return above.node.first_of(above.place + 1);
    }
    return end_of_file;
}

/// Entries [begin, end) of the leaf speak of other places in the file; their order stays.
Result<void> ExtentTree::move_entries(Path& path, usize begin, usize end, i64 distance) {
    Level& leaf = path.leaf();
    TRY(change(leaf));
    if (begin == 0) TRY(prepare_keys(path, path.depth));
    for (usize entry = begin; entry < end; ++entry) {
        const u32 first = static_cast<u32>(leaf.node.first_of(entry) + distance);
        std::memcpy(entry_in(bytes(leaf), entry), &first, sizeof(first));
    }
    seal(leaf);
    if (begin == 0) store_keys(path, path.depth);
    return {};
}

Result<u64> ExtentTree::move_down(u64 from, u64 distance) {
    for (;;) {
        Path path;
        TRY(find(from, path));
        const ExtentNode& leaf = path.leaf().node;
        usize at = path.leaf().place;
        if (at > 0 && leaf.first_of(at - 1) == from) --at;
        const u64 behind = first_behind(path);
        if (at == leaf.entries()) {
            if (behind == end_of_file) return end_of_file;
            if (behind <= from) return error(Errno::EUCLEAN);
            from = behind;
            continue;
        }
        u64 end = at > 0 ? end_of(leaf.extent(at - 1)) : 0;
        for (usize entry = at; entry < leaf.entries(); ++entry) {
            const Extent extent = TRY(checked(edit_.volume(), leaf.extent(entry)));
            if (extent.first < end + (entry == at ? distance : 0)) return error(Errno::EUCLEAN);
            end = end_of(extent);
        }
        TRY(move_entries(path, at, leaf.entries(), -static_cast<i64>(distance)));
        return behind == end_of_file ? end_of_file : end;
    }
}

Result<u64> ExtentTree::move_up(u64 from, u64 until, u64 distance) {
    if (from >= until) return from;
    Path path;
    TRY(find(until - 1, path));
    const ExtentNode& leaf = path.leaf().node;
    const usize end = path.leaf().place;
    u64 next = end < leaf.entries() ? leaf.first_of(end) : first_behind(path);
    usize at = end;
    for (; at > 0 && leaf.first_of(at - 1) >= from; --at) {
        const Extent extent = TRY(checked(edit_.volume(), leaf.extent(at - 1)));
        if (at == end && end_of(extent) + distance > end_of_file) return error(Errno::EFBIG);
        if (end_of(extent) + (at == end ? distance : 0) > next) return error(Errno::EUCLEAN);
        next = extent.first;
    }
    if (at == end) return from;
    const u64 reached = leaf.first_of(at);
    TRY(move_entries(path, at, end, static_cast<i64>(distance)));
    return at == 0 ? reached : from;
}

Result<void> ExtentTree::part_at(u64 index) {
    for (;;) {
        Path path;
        TRY(find(index, path));
        const Level& leaf = path.leaf();
        if (leaf.place == 0) return {};
        const Extent extent = TRY(checked(edit_.volume(), leaf.node.extent(leaf.place - 1)));
        if (extent.first == index || end_of(extent) <= index) return {};
        Plan plan{.at = leaf.place - 1, .count = 1, .size = 2, .with = {}};
        plan.with[0] = part_of(extent, extent.first, index, is_written(extent));
        plan.with[1] = part_of(extent, index, end_of(extent), is_written(extent));
        if (!TRY(has_room(path, plan, Privilege::MayUseReserved))) continue;
        TRY(prepare(path, plan));
        apply(path, plan);
        return {};
    }
}

Result<u64> ExtentTree::allocate_node(u64 goal, Privilege privilege) {
    const Run run = TRY(edit_.allocator.allocate_blocks(edit_.writer, goal, 1, privilege));
    if (auto counted = add_to_block_count(edit_.volume(), edit_.inode, 1); !counted) {
        (void)edit_.allocator.undo_blocks(edit_.writer, run);
        return error(counted.error());
    }
    return run.first;
}

/// The transaction that can't take the block back doesn't go on.
void ExtentTree::undo_node(u64 number) {
    (void)edit_.allocator.undo_blocks(edit_.writer, {number, 1, Run::Kind::Data});
    (void)add_to_block_count(edit_.volume(), edit_.inode, -1);
}

/// A node of its own block, with entries of another.
Result<void> ExtentTree::fill_new_node(u64 number, const Level& from, usize first, usize count) {
    Level level;
    level.number = number;
    level.changed = TRY(edit_.writer.fresh(number));
    level.is_changeable = true;
    const usize most = (edit_.volume().block_size() - sizeof(ExtentHeader)) / sizeof(Extent);
    const ExtentHeader header{extent_magic, static_cast<u16>(count), static_cast<u16>(most), from.node.depth(), 0};
    const auto to = bytes(level);
    std::memcpy(to.data(), &header, sizeof(header));
    for (usize i = 0; i < count; ++i) {
        const Extent entry = from.node.extent(first + i);
        std::memcpy(entry_in(to, i), &entry, sizeof(entry));
    }
    seal(level);
    return {};
}

Result<void> ExtentTree::make_room(Path& path, Privilege privilege) {
    usize level = path.depth;
    while (level > 0 && path.levels[level - 1].node.is_full()) --level;
    return level == 0 ? grow(path, privilege) : split(path, level, privilege);
}

/// The root's entries go to a block of their own.
Result<void> ExtentTree::grow(Path& path, Privilege privilege) {
    Level& root = path.levels[0];
    if (root.node.depth() == most_extent_depth) return error(Errno::ENOSPC);
    if (root.node.entries() == 0) return error(Errno::EUCLEAN); // and yet there was no room
    const u64 number = TRY(allocate_node(TRY(goal(root.node.first_of(0))), privilege));
    if (auto filled = fill_new_node(number, root, 0, root.node.entries()); !filled) {
        undo_node(number);
        return filled;
    }
    const ExtentIndex index = index_of(root.node.first_of(0), number);
    const ExtentHeader header{extent_magic, 1, (inode_block_bytes - sizeof(ExtentHeader)) / sizeof(Extent),
                              static_cast<u16>(root.node.depth() + 1), header_of(edit_.inode.raw.block).generation};
    std::memset(edit_.inode.raw.block, 0, inode_block_bytes);
    std::memcpy(edit_.inode.raw.block, &header, sizeof(header));
    std::memcpy(entry_in(edit_.inode.raw.block, 0), &index, sizeof(index));
    return {};
}

/// A full node, whose parent has room, gives entries to a new one behind it: half of them, or only the last where a
/// file grows at its end.
Result<void> ExtentTree::split(Path& path, usize at, Privilege privilege) {
    Level& level = path.levels[at];
    Level& above = path.levels[at - 1];
    const usize entries = level.node.entries();
    if (entries < 2) return error(Errno::EUCLEAN);
    const bool is_at_end = level.place + (at == path.depth ? 0 : 1) == entries;
    const usize moved = is_at_end ? 1 : entries / 2, left = entries - moved;
    TRY(change(level));
    TRY(change(above));
    const u64 number = TRY(allocate_node(level.number, privilege));
    if (auto filled = fill_new_node(number, level, left, moved); !filled) {
        undo_node(number);
        return filled;
    }
    const ExtentIndex index = index_of(level.node.first_of(left), number);
    replace_entries(bytes(level), left, moved, nullptr, 0);
    seal(level);
    replace_entries(bytes(above), above.place + 1, 0, &index, 1);
    seal(above);
    return {};
}

} // namespace linnet::ext4
