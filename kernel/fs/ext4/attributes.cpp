// Reading extended attributes.
#include "attributes.hpp"

#include "attribute_entries.hpp"
#include <lib/crc32c.hpp>

namespace linnet::ext4 {

/// Inodes of the old size have none.
std::span<const u8> attributes_in_inode(const DiskInode& inode) {
    const usize begin = small_inode + inode.raw.extra_size;
    if (inode.bytes.size() <= small_inode || inode.bytes.size() - begin < 2 * sizeof(u32)) return {};
    const auto area = inode.bytes.span().subspan(begin);
    return object_at<u32>(area, 0) == attribute_magic ? area : std::span<const u8>();
}

bool has_attributes(const DiskInode& inode) {
    return !attributes_in_inode(inode).empty() || joined(inode.raw.attributes_low, inode.raw.attributes_high) != 0;
}

u32 attribute_block_checksum(const Volume& volume, u64 number, std::span<const u8> block) {
    constexpr usize place = offsetof(AttributeHeader, checksum);
    u32 value = crc32c_of(volume.checksum_seed(), number);
    value = crc32c(value, block.first(place));
    value = crc32c_of(value, u32{0});
    return crc32c(value, block.subspan(place + sizeof(u32)));
}

Result<Block> read_attribute_block(Volume& volume, u64 number) {
    TRY(volume.check_blocks(number, 1));
    Block block = TRY(volume.read_block(number));
    const auto& header = block.at<AttributeHeader>(0);
    if (header.magic != attribute_magic || header.blocks != 1) return error(Errno::EUCLEAN);
    if (volume.has_checksums() && attribute_block_checksum(volume, number, block.bytes()) != header.checksum)
        return error(Errno::EBADMSG);
    return block;
}

Result<void> list_attributes(Volume& volume, const DiskInode& inode, AttributeSink sink) {
    auto visit = [&](const AttributeEntry& entry, std::string_view name, std::span<const u8> value) {
        if (entry.name_index == attribute_index_system || entry.name_index >= std::size(attribute_prefixes) ||
            attribute_prefixes[entry.name_index].empty())
            return true;
        return sink({attribute_prefixes[entry.name_index], name, value});
    };
    const auto area = attributes_in_inode(inode);
    // There, unlike in a block, a value's offset counts from the first entry.
    if (!area.empty() && !TRY(for_each_attribute(area, sizeof(u32), sizeof(u32), visit))) return {};
    const u64 number = joined(inode.raw.attributes_low, inode.raw.attributes_high);
    if (number == 0) return {};
    const core::MutexGuard guard(volume.attributes_lock); // another inode that shares the block may change its count
    const Block block = TRY(read_attribute_block(volume, number));
    TRY(for_each_attribute(block.bytes(), sizeof(AttributeHeader), 0, visit));
    return {};
}

Result<std::span<const u8>> inline_data_behind_inode(const DiskInode& inode) {
    std::span<const u8> data;
    const auto area = attributes_in_inode(inode);
    if (area.empty()) return data;
    TRY(for_each_attribute(area, sizeof(u32), sizeof(u32),
                           [&](const AttributeEntry& entry, std::string_view name, std::span<const u8> value) {
                               const bool is_data = entry.name_index == attribute_index_system && name == "data";
                               if (is_data) data = value;
                               return !is_data;
                           }));
    return data;
}

} // namespace linnet::ext4
