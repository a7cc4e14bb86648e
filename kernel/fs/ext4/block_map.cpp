// Extents and lists of blocks.
#include "block_map.hpp"

#include "extent_node.hpp"
#include <algorithm>
#include <cstring>
#include <lib/crc32c.hpp>

namespace linnet::ext4 {

namespace {

Run hole(u64 count) { return {0, count, Run::Kind::Hole}; }

} // namespace

Result<Block> read_extent_block(Volume& volume, const DiskInode& inode, u64 number) {
    TRY(volume.check_blocks(number, 1));
    Block block = TRY(volume.read_block(number));
    if (!volume.has_checksums()) return block;
    const usize end = sizeof(ExtentHeader) + block.at<ExtentHeader>(0).max_entries * sizeof(Extent);
    u32 stored;
    if (end + sizeof(stored) > block.size()) return error(Errno::EUCLEAN);
    std::memcpy(&stored, block.bytes().data() + end, sizeof(stored));
    if (crc32c(inode.checksum_seed, block.bytes().first(end)) != stored) return error(Errno::EBADMSG);
    return block;
}

namespace {

/// The run at `index` in a leaf; `end` is where the leaf's share of the file ends.
Result<Run> run_in_leaf(const Volume& volume, const ExtentNode& leaf, u64 index, u64 end) {
    const usize before = leaf.count_up_to(index);
    if (before < leaf.entries()) end = std::min<u64>(end, leaf.first_of(before));
    if (before == 0) return hole(end - index);
    const Extent extent = leaf.extent(before - 1);
    const u64 length = length_of(extent), start = start_of(extent);
    if (length == 0) return error(Errno::EUCLEAN);
    TRY(volume.check_blocks(start, length));
    const u64 offset = index - extent.first;
    if (offset >= length) return hole(end - index);
    return Run{start + offset, std::min(length - offset, end - index),
               is_written(extent) ? Run::Kind::Data : Run::Kind::Unwritten};
}

Result<Run> map_extents(Volume& volume, const DiskInode& inode, u64 index) {
    u64 end = u64{1} << 32; // extents count blocks of files with 32 bits
    if (index >= end) return hole(~u64{0} - index);
    Block held; // what the node's bytes belong to
    ExtentNode node = TRY(ExtentNode::parse(inode.raw.block, {}));
    while (node.depth() > 0) {
        const usize before = node.count_up_to(index);
        if (before < node.entries()) end = std::min<u64>(end, node.first_of(before));
        if (before == 0) return hole(end - index);
        const ExtentIndex child = node.index(before - 1);
        Block next = TRY(read_extent_block(volume, inode, block_of(child)));
        node = TRY(ExtentNode::parse(next.bytes(), static_cast<u16>(node.depth() - 1)));
        held = std::move(next);
    }
    return run_in_leaf(volume, node, index, end);
}

/// The number in a list of block numbers, and how many behind it go on where it lies.
Result<Run> run_in_list(const Volume& volume, std::span<const u8> list, usize place, u64 most) {
    auto number_at = [&](usize at) {
        u32 number;
        std::memcpy(&number, list.data() + at * sizeof(number), sizeof(number));
        return number;
    };
    const usize length = list.size() / sizeof(u32);
    const u32 first = number_at(place);
    u64 count = 1;
    while (count < most && place + count < length && number_at(place + count) == (first ? first + count : 0)) ++count;
    if (first == 0) return hole(count);
    TRY(volume.check_blocks(first, count));
    return Run{first, count, Run::Kind::Data};
}

/// The twelve first blocks stand in the inode; then come a list, a list of lists, and a list of those.
Result<Run> map_lists(Volume& volume, const DiskInode& inode, u64 index, u64 most) {
    constexpr usize direct = 12;
    const std::span<const u8> root(inode.raw.block);
    if (index < direct) return run_in_list(volume, root.first(direct * sizeof(u32)), index, most);
    u64 rest = index - direct;
    const u32 list_shift = volume.block_shift() - 2; // of the numbers in a block
    u32 levels = 1;
    u64 reach = u64{1} << list_shift;
    while (levels <= 3 && rest >= reach) {
        rest -= reach;
        reach <<= list_shift;
        ++levels;
    }
    if (levels > 3) return hole(~u64{0} - index);
    Run list = TRY(run_in_list(volume, root, direct + levels - 1, 1));
    Block block;
    for (u32 left = levels; list.kind == Run::Kind::Data; --left) {
        block = TRY(volume.read_block(list.first));
        const u64 in_entry = u64{1} << (list_shift * (left - 1));
        const usize place = rest / in_entry;
        rest %= in_entry;
        list = TRY(run_in_list(volume, block.bytes(), place, left == 1 ? most : 1));
        if (left == 1) return list;
        reach = in_entry;
    }
    return hole(reach - rest); // as much as the missing list would tell of
}

} // namespace

Result<void> check_block_map(const DiskInode& inode) {
    if (!inode.has(inode_extents)) return {};
    TRY(ExtentNode::parse(inode.raw.block, {}));
    return {};
}

Result<Run> map_blocks(Volume& volume, const DiskInode& inode, u64 index, u64 most) {
    Run run =
        inode.has(inode_extents) ? TRY(map_extents(volume, inode, index)) : TRY(map_lists(volume, inode, index, most));
    run.count = std::min(run.count, most);
    return run;
}

Result<Block> read_file_block(Volume& volume, const DiskInode& inode, u64 index) {
    const Run run = TRY(map_blocks(volume, inode, index, 1));
    if (run.kind != Run::Kind::Data) return error(Errno::EUCLEAN);
    return volume.read_block(run.first);
}

} // namespace linnet::ext4
