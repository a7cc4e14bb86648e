// Listing directories.
#include "directory.hpp"

#include "attributes.hpp"
#include "directory_block.hpp"
#include <algorithm>
#include <cstring>

namespace linnet::ext4 {

namespace {

bool is_dots(std::string_view name) {
    return !name.empty() && name[0] == '.' && (name.size() == 1 || (name.size() == 2 && name[1] == '.'));
}

bool can_be_name(std::string_view name) {
    bool is_bad = name.empty();
    for (const char c : name) is_bad |= c == '/' || c == '\0';
    return !is_bad;
}

/// `visit(raw, name, end)` for each entry, used or not, of a block's bytes until it answers false, which is then the
/// answer. EUCLEAN where the entries don't follow one another.
template <typename Visit>
Result<bool> visit_entries(std::span<const u8> bytes, usize block_size, Visit visit) {
    for (usize offset = 0; offset < bytes.size();) {
        if (bytes.size() - offset < sizeof(RawEntry)) return error(Errno::EUCLEAN);
        const auto raw = object_at<RawEntry>(bytes, offset);
        const usize length = record_length(raw.record_length, block_size);
        if (length < least_entry || length % 4 != 0 || length > bytes.size() - offset ||
            sizeof(RawEntry) + raw.name_length > length)
            return error(Errno::EUCLEAN);
        const std::string_view name(reinterpret_cast<const char*>(bytes.data()) + offset + sizeof(RawEntry),
                                    raw.name_length);
        offset += length;
        if (!visit(raw, name, offset)) return false;
    }
    return true;
}

} // namespace

/// Entries from `begin` on, which is the position of the first byte, that end behind `position`.
Result<Directory::Progress> Directory::list_entries(std::span<const u8> bytes, u64 begin, u64 position,
                                                    EntrySink sink) {
    const bool has_type = (volume_.superblock().feature_incompat & incompat_file_type) != 0;
    bool are_names = true;
    const bool goes_on = TRY(visit_entries(bytes, volume_.block_size(), [&](const RawEntry& raw, auto name, usize end) {
        if (raw.inode == 0 || begin + end <= position || is_dots(name)) return true;
        are_names = can_be_name(name);
        return are_names && sink({name, raw.inode, has_type ? raw.file_type : u8{0}, begin + end});
    }));
    if (!are_names) return error(Errno::EUCLEAN);
    return goes_on ? Progress::GoOn : Progress::Stop;
}

Result<Directory::Progress> Directory::list_block(u64 index, u64 position, EntrySink sink) {
    const Run run = TRY(map_blocks(volume_, inode_, index, 1));
    if (run.kind != Run::Kind::Data) return Progress::GoOn; // a hole has no entries
    const Block block = TRY(volume_.read_block(run.first));
    TRY(check_directory_block(volume_, inode_, block));
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

Result<void> Directory::list_blocks(u64 position, EntrySink sink) {
    const u64 blocks = inode_.size() >> volume_.block_shift();
    if (blocks > volume_.blocks()) return error(Errno::EUCLEAN); // whoever looks for a name should come to an end
    for (u64 index = position >> volume_.block_shift(); index < blocks; ++index)
        if (TRY(list_block(index, position, sink)) == Progress::Stop) break;
    return {};
}

/// The entries of a leaf, and of those that go on with its last hash, in the order of their positions.
struct Directory::Leaves {
    struct Item {
        u64 position;
        u16 block;
        u16 offset;
    };
    /// Behind the entry of this name. It stays so while entries around it come and go, and blocks are split. Nothing
    /// else has positions up to 2: they are those of "." and "..".
    static u64 position_of(NameHash hash) { return (u64{hash.major >> 1} << 32 | hash.minor) + 3; }
    static u32 hash_of(u64 position) { return position < 3 ? 0 : static_cast<u32>((position - 3) >> 32 << 1); }
    ArrayList<Block> blocks;
    ArrayList<Item> items;
};

Result<void> Directory::gather(u64 index, const IndexPath& path, u64 position, Leaves& leaves) {
    const u16 number = static_cast<u16>(leaves.blocks.size());
    TRY(leaves.blocks.try_push(TRY(read_directory_block(volume_, inode_, index)).block));
    const auto bytes = leaves.blocks.back().bytes();
    Result<void> pushed;
    TRY(list_entries(bytes, 0, 0, [&](const Entry& entry) {
        const u64 at = Leaves::position_of(path.hashes_of(volume_, entry.name));
        if (at <= position) return true;
        const auto offset = reinterpret_cast<const u8*>(entry.name.data()) - bytes.data() - sizeof(RawEntry);
        pushed = leaves.items.try_push({at, number, static_cast<u16>(offset)});
        return pushed.has_value();
    }));
    return pushed;
}

Result<Directory::Progress> Directory::list_gathered(Leaves& leaves, EntrySink sink) {
    std::sort(leaves.items.begin(), leaves.items.end(),
              [](const auto& a, const auto& b) { return a.position < b.position; });
    const bool has_type = (volume_.superblock().feature_incompat & incompat_file_type) != 0;
    for (const Leaves::Item& item : leaves.items) {
        const auto bytes = leaves.blocks[item.block].bytes().subspan(item.offset);
        const auto raw = object_at<RawEntry>(bytes, 0);
        const usize length = std::min<usize>(raw.name_length, bytes.size() - sizeof(raw)); // who writes to the device?
        const std::string_view name(reinterpret_cast<const char*>(bytes.data()) + sizeof(raw), length);
        if (!sink({name, raw.inode, has_type ? raw.file_type : u8{0}, item.position})) return Progress::Stop;
    }
    return Progress::GoOn;
}

/// By the hashes of names: so nothing is missed or told twice when blocks are split meanwhile.
Result<void> Directory::list_by_hash(IndexPath& path, u64 position, EntrySink sink) {
    u64 left = inode_.size() >> volume_.block_shift(); // leaves there can be
    for (;;) {
        Leaves leaves;
        for (std::optional<u32> next;;) {
            if (left-- == 0) return error(Errno::EUCLEAN);
            TRY(gather(path.leaf(), path, position, leaves));
            next = hash_of_next_leaf(path);
            if (!next || !(*next & 1)) break;
            TRY(go_to_next_leaf(volume_, inode_, path));
        }
        if (TRY(list_gathered(leaves, sink)) == Progress::Stop || !hash_of_next_leaf(path)) return {};
        TRY(go_to_next_leaf(volume_, inode_, path));
    }
}

Result<void> Directory::list(u64 position, EntrySink sink) {
    if (inode_.has(inode_inline_data)) {
        TRY(list_inline(position, sink));
        return {};
    }
    if (inode_.has(inode_indexed)) {
        auto path = find_in_index(volume_, inode_, Leaves::hash_of(position));
        if (path) return list_by_hash(*path, position, sink);
        if (path.error() != Errno::EUCLEAN) return error(path.error());
    }
    return list_blocks(position, sink);
}

Result<Directory::Found> Directory::find_in_block(u64 index, std::string_view name) {
    Found found;
    const Run run = TRY(map_blocks(volume_, inode_, index, 1));
    if (run.kind != Run::Kind::Data) return found;
    const Block block = TRY(volume_.read_block(run.first));
    TRY(check_directory_block(volume_, inode_, block));
    const u64 begin = index << volume_.block_shift();
    TRY(visit_entries(block.bytes(), volume_.block_size(), [&](const RawEntry& raw, auto other, usize end) {
        if (raw.inode == 0 || other != name) return true;
        found = {raw.inode, begin + end};
        return false;
    }));
    return found;
}

/// EUCLEAN when the index can't be used; the names are all there without it.
Result<Directory::Found> Directory::find_by_hash(std::string_view name) {
    IndexPath path = TRY(find_in_index(volume_, inode_, name));
    const u32 hash = path.hash_of(volume_, name);
    for (;;) {
        if (const Found found = TRY(find_in_block(path.leaf(), name)); found.inode) return found;
        // Names of one hash may fill several blocks: the next one's entry says so by its lowest bit.
        if (hash_of_next_leaf(path) != (hash | 1)) return error(Errno::ENOENT);
        TRY(go_to_next_leaf(volume_, inode_, path));
    }
}

Result<Directory::Found> Directory::locate(std::string_view name) {
    if (is_dots(name)) return error(Errno::ENOENT);
    if (inode_.has(inode_indexed) && !inode_.has(inode_inline_data)) {
        auto found = find_by_hash(name);
        if (found || found.error() != Errno::EUCLEAN) return found;
    }
    Found found;
    auto compare = [&](const Entry& entry) {
        if (entry.name != name) return true;
        found = {entry.inode, entry.position};
        return false;
    };
    if (inode_.has(inode_inline_data))
        TRY(list_inline(0, compare));
    else
        TRY(list_blocks(0, compare));
    if (found.inode == 0) return error(Errno::ENOENT);
    return found;
}

Result<u32> Directory::parent() {
    if (inode_.has(inode_inline_data)) {
        u32 number;
        std::memcpy(&number, inode_.raw.block, sizeof(number));
        return number;
    }
    const Run run = TRY(map_blocks(volume_, inode_, 0, 1));
    if (run.kind != Run::Kind::Data) return error(Errno::EUCLEAN);
    const Block block = TRY(volume_.read_block(run.first));
    TRY(check_directory_block(volume_, inode_, block));
    const EntryInBlock dot = TRY(entry_at(block.bytes(), 0, block.size()));
    const EntryInBlock above = TRY(entry_at(block.bytes(), least_entry, block.size()));
    if (dot.name != "." || dot.length != least_entry || above.name != "..") return error(Errno::EUCLEAN);
    return above.raw.inode;
}

} // namespace linnet::ext4
