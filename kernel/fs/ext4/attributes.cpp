// Reading extended attributes.
#include "attributes.hpp"

#include <cstring>
#include <lib/crc32c.hpp>

namespace linnet::ext4 {

namespace {

constexpr u8 index_system = 7; // attributes that are ext4's own: system.data

/// By AttributeEntry::name_index. ACLs are whole names.
constexpr std::string_view prefixes[] = {
    {},          "user.",   "system.posix_acl_access", "system.posix_acl_default", "trusted.", {},
    "security.", "system.", "system.richacl"};

template <typename T>
T object_at(std::span<const u8> bytes, usize offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof(value));
    return value;
}

/// Calls `visit(entry, name, value)` for what is listed from `first` on; values' offsets count from `base`. `visit`
/// says whether to go on.
template <typename Visit>
Result<bool> for_each_entry(std::span<const u8> area, usize first, usize base, Visit visit) {
    for (usize at = first;;) {
        if (area.size() - at < sizeof(u32)) return error(Errno::EUCLEAN);
        if (object_at<u32>(area, at) == 0) return true; // the end of the list
        if (area.size() - at < sizeof(AttributeEntry)) return error(Errno::EUCLEAN);
        const auto entry = object_at<AttributeEntry>(area, at);
        const usize next = at + (sizeof(AttributeEntry) + entry.name_length + 3) / 4 * 4;
        if (next > area.size()) return error(Errno::EUCLEAN);
        // Values in inodes of their own come with a feature that is refused.
        if (entry.value_inode != 0 && entry.value_size != 0) return error(Errno::EUCLEAN);
        const usize begin = base + entry.value_offset;
        if (entry.value_size != 0 && (begin > area.size() || entry.value_size > area.size() - begin))
            return error(Errno::EUCLEAN);
        const std::string_view name(reinterpret_cast<const char*>(area.data()) + at + sizeof(AttributeEntry),
                                    entry.name_length);
        const auto value = entry.value_size ? area.subspan(begin, entry.value_size) : std::span<const u8>();
        if (!visit(entry, name, value)) return false;
        at = next;
    }
}

/// The attributes behind the inode's fields; nothing when there are none.
std::span<const u8> area_in_inode(const DiskInode& inode) {
    const usize begin = small_inode + inode.raw.extra_size;
    if (inode.bytes.size() <= small_inode || inode.bytes.size() - begin < 2 * sizeof(u32)) return {};
    const auto area = inode.bytes.span().subspan(begin);
    return object_at<u32>(area, 0) == attribute_magic ? area : std::span<const u8>();
}

Result<void> check_attribute_block(const Volume& volume, u64 number, const Block& block) {
    const auto& header = block.at<AttributeHeader>(0);
    if (header.magic != attribute_magic || header.blocks != 1) return error(Errno::EUCLEAN);
    if (!volume.has_checksums()) return {};
    constexpr usize place = offsetof(AttributeHeader, checksum);
    u32 value = crc32c_of(volume.checksum_seed(), number);
    value = crc32c(value, block.bytes().first(place));
    value = crc32c_of(value, u32{0});
    value = crc32c(value, block.bytes().subspan(place + sizeof(u32)));
    return value == header.checksum ? Result<void>{} : error(Errno::EBADMSG);
}

} // namespace

Result<void> list_attributes(Volume& volume, const DiskInode& inode, AttributeSink sink) {
    auto visit = [&](const AttributeEntry& entry, std::string_view name, std::span<const u8> value) {
        if (entry.name_index == index_system || entry.name_index >= std::size(prefixes) ||
            prefixes[entry.name_index].empty())
            return true;
        return sink({prefixes[entry.name_index], name, value});
    };
    const auto area = area_in_inode(inode);
    // There, unlike in a block, a value's offset counts from the first entry.
    if (!area.empty() && !TRY(for_each_entry(area, sizeof(u32), sizeof(u32), visit))) return {};
    const u64 number = joined(inode.raw.attributes_low, inode.raw.attributes_high);
    if (number == 0) return {};
    TRY(volume.check_blocks(number, 1));
    const Block block = TRY(volume.read_block(number));
    TRY(check_attribute_block(volume, number, block));
    TRY(for_each_entry(block.bytes(), sizeof(AttributeHeader), 0, visit));
    return {};
}

Result<std::span<const u8>> inline_data_behind_inode(const DiskInode& inode) {
    std::span<const u8> data;
    const auto area = area_in_inode(inode);
    if (area.empty()) return data;
    TRY(for_each_entry(area, sizeof(u32), sizeof(u32),
                       [&](const AttributeEntry& entry, std::string_view name, std::span<const u8> value) {
                           const bool is_data = entry.name_index == index_system && name == "data";
                           if (is_data) data = value;
                           return !is_data;
                       }));
    return data;
}

} // namespace linnet::ext4
