// Extents and lists of blocks.
#include "block_map.hpp"

#include <algorithm>
#include <cstring>
#include <lib/crc32c.hpp>

namespace linnet::ext4 {

namespace {

/// A node of the tree of extents: in the inode, or a block of its own.
class ExtentNode {
public:
    /// `depth`: what the parent says how many levels are below; absent for the root.
    static Result<ExtentNode> parse(std::span<const u8> bytes, std::optional<u16> depth) {
        ExtentNode node;
        std::memcpy(&node.header_, bytes.data(), sizeof(ExtentHeader));
        const ExtentHeader& header = node.header_;
        const usize room = (bytes.size() - sizeof(ExtentHeader)) / sizeof(Extent);
        if (header.magic != extent_magic || header.max_entries > room || header.entries > header.max_entries)
            return error(Errno::EUCLEAN);
        if (depth ? header.depth != *depth : header.depth > most_extent_depth) return error(Errno::EUCLEAN);
        node.entries_ = bytes.subspan(sizeof(ExtentHeader), header.entries * sizeof(Extent));
        return node;
    }

    [[nodiscard]] u16 depth() const { return header_.depth; }
    [[nodiscard]] usize entries() const { return header_.entries; }
    [[nodiscard]] usize end_of_room() const { return sizeof(ExtentHeader) + header_.max_entries * sizeof(Extent); }
    /// The number of entries that begin at or before `block`.
    [[nodiscard]] usize count_up_to(u64 block) const {
        usize low = 0, high = entries();
        while (low < high) {
            const usize middle = (low + high) / 2;
            if (first_of(middle) <= block)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }
    /// The first block that the entry speaks of; extents and indices both begin with it.
    [[nodiscard]] u32 first_of(usize entry) const { return get<u32>(entry); }
    [[nodiscard]] Extent extent(usize entry) const { return get<Extent>(entry); }
    [[nodiscard]] ExtentIndex index(usize entry) const { return get<ExtentIndex>(entry); }

private:
    template <typename T>
    T get(usize entry) const {
        T value;
        std::memcpy(&value, entries_.data() + entry * sizeof(Extent), sizeof(T));
        return value;
    }
    ExtentHeader header_{};
    std::span<const u8> entries_;
};

Result<void> check_extent_checksum(const Volume& volume, const DiskInode& inode, const Block& block,
                                   const ExtentNode& node) {
    if (!volume.has_checksums()) return {};
    const usize end = node.end_of_room();
    u32 stored;
    if (end + sizeof(stored) > block.size()) return error(Errno::EUCLEAN);
    std::memcpy(&stored, block.bytes().data() + end, sizeof(stored));
    const bool is_right = crc32c(inode.checksum_seed, block.bytes().first(end)) == stored;
    return is_right ? Result<void>{} : error(Errno::EBADMSG);
}

Run hole(u64 count) { return {0, count, Run::Kind::Hole}; }

/// The run at `index` in a leaf; `end` is where the leaf's share of the file ends.
Result<Run> run_in_leaf(const Volume& volume, const ExtentNode& leaf, u64 index, u64 end) {
    const usize before = leaf.count_up_to(index);
    if (before < leaf.entries()) end = std::min<u64>(end, leaf.first_of(before));
    if (before == 0) return hole(end - index);
    const Extent extent = leaf.extent(before - 1);
    const bool is_written = extent.length <= most_written_length;
    const u64 length = is_written ? extent.length : extent.length - most_written_length;
    const u64 start = joined(extent.start_low, extent.start_high);
    if (length == 0) return error(Errno::EUCLEAN);
    TRY(volume.check_blocks(start, length));
    const u64 offset = index - extent.first;
    if (offset >= length) return hole(end - index);
    return Run{start + offset, std::min(length - offset, end - index),
               is_written ? Run::Kind::Data : Run::Kind::Unwritten};
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
        const u64 block = joined(child.block_low, child.block_high);
        TRY(volume.check_blocks(block, 1));
        Block next = TRY(volume.read_block(block));
        const ExtentNode below = TRY(ExtentNode::parse(next.bytes(), static_cast<u16>(node.depth() - 1)));
        TRY(check_extent_checksum(volume, inode, next, below));
        node = below;
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
