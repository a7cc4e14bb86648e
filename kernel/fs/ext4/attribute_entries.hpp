// How attributes lie on the disk, for those who read and those who change them.
#pragma once

#include "volume.hpp"
#include <cstring>
#include <string_view>

namespace linnet::ext4 {

inline constexpr u8 attribute_index_system = 7; // attributes that are ext4's own: system.data

/// By AttributeEntry::name_index. ACLs are whole names.
inline constexpr std::string_view attribute_prefixes[] = {
    {},          "user.",   "system.posix_acl_access", "system.posix_acl_default", "trusted.", {},
    "security.", "system.", "system.richacl"};

constexpr usize attribute_entry_size(usize name_length) { return (sizeof(AttributeEntry) + name_length + 3) / 4 * 4; }
constexpr usize attribute_value_size(usize size) { return (size + 3) / 4 * 4; }

/// Calls `visit(entry, name, value)` for what is listed from `first` on; values' offsets count from `base`. `visit`
/// says whether to go on. EUCLEAN.
template <typename Visit>
Result<bool> for_each_attribute(std::span<const u8> area, usize first, usize base, Visit visit) {
    for (usize at = first;;) {
        if (area.size() - at < sizeof(u32)) return error(Errno::EUCLEAN);
        if (object_at<u32>(area, at) == 0) return true; // the end of the list
        if (area.size() - at < sizeof(AttributeEntry)) return error(Errno::EUCLEAN);
        const auto entry = object_at<AttributeEntry>(area, at);
        const usize next = at + attribute_entry_size(entry.name_length);
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
std::span<const u8> attributes_in_inode(const DiskInode& inode);
/// The block with an inode's other attributes, its checksum right. EUCLEAN, EBADMSG, EIO, ENOMEM, EINTR.
Result<Block> read_attribute_block(Volume& volume, u64 number);
u32 attribute_block_checksum(const Volume& volume, u64 number, std::span<const u8> block);

} // namespace linnet::ext4
