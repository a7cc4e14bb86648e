// Entries that come and go, in directories without an index, and in the leaves of one. The index itself grows in
// directory_index_edit.cpp.
#include "directory_edit.hpp"

#include "directory_block.hpp"
#include "file_blocks.hpp"
#include <algorithm>
#include <lib/crc32c.hpp>

namespace linnet::ext4 {

Result<EntryInBlock> entry_at(std::span<const u8> entries, usize offset, usize block_size) {
    if (entries.size() - offset < sizeof(RawEntry)) return error(Errno::EUCLEAN);
    EntryInBlock entry{offset, 0, object_at<RawEntry>(entries, offset), {}};
    entry.length = record_length(entry.raw.record_length, block_size);
    if (entry.length < least_entry || entry.length % 4 != 0 || entry.length > entries.size() - offset ||
        sizeof(RawEntry) + entry.raw.name_length > entry.length)
        return error(Errno::EUCLEAN);
    entry.name = {reinterpret_cast<const char*>(entries.data()) + offset + sizeof(RawEntry), entry.raw.name_length};
    return entry;
}

void store_entry(std::span<u8> block, usize offset, usize length, u32 inode, std::string_view name, u8 type) {
    const RawEntry raw{inode, static_cast<u16>(length > 0xffff ? 0xffff : length), static_cast<u8>(name.size()), type};
    std::memcpy(block.data() + offset, &raw, sizeof(raw));
    if (!name.empty()) std::memcpy(block.data() + offset + sizeof(raw), name.data(), name.size());
}

usize DirectoryEditor::end_of_entries() const {
    return volume().block_size() - (volume().has_checksums() ? checksum_entry_bytes : 0);
}

u8 DirectoryEditor::stored_type(u8 type) const {
    return volume().superblock().feature_incompat & incompat_file_type ? type : u8{0};
}

Result<void> DirectoryEditor::check_kind() const {
    return edit_.inode.has(inode_inline_data) ? error(Errno::EOPNOTSUPP) : Result<void>{};
}

/// Puts the checksum behind the entries of a block.
void DirectoryEditor::seal_leaf(std::span<u8> block) const {
    if (!volume().has_checksums()) return;
    const usize tail = end_of_entries();
    store_entry(block, tail, checksum_entry_bytes, 0, {}, checksum_entry_type);
    const u32 checksum = crc32c(edit_.inode.checksum_seed, block.first(tail));
    std::memcpy(block.data() + tail + sizeof(RawEntry), &checksum, sizeof(checksum));
}

/// A block of zeros at the end. With an error the directory is as before.
Result<DirectoryEditor::NewBlock> DirectoryEditor::append_block() {
    const u64 index = blocks(), size = (index + 1) << volume().block_shift();
    const bool may_be_large = (volume().superblock().feature_incompat & incompat_large_directory) != 0;
    if (size > ~u32{0} && !may_be_large) return error(Errno::ENOSPC);
    auto run = allocate_file_blocks(edit_, index, 1, Run::Kind::Data);
    if (!run) return error(run.error() == Errno::EEXIST ? Errno::EUCLEAN : run.error());
    auto block = edit_.writer.fresh(run->first);
    if (!block) {
        (void)free_last_blocks(edit_, index, index + 1);
        return error(block.error());
    }
    edit_.inode.raw.size_low = static_cast<u32>(size);
    edit_.inode.raw.size_high = static_cast<u32>(size >> 32);
    return NewBlock{index, std::move(*block)};
}

Result<void> DirectoryEditor::start(u32 parent) {
    VERIFY(edit_.inode.size() == 0);
    NewBlock first = TRY(append_block());
    const auto bytes = first.block.bytes();
    constexpr u8 type_directory = 2;
    store_entry(bytes, 0, least_entry, edit_.inode.number, ".", stored_type(type_directory));
    store_entry(bytes, least_entry, end_of_entries() - least_entry, parent, "..", stored_type(type_directory));
    seal_leaf(bytes);
    return {};
}

/// A place with room for a name.
Result<std::optional<DirectoryEditor::Slot>> DirectoryEditor::find_slot(std::span<const u8> block,
                                                                        usize name_length) const {
    const auto entries = block.first(end_of_entries());
    for (usize offset = 0; offset < entries.size();) {
        const EntryInBlock entry = TRY(entry_at(entries, offset, block.size()));
        const usize used = entry.raw.inode ? entry_size(entry.raw.name_length) : 0;
        if (entry.length - std::min(used, entry.length) >= entry_size(name_length)) return Slot{offset, used};
        offset += entry.length;
    }
    return std::nullopt;
}

void DirectoryEditor::fill_slot(std::span<u8> block, Slot slot, std::string_view name, u32 inode, u8 type) const {
    auto raw = object_at<RawEntry>(block, slot.offset);
    usize length = record_length(raw.record_length, block.size());
    if (slot.used > 0) {
        raw.record_length = static_cast<u16>(slot.used);
        std::memcpy(block.data() + slot.offset, &raw, sizeof(raw));
        length -= slot.used;
    }
    store_entry(block, slot.offset + slot.used, length, inode, name, stored_type(type));
    seal_leaf(block);
}

/// False when there is no room.
Result<bool> DirectoryEditor::add_to_block(const DirectoryBlock& block, std::string_view name, u32 inode, u8 type) {
    const auto slot = TRY(find_slot(block.block.bytes(), name.size()));
    if (!slot) return false;
    MutableBlock changed = TRY(edit_.writer.change(block.number));
    fill_slot(changed.bytes(), *slot, name, inode, type);
    return true;
}

Result<void> DirectoryEditor::add_to_end(std::string_view name, u32 inode, u8 type) {
    NewBlock fresh = TRY(append_block());
    store_entry(fresh.block.bytes(), 0, end_of_entries(), inode, name, stored_type(type));
    seal_leaf(fresh.block.bytes());
    return {};
}

Result<void> DirectoryEditor::add(std::string_view name, u32 inode, u8 type) {
    VERIFY(!name.empty() && name.size() <= 255);
    TRY(check_kind());
    if (edit_.inode.has(inode_indexed)) return add_to_index(name, inode, type);
    if (blocks() > volume().blocks()) return error(Errno::EUCLEAN);
    for (u64 index = 0; index < blocks(); ++index) {
        const Run run = TRY(map_blocks(volume(), edit_.inode, index, 1));
        if (run.kind != Run::Kind::Data) continue;
        const DirectoryBlock block = TRY(read_directory_block(volume(), edit_.inode, index));
        if (TRY(add_to_block(block, name, inode, type))) return {};
    }
    if (blocks() != 1 || !(volume().superblock().feature_compat & compat_directory_index))
        return add_to_end(name, inode, type);
    TRY(make_index());
    return add_to_index(name, inode, type);
}

/// The entry of a name, which ends at `end` of the directory.
Result<DirectoryEditor::FoundEntry> DirectoryEditor::find_entry(std::string_view name, u64 end) {
    const u64 index = (end - 1) >> volume().block_shift();
    const usize end_in_block = end - (index << volume().block_shift());
    const DirectoryBlock block = TRY(read_directory_block(volume(), edit_.inode, index));
    const auto entries = block.block.bytes().first(end_of_entries());
    FoundEntry found;
    for (usize offset = 0; offset < entries.size();) {
        const EntryInBlock entry = TRY(entry_at(entries, offset, block.block.size()));
        if (offset + entry.length == end_in_block && entry.name == name) {
            found.offset = offset;
            found.block = TRY(edit_.writer.change(block.number));
            return found;
        }
        found.before = offset;
        offset += entry.length;
    }
    return error(Errno::EUCLEAN);
}

Result<u32> DirectoryEditor::remove(std::string_view name) {
    TRY(check_kind());
    const Directory::Found place = TRY(Directory(volume(), edit_.inode).locate(name));
    FoundEntry found = TRY(find_entry(name, place.end));
    const auto bytes = found.block.bytes();
    auto entry = object_at<RawEntry>(bytes, found.offset);
    if (found.before) {
        auto before = object_at<RawEntry>(bytes, *found.before);
        const usize length =
            record_length(before.record_length, bytes.size()) + record_length(entry.record_length, bytes.size());
        before.record_length = static_cast<u16>(length > 0xffff ? 0xffff : length);
        std::memcpy(bytes.data() + *found.before, &before, sizeof(before));
    }
    entry.inode = 0;
    std::memcpy(bytes.data() + found.offset, &entry, sizeof(entry));
    seal_leaf(bytes);
    return place.inode;
}

Result<u32> DirectoryEditor::replace(std::string_view name, u32 inode, u8 type) {
    TRY(check_kind());
    const Directory::Found place = TRY(Directory(volume(), edit_.inode).locate(name));
    FoundEntry found = TRY(find_entry(name, place.end));
    const auto bytes = found.block.bytes();
    auto entry = object_at<RawEntry>(bytes, found.offset);
    entry.inode = inode;
    if (volume().superblock().feature_incompat & incompat_file_type) entry.file_type = type;
    std::memcpy(bytes.data() + found.offset, &entry, sizeof(entry));
    seal_leaf(bytes);
    return place.inode;
}

Result<void> DirectoryEditor::set_parent(u32 parent) {
    TRY(check_kind());
    const DirectoryBlock first = TRY(read_directory_block(volume(), edit_.inode, 0));
    TRY(check_dots(first.block.bytes()));
    MutableBlock block = TRY(edit_.writer.change(first.number));
    std::memcpy(block.bytes().data() + least_entry, &parent, sizeof(parent));
    if (edit_.inode.has(inode_indexed))
        seal_index(block.bytes(), IndexNode::root_begin);
    else
        seal_leaf(block.bytes());
    return {};
}

Result<void> DirectoryEditor::check_dots(std::span<const u8> block) const {
    const EntryInBlock dot = TRY(entry_at(block, 0, block.size()));
    if (dot.length != least_entry || dot.name != ".") return error(Errno::EUCLEAN);
    const EntryInBlock parent = TRY(entry_at(block, least_entry, block.size()));
    return parent.name == ".." ? Result<void>{} : error(Errno::EUCLEAN);
}

Result<bool> DirectoryEditor::is_empty() const {
    bool is_empty = true;
    TRY(Directory(volume(), edit_.inode).list(0, [&](const Entry&) { return is_empty = false; }));
    return is_empty;
}

Result<void> add_link(const Volume& volume, DiskInode& inode) {
    u16& count = inode.raw.link_count;
    const bool is_directory = (inode.raw.mode & mode_kind) == mode_directory;
    const bool may_be_many =
        is_directory && inode.has(inode_indexed) && (volume.superblock().feature_ro_compat & ro_compat_many_links);
    if (is_directory && count == 1) return {}; // not counted any more
    if (count >= most_links && !may_be_many) return error(Errno::EMLINK);
    count = count >= most_links ? u16{1} : static_cast<u16>(count + 1);
    return {};
}

void remove_link(DiskInode& inode) {
    const u16 least = (inode.raw.mode & mode_kind) == mode_directory ? 2 : 0;
    if (inode.raw.link_count > least) --inode.raw.link_count;
}

} // namespace linnet::ext4
