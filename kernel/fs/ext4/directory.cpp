// Listing directories.
//
// A directory with an index (a tree of hashes) is one without it to whoever doesn't know: the blocks of the index look
// as if they held one large empty entry.
#include "directory.hpp"

#include "attributes.hpp"
#include "directory_hash.hpp"
#include <cstring>
#include <lib/crc32c.hpp>

namespace linnet::ext4 {

namespace {

bool is_dots(std::string_view name) { return name == "." || name == ".."; }

/// The number at a place that need not be aligned.
template <typename T>
T number_at(std::span<const u8> bytes, usize offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof(value));
    return value;
}

/// Blocks of 64 KiB have no room for their own size in a record's length.
constexpr usize record_length(u16 stored, usize block_size) {
    return block_size == 0x1'0000 && (stored == 0 || stored == 0xffff) ? block_size : stored;
}

} // namespace

/// Whether the checksum at the end of a block of entries, or of a block of the index, is right.
Result<void> Directory::check_block(const Block& block) const {
    if (!volume_.has_checksums()) return {};
    const std::span<const u8> bytes = block.bytes();
    const usize tail = bytes.size() - checksum_entry_bytes;
    const auto entry = number_at<RawEntry>(bytes, tail);
    const bool is_leaf = entry.inode == 0 && entry.record_length == checksum_entry_bytes && entry.name_length == 0 &&
                         entry.file_type == checksum_entry_type;
    if (is_leaf) {
        const bool is_right = crc32c(inode_.checksum_seed, bytes.first(tail)) == number_at<u32>(bytes, tail + 8);
        return is_right ? Result<void>{} : error(Errno::EBADMSG);
    }
    // The index: behind "." and ".." in the root, behind one empty entry in other nodes.
    if (!inode_.has(inode_indexed)) return error(Errno::EBADMSG);
    constexpr usize root_place = 32, node_place = 8;
    const usize place = number_at<RawEntry>(bytes, 0).record_length == bytes.size() ? node_place : root_place;
    const usize most = number_at<u16>(bytes, place), count = number_at<u16>(bytes, place + 2);
    const usize end = place + most * 8;
    if (count > most || end + 8 > bytes.size()) return error(Errno::EUCLEAN);
    u32 value = crc32c(inode_.checksum_seed, bytes.first(place + count * 8));
    value = crc32c(value, bytes.subspan(end, 4));
    value = crc32c_of(value, u32{0});
    return value == number_at<u32>(bytes, end + 4) ? Result<void>{} : error(Errno::EBADMSG);
}

/// Entries from `begin` on, which is the position of the first byte, that end behind `position`.
Result<Directory::Progress> Directory::list_entries(std::span<const u8> bytes, u64 begin, u64 position,
                                                    EntrySink sink) {
    for (usize offset = 0; offset < bytes.size();) {
        if (bytes.size() - offset < sizeof(RawEntry)) return error(Errno::EUCLEAN);
        const auto raw = number_at<RawEntry>(bytes, offset);
        const usize length = record_length(raw.record_length, volume_.block_size());
        if (length < 12 || length % 4 != 0 || length > bytes.size() - offset ||
            sizeof(RawEntry) + raw.name_length > length)
            return error(Errno::EUCLEAN);
        const std::string_view name(reinterpret_cast<const char*>(bytes.data()) + offset + sizeof(RawEntry),
                                    raw.name_length);
        offset += length;
        if (raw.inode == 0 || begin + offset <= position || is_dots(name)) continue;
        if (name.empty() || name.find('/') != name.npos || name.find('\0') != name.npos) return error(Errno::EUCLEAN);
        const bool has_type = (volume_.superblock().feature_incompat & incompat_file_type) != 0;
        if (!sink({name, raw.inode, has_type ? raw.file_type : u8{0}, begin + offset})) return Progress::Stop;
    }
    return Progress::GoOn;
}

Result<Directory::Progress> Directory::list_block(u64 index, u64 position, EntrySink sink) {
    const Run run = TRY(map_blocks(volume_, inode_, index, 1));
    if (run.kind != Run::Kind::Data) return Progress::GoOn; // a hole has no entries
    const Block block = TRY(volume_.read_block(run.first));
    TRY(check_block(block));
    return list_entries(block.bytes(), index << volume_.block_shift(), position, sink);
}

/// In the inode's 60 bytes: the parent's number, entries; more of them in an attribute.
Result<Directory::Progress> Directory::list_inline(u64 position, EntrySink sink) {
    constexpr usize parent_bytes = 4;
    const auto first = std::span<const u8>(inode_.raw.block).subspan(parent_bytes);
    if (TRY(list_entries(first, parent_bytes, position, sink)) == Progress::Stop) return Progress::Stop;
    const auto more = TRY(inline_data_behind_inode(inode_));
    return list_entries(more, inode_block_bytes, position, sink);
}

Result<void> Directory::list(u64 position, EntrySink sink) {
    if (inode_.has(inode_inline_data)) {
        TRY(list_inline(position, sink));
        return {};
    }
    const u64 blocks = inode_.size() >> volume_.block_shift();
    if (blocks > volume_.blocks()) return error(Errno::EUCLEAN); // whoever looks for a name should come to an end
    for (u64 index = position >> volume_.block_shift(); index < blocks; ++index)
        if (TRY(list_block(index, position, sink)) == Progress::Stop) break;
    return {};
}

/// A node of the index, and where in it a hash leads.
struct Directory::IndexNode {
    struct Entry {
        u32 hash;
        u32 block; // of the directory
    };
    Block block;
    usize begin; // of the entries; the first has the numbers of entries in place of a hash
    usize count;
    usize place;
    u8 version = 0, levels = 0; // of a root: the hash, and how many levels are below

    [[nodiscard]] Entry entry(usize at) const { return number_at<Entry>(block.bytes(), begin + at * sizeof(Entry)); }
    [[nodiscard]] u32 child() const { return entry(place).block; }
    /// Goes to the entry for which the hash of what it leads to is not greater than `hash`.
    void seek(u32 hash) {
        usize low = 1, high = count;
        while (low < high) {
            const usize middle = (low + high) / 2;
            if (entry(middle).hash <= hash)
                low = middle + 1;
            else
                high = middle;
        }
        place = low - 1;
    }
};

/// The node in a block of the directory; block 0 has the root. EUCLEAN when there is no sense in it.
Result<Directory::IndexNode> Directory::index_node(u64 index, u32 hash) {
    IndexNode node{TRY(read_file_block(volume_, inode_, index)), 0, 0, 0};
    TRY(check_block(node.block));
    const auto bytes = node.block.bytes();
    node.begin = sizeof(RawEntry);
    if (index == 0) {
        constexpr usize info = 24, info_bytes = 8; // behind "." and ".."
        node.version = bytes[info + 4];
        node.levels = bytes[info + 6];
        if (bytes[info + 5] != info_bytes) return error(Errno::EUCLEAN);
        node.begin = info + info_bytes;
    }
    const usize most = number_at<u16>(bytes, node.begin);
    node.count = number_at<u16>(bytes, node.begin + 2);
    if (node.count == 0 || node.count > most || node.begin + most * sizeof(IndexNode::Entry) > bytes.size())
        return error(Errno::EUCLEAN);
    node.seek(hash);
    return node;
}

Result<u32> Directory::find_in_block(u64 index, std::string_view name) {
    u32 found = 0;
    TRY(list_block(index, 0, [&](const Entry& entry) {
        if (entry.name != name) return true;
        found = entry.inode;
        return false;
    }));
    return found;
}

/// EUCLEAN when the index can't be used; the names are all there without it.
Result<u32> Directory::find_by_hash(std::string_view name) {
    constexpr usize most_levels = 3;
    const Superblock& on_disk = volume_.superblock();
    IndexNode path[most_levels];
    path[0] = TRY(index_node(0, 0));
    const usize depth = path[0].levels + 1u;
    if (depth > most_levels) return error(Errno::EUCLEAN);
    constexpr u8 signed_versions = 3;
    const bool is_unsigned = (on_disk.flags & flag_unsigned_hash) != 0 && path[0].version < signed_versions;
    const auto version = static_cast<HashVersion>(path[0].version + (is_unsigned ? signed_versions : 0));
    const auto hash = hash_name(name, version, on_disk.hash_seed);
    if (!hash) return error(Errno::EUCLEAN);
    path[0].seek(*hash);
    for (usize level = 1; level < depth; ++level) path[level] = TRY(index_node(path[level - 1].child(), *hash));
    for (;;) {
        if (const u32 found = TRY(find_in_block(path[depth - 1].child(), name))) return found;
        // Names of one hash may fill several blocks: the next one's entry says so by its lowest bit.
        usize level = depth;
        while (level > 0 && path[level - 1].place + 1 == path[level - 1].count) --level;
        if (level == 0) return error(Errno::ENOENT);
        IndexNode& node = path[level - 1];
        ++node.place;
        if (node.entry(node.place).hash != (*hash | 1)) return error(Errno::ENOENT);
        for (; level < depth; ++level) path[level] = TRY(index_node(path[level - 1].child(), 0));
    }
}

Result<u32> Directory::find(std::string_view name) {
    if (is_dots(name)) return error(Errno::ENOENT);
    if (inode_.has(inode_indexed) && !inode_.has(inode_inline_data)) {
        auto found = find_by_hash(name);
        if (found || found.error() != Errno::EUCLEAN) return found;
    }
    u32 found = 0;
    TRY(list(0, [&](const Entry& entry) {
        if (entry.name != name) return true;
        found = entry.inode;
        return false;
    }));
    if (found == 0) return error(Errno::ENOENT);
    return found;
}

} // namespace linnet::ext4
