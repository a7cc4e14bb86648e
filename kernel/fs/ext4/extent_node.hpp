// The nodes of trees of extents, for those who read and those who change them.
#pragma once

#include "volume.hpp"
#include <cstring>
#include <optional>

namespace linnet::ext4 {

constexpr bool is_written(const Extent& extent) { return extent.length <= most_written_length; }
constexpr u64 length_of(const Extent& extent) {
    return is_written(extent) ? extent.length : extent.length - most_written_length;
}
constexpr u64 start_of(const Extent& extent) { return joined(extent.start_low, extent.start_high); }
constexpr u64 end_of(const Extent& extent) { return extent.first + length_of(extent); } // in the file
constexpr u64 block_of(const ExtentIndex& index) { return joined(index.block_low, index.block_high); }

/// A node of the tree of extents: in the inode, or a block of its own.
class ExtentNode {
public:
    /// `depth`: what the parent says how many levels are below; absent for the root. EUCLEAN.
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
    [[nodiscard]] bool is_full() const { return header_.entries == header_.max_entries; }
    [[nodiscard]] usize room() const { return usize{header_.max_entries} - header_.entries; }
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

/// A block with a node, its checksum right. EUCLEAN, EBADMSG, EIO, ENOMEM, EINTR.
Result<Block> read_extent_block(Volume& volume, const DiskInode& inode, u64 number);

} // namespace linnet::ext4
