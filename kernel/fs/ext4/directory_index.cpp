// Finding the way in a directory's index.
#include "directory_index.hpp"

#include <lib/crc32c.hpp>

namespace linnet::ext4 {

namespace {

Result<void> check_sum(const DiskInode& inode, const Block& block) {
    const std::span<const u8> bytes = block.bytes();
    const usize tail = bytes.size() - checksum_entry_bytes;
    const auto entry = object_at<RawEntry>(bytes, tail);
    const bool is_leaf = entry.inode == 0 && entry.record_length == checksum_entry_bytes && entry.name_length == 0 &&
                         entry.file_type == checksum_entry_type;
    if (is_leaf) {
        const bool is_right = crc32c(inode.checksum_seed, bytes.first(tail)) == object_at<u32>(bytes, tail + 8);
        return is_right ? Result<void>{} : error(Errno::EBADMSG);
    }
    // The index: behind "." and ".." in the root, behind one empty entry in other nodes.
    if (!inode.has(inode_indexed)) return error(Errno::EBADMSG);
    const usize place = object_at<RawEntry>(bytes, 0).record_length == bytes.size() ? IndexNode::begin_of_others
                                                                                    : IndexNode::root_begin;
    const usize most = object_at<u16>(bytes, place), count = object_at<u16>(bytes, place + 2);
    const usize end = place + most * sizeof(IndexNode::Entry);
    if (count > most || end + 8 > bytes.size()) return error(Errno::EUCLEAN);
    u32 value = crc32c(inode.checksum_seed, bytes.first(place + count * sizeof(IndexNode::Entry)));
    value = crc32c(value, bytes.subspan(end, 4));
    value = crc32c_of(value, u32{0});
    return value == object_at<u32>(bytes, end + 4) ? Result<void>{} : error(Errno::EBADMSG);
}

} // namespace

Result<void> check_directory_block(const Volume& volume, const DiskInode& inode, const Block& block) {
    if (!volume.has_checksums() || block.is_checked()) return {};
    TRY(check_sum(inode, block));
    block.set_checked();
    return {};
}

Result<DirectoryBlock> read_directory_block(Volume& volume, const DiskInode& inode, u64 index) {
    const Run run = TRY(map_blocks(volume, inode, index, 1));
    if (run.kind != Run::Kind::Data) return error(Errno::EUCLEAN);
    DirectoryBlock result{run.first, TRY(volume.read_block(run.first))};
    TRY(check_directory_block(volume, inode, result.block));
    return result;
}

void IndexNode::seek(u32 hash) {
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

namespace {

Result<void> read_node(Volume& volume, const DiskInode& inode, u64 index, IndexNode& node) {
    node.at = TRY(read_directory_block(volume, inode, index));
    node.begin = index == 0 ? IndexNode::root_begin : IndexNode::begin_of_others;
    node.place = 0;
    const auto bytes = node.bytes();
    if (index == 0 && bytes[IndexNode::root_info + IndexNode::info_size_place] != IndexNode::info_size)
        return error(Errno::EUCLEAN);
    node.most = object_at<u16>(bytes, node.begin);
    node.count = object_at<u16>(bytes, node.begin + 2);
    if (node.count == 0 || node.count > node.most || node.begin + node.most * sizeof(IndexNode::Entry) > bytes.size())
        return error(Errno::EUCLEAN);
    return {};
}

/// Nodes of the index are blocks of the directory, other than the root.
Result<void> read_child(Volume& volume, const DiskInode& inode, const IndexNode& above, IndexNode& node) {
    return above.child() == 0 ? error(Errno::EUCLEAN) : read_node(volume, inode, above.child(), node);
}

Result<void> read_root(Volume& volume, const DiskInode& inode, IndexPath& path) {
    IndexNode& root = path.nodes[0];
    TRY(read_node(volume, inode, 0, root));
    const u8* info = root.bytes().data() + IndexNode::root_info;
    path.depth = info[IndexNode::levels_place] + 1u;
    if (path.depth > IndexPath::most_levels) return error(Errno::EUCLEAN);
    constexpr u8 signed_versions = 3;
    const u8 version = info[IndexNode::version_place];
    const bool is_unsigned = (volume.superblock().flags & flag_unsigned_hash) != 0 && version < signed_versions;
    path.version = static_cast<HashVersion>(version + (is_unsigned ? signed_versions : 0));
    if (path.version > HashVersion::TeaUnsigned) return error(Errno::EUCLEAN);
    return {};
}

Result<void> go_down(Volume& volume, const DiskInode& inode, u32 hash, IndexPath& path) {
    path.nodes[0].seek(hash);
    for (usize level = 1; level < path.depth; ++level) {
        TRY(read_child(volume, inode, path.nodes[level - 1], path.nodes[level]));
        path.nodes[level].seek(hash);
    }
    return {};
}

/// The lowest level that has entries behind the path's; -1 when none has.
int level_that_goes_on(const IndexPath& path) {
    int level = static_cast<int>(path.depth) - 1;
    while (level >= 0 && path.nodes[level].place + 1 == path.nodes[level].count) --level;
    return level;
}

} // namespace

NameHash IndexPath::hashes_of(const Volume& volume, std::string_view name) const {
    return *hash_name(name, version, volume.superblock().hash_seed); // read_root() has found the version known
}

Result<IndexPath> find_in_index(Volume& volume, const DiskInode& inode, u32 hash) {
    IndexPath path;
    TRY(read_root(volume, inode, path));
    TRY(go_down(volume, inode, hash, path));
    return path;
}

Result<IndexPath> find_in_index(Volume& volume, const DiskInode& inode, std::string_view name) {
    IndexPath path;
    TRY(read_root(volume, inode, path));
    TRY(go_down(volume, inode, path.hash_of(volume, name), path));
    return path;
}

std::optional<u32> hash_of_next_leaf(const IndexPath& path) {
    const int level = level_that_goes_on(path);
    if (level < 0) return std::nullopt;
    const IndexNode& node = path.nodes[level];
    return node.entry(node.place + 1).hash;
}

Result<void> go_to_next_leaf(Volume& volume, const DiskInode& inode, IndexPath& path) {
    const int level = level_that_goes_on(path);
    VERIFY(level >= 0);
    ++path.nodes[level].place;
    for (usize below = static_cast<usize>(level) + 1; below < path.depth; ++below)
        TRY(read_child(volume, inode, path.nodes[below - 1], path.nodes[below]));
    return {};
}

} // namespace linnet::ext4
