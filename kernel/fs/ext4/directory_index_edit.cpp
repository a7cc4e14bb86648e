// How a directory gets an index, and how the index grows. Like trees of extents it changes in steps that can't fail
// once they change anything.
#include "directory_edit.hpp"

#include "directory_block.hpp"
#include <algorithm>
#include <core/log.hpp>
#include <lib/crc32c.hpp>

namespace linnet::ext4 {

namespace {

/// An entry of a leaf that is to be split.
struct HashedEntry {
    u32 hash;
    usize offset;
    usize size;
};

void store_child(std::span<u8> block, usize begin, usize index, IndexNode::Entry entry) {
    u8* const place = block.data() + begin + index * sizeof(entry);
    // The first has the numbers of entries where others have a hash.
    if (index == 0)
        std::memcpy(place + offsetof(IndexNode::Entry, block), &entry.block, sizeof(entry.block));
    else
        std::memcpy(place, &entry, sizeof(entry));
}

void store_count(std::span<u8> block, usize begin, usize count) {
    const u16 stored = static_cast<u16>(count);
    std::memcpy(block.data() + begin + sizeof(u16), &stored, sizeof(stored));
}

/// Fills a block with entries that lie in `from`; the last one takes what is left.
void pack(std::span<u8> entries, std::span<const u8> from, std::span<const HashedEntry> items) {
    std::ranges::fill(entries, u8{0});
    usize offset = 0;
    for (usize i = 0; i < items.size(); ++i) {
        const auto raw = object_at<RawEntry>(from, items[i].offset);
        const std::string_view name(reinterpret_cast<const char*>(from.data()) + items[i].offset + sizeof(raw),
                                    raw.name_length);
        const usize length = i + 1 == items.size() ? entries.size() - offset : items[i].size;
        store_entry(entries, offset, length, raw.inode, name, raw.file_type);
        offset += length;
    }
    if (items.empty()) store_entry(entries, 0, entries.size(), 0, {}, 0);
}

} // namespace

/// Puts the checksum behind the last place for an entry.
void DirectoryEditor::seal_index(std::span<u8> block, usize begin) const {
    if (!volume().has_checksums()) return;
    const usize most = object_at<u16>(block, begin), count = object_at<u16>(block, begin + sizeof(u16));
    const usize end = begin + most * sizeof(IndexNode::Entry); // there is room behind it: checked when it was read
    u32 checksum = crc32c(edit_.inode.checksum_seed, block.first(begin + count * sizeof(IndexNode::Entry)));
    checksum = crc32c(checksum, block.subspan(end, sizeof(u32)));
    checksum = crc32c_of(checksum, u32{0});
    std::memcpy(block.data() + end + sizeof(u32), &checksum, sizeof(checksum));
}

void DirectoryEditor::start_node(std::span<u8> block, usize begin, usize count) const {
    const usize most = (block.size() - begin) / sizeof(IndexNode::Entry) - (volume().has_checksums() ? 1 : 0);
    const u16 stored = static_cast<u16>(most);
    std::memcpy(block.data() + begin, &stored, sizeof(stored));
    store_count(block, begin, count);
}

/// The entries of the only block go to a second one; the first becomes the root of an index of one leaf.
Result<void> DirectoryEditor::make_index() {
    const DirectoryBlock first = TRY(read_directory_block(volume(), edit_.inode, 0));
    TRY(check_dots(first.block.bytes()));
    const auto entries = first.block.bytes().first(end_of_entries());
    ArrayList<HashedEntry> moved;
    const EntryInBlock parent = TRY(entry_at(entries, least_entry, first.block.size()));
    for (usize offset = least_entry + parent.length; offset < entries.size();) {
        const EntryInBlock entry = TRY(entry_at(entries, offset, first.block.size()));
        if (entry.raw.inode) TRY(moved.try_push({0, offset, entry_size(entry.raw.name_length)}));
        offset += entry.length;
    }
    MutableBlock root = TRY(edit_.writer.change(first.number));
    NewBlock leaf = TRY(append_block());
    const auto bytes = root.bytes();
    pack(leaf.block.bytes().first(end_of_entries()), bytes, moved.span());
    seal_leaf(leaf.block.bytes());

    store_entry(bytes, least_entry, bytes.size() - least_entry, parent.raw.inode, "..", parent.raw.file_type);
    std::ranges::fill(bytes.subspan(IndexNode::root_info), u8{0});
    constexpr u8 half_md4 = 1, most_version = 2;
    const u8 wanted = volume().superblock().default_hash_version;
    bytes[IndexNode::root_info + IndexNode::version_place] = wanted > most_version ? half_md4 : wanted;
    bytes[IndexNode::root_info + IndexNode::info_size_place] = IndexNode::info_size;
    start_node(bytes, IndexNode::root_begin, 1);
    store_child(bytes, IndexNode::root_begin, 0, {0, static_cast<u32>(leaf.index)});
    seal_index(bytes, IndexNode::root_begin);
    edit_.inode.raw.flags |= inode_indexed;
    return {};
}

Result<void> DirectoryEditor::add_to_index(std::string_view name, u32 inode, u8 type) {
    constexpr int most_rounds = 64; // each halves a node or a leaf
    for (int round = 0; round < most_rounds; ++round) {
        IndexPath path = TRY(find_in_index(volume(), edit_.inode, name));
        if (path.leaf() == 0) return error(Errno::EUCLEAN);
        const DirectoryBlock leaf = TRY(read_directory_block(volume(), edit_.inode, path.leaf()));
        if (TRY(add_to_block(leaf, name, inode, type))) return {};
        if (path.last().is_full())
            TRY(make_room(path));
        else
            TRY(split_leaf(path, leaf));
    }
    return error(Errno::EUCLEAN);
}

Result<void> DirectoryEditor::make_room(IndexPath& path) {
    usize level = path.depth - 1;
    while (level > 0 && path.nodes[level - 1].is_full()) --level;
    return level == 0 ? deepen(path) : split_node(path, level);
}

/// The root's entries go to a node of their own.
Result<void> DirectoryEditor::deepen(IndexPath& path) {
    const IndexNode& root = path.nodes[0];
    const bool may_be_large = (volume().superblock().feature_incompat & incompat_large_directory) != 0;
    if (path.depth >= (may_be_large ? IndexPath::most_levels : IndexPath::most_levels - 1)) {
        core::log_warning("EXT4-fs ({}): the index of directory {} is full", volume().name(), edit_.inode.number);
        return error(Errno::ENOSPC);
    }
    MutableBlock changed = TRY(edit_.writer.change(root.at.number));
    NewBlock fresh = TRY(append_block());
    const auto node = fresh.block.bytes(), bytes = changed.bytes();
    store_entry(node, 0, node.size(), 0, {}, 0);
    start_node(node, IndexNode::begin_of_others, root.count);
    for (usize i = 0; i < root.count; ++i) store_child(node, IndexNode::begin_of_others, i, root.entry(i));
    seal_index(node, IndexNode::begin_of_others);

    store_count(bytes, root.begin, 1);
    store_child(bytes, root.begin, 0, {0, static_cast<u32>(fresh.index)});
    ++bytes[IndexNode::root_info + IndexNode::levels_place];
    seal_index(bytes, root.begin);
    return {};
}

/// A child behind the one that the path leads to.
void DirectoryEditor::insert_child(std::span<u8> block, const IndexNode& node, IndexNode::Entry child) const {
    const usize place = node.place + 1, size = sizeof(IndexNode::Entry);
    u8* const at = block.data() + node.begin + place * size;
    std::memmove(at + size, at, (node.count - place) * size);
    store_child(block, node.begin, place, child);
    store_count(block, node.begin, node.count + 1);
    seal_index(block, node.begin);
}

/// The upper half of a full node goes to a new one; the node above has room.
Result<void> DirectoryEditor::split_node(IndexPath& path, usize level) {
    const IndexNode& node = path.nodes[level];
    const IndexNode& above = path.nodes[level - 1];
    if (node.count < 2) return error(Errno::EUCLEAN);
    MutableBlock changed = TRY(edit_.writer.change(node.at.number));
    MutableBlock changed_above = TRY(edit_.writer.change(above.at.number));
    NewBlock fresh = TRY(append_block());
    const usize left = node.count / 2;
    const auto bytes = fresh.block.bytes();
    const u32 hash = node.entry(left).hash;
    store_entry(bytes, 0, bytes.size(), 0, {}, 0);
    start_node(bytes, IndexNode::begin_of_others, node.count - left);
    for (usize i = left; i < node.count; ++i) store_child(bytes, IndexNode::begin_of_others, i - left, node.entry(i));
    seal_index(bytes, IndexNode::begin_of_others);
    store_count(changed.bytes(), node.begin, left);
    seal_index(changed.bytes(), node.begin);
    insert_child(changed_above.bytes(), above, {hash, static_cast<u32>(fresh.index)});
    return {};
}

/// Names with the greater hashes go to a new leaf; the node above has room.
Result<void> DirectoryEditor::split_leaf(IndexPath& path, const DirectoryBlock& leaf) {
    ArrayList<u8> old;
    ArrayList<HashedEntry> items;
    const IndexNode& above = path.last();
    TRY(old.try_resize(leaf.block.size()));
    std::ranges::copy(leaf.block.bytes(), old.begin());
    const auto entries = old.span().first(end_of_entries());
    usize total = 0;
    for (usize offset = 0; offset < entries.size();) {
        const EntryInBlock entry = TRY(entry_at(entries, offset, old.size()));
        const usize size = entry_size(entry.raw.name_length);
        if (entry.raw.inode) TRY(items.try_push({path.hash_of(volume(), entry.name), offset, size}));
        if (entry.raw.inode) total += size;
        offset += entry.length;
    }
    if (items.size() < 2) return error(Errno::EUCLEAN); // which leave room for any name
    std::sort(items.begin(), items.end(), [](const HashedEntry& a, const HashedEntry& b) {
        return a.hash != b.hash ? a.hash < b.hash : a.offset < b.offset;
    });
    usize stay = 0;
    for (usize size = 0; stay < items.size() - 1 && size < total / 2; ++stay) size += items[stay].size;
    // The lowest bit says that names of this hash are in the leaf before, too.
    const u32 hash = items[stay].hash | (items[stay - 1].hash == items[stay].hash ? 1 : 0);

    MutableBlock changed = TRY(edit_.writer.change(leaf.number));
    MutableBlock changed_above = TRY(edit_.writer.change(above.at.number));
    NewBlock fresh = TRY(append_block());
    const std::span<const HashedEntry> all = items.span();
    pack(changed.bytes().first(end_of_entries()), old.span(), all.first(stay));
    pack(fresh.block.bytes().first(end_of_entries()), old.span(), all.subspan(stay));
    seal_leaf(changed.bytes());
    seal_leaf(fresh.block.bytes());
    insert_child(changed_above.bytes(), above, {hash, static_cast<u32>(fresh.index)});
    return {};
}

} // namespace linnet::ext4
