// The index of a directory: a tree of hashes, whose leaves are blocks of entries. Its nodes are blocks of the directory
// too; to whoever doesn't know of the index they look as if they held one large empty entry.
#pragma once

#include "block_map.hpp"
#include "directory_hash.hpp"
#include <cstring>

namespace linnet::ext4 {

struct DirectoryBlock {
    u64 number = 0; // on the disk
    Block block;
};
/// A block of a directory, its checksum right. EUCLEAN when it is not there, EBADMSG, EIO, ENOMEM, EINTR.
Result<DirectoryBlock> read_directory_block(Volume& volume, const DiskInode& inode, u64 index);
/// The same for one that has been read.
Result<void> check_directory_block(const Volume& volume, const DiskInode& inode, const Block& block);

/// Blocks of 64 KiB have no room for their own size in a record's length.
constexpr usize record_length(u16 stored, usize block_size) {
    return block_size == 0x1'0000 && (stored == 0 || stored == 0xffff) ? block_size : stored;
}

/// A node, and where in it a hash leads.
struct IndexNode {
    struct Entry {
        u32 hash;
        u32 block; // of the directory
    };
    static constexpr usize root_info = 24, root_begin = 32, begin_of_others = 8;
    // In the root, from root_info on:
    static constexpr usize version_place = 4, info_size_place = 5, levels_place = 6, info_size = 8;

    DirectoryBlock at;
    usize begin = 0; // of the entries; the first has the numbers of entries in place of a hash
    usize count = 0, most = 0;
    usize place = 0;

    [[nodiscard]] std::span<const u8> bytes() const { return at.block.bytes(); }
    [[nodiscard]] Entry entry(usize index) const { return object_at<Entry>(bytes(), begin + index * sizeof(Entry)); }
    [[nodiscard]] u32 child() const { return entry(place).block; }
    [[nodiscard]] bool is_full() const { return count == most; }
    /// Goes to the entry for which the hash of what it leads to is not greater than `hash`.
    void seek(u32 hash);
};

/// The way from the root to a leaf.
struct IndexPath {
    static constexpr usize most_levels = 3;
    IndexNode nodes[most_levels];
    usize depth = 0;
    HashVersion version{};

    [[nodiscard]] IndexNode& last() { return nodes[depth - 1]; }
    /// The block of the directory in which a hash's entries begin.
    [[nodiscard]] u32 leaf() const { return nodes[depth - 1].child(); }
    /// The hash of a name in this index.
    [[nodiscard]] NameHash hashes_of(const Volume& volume, std::string_view name) const;
    [[nodiscard]] u32 hash_of(const Volume& volume, std::string_view name) const {
        return hashes_of(volume, name).major;
    }
};

/// EUCLEAN when there is no sense in the index; the names are all there without it.
Result<IndexPath> find_in_index(Volume& volume, const DiskInode& inode, u32 hash);
/// The same for a name, whose hash depends on what the root says.
Result<IndexPath> find_in_index(Volume& volume, const DiskInode& inode, std::string_view name);
/// Where the next leaf's hashes begin, the lowest bit set when it goes on with the hash of the leaf before; nothing
/// behind the last.
[[nodiscard]] std::optional<u32> hash_of_next_leaf(const IndexPath& path);
/// Goes there.
Result<void> go_to_next_leaf(Volume& volume, const DiskInode& inode, IndexPath& path);

} // namespace linnet::ext4
