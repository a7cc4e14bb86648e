// The superblock, the descriptors of the groups, and finding inodes.
#include "volume.hpp"

#include <algorithm>
#include <core/log.hpp>
#include <cstring>
#include <lib/crc32c.hpp>

namespace linnet::ext4 {

namespace {

constexpr u32 known_incompat = incompat_file_type | incompat_recover | incompat_meta_bg | incompat_extents |
                               incompat_64bit | incompat_mmp | incompat_flex_bg | incompat_checksum_seed |
                               incompat_large_directory | incompat_inline_data;

/// The names that mke2fs has for the features that are refused.
struct FeatureName {
    u32 bit;
    const char* name;
};
constexpr FeatureName refused_features[] = {
    {0x1, "compression"}, {0x8, "journal_dev"},  {0x400, "ea_inode"},
    {0x1000, "dirdata"},  {0x1'0000, "encrypt"}, {0x2'0000, "casefold"},
};

/// The checksum of descriptors before there were checksums of all metadata: CRC-16 (reflected, polynomial 0xa001).
u16 crc16(u16 value, std::span<const u8> bytes) {
    for (u8 byte : bytes) {
        value ^= byte;
        for (int bit = 0; bit < 8; ++bit) value = static_cast<u16>(value >> 1 ^ (value & 1 ? 0xa001 : 0));
    }
    return value;
}

bool is_power_of(u32 number, u32 base) {
    u64 power = 1;
    while (power < number) power *= base;
    return power == number;
}

} // namespace

Volume::Volume(mm::FileObject& device, std::string_view name) : device_(device) {
    name_length_ = std::min(name.size(), sizeof(name_));
    std::memcpy(name_, name.data(), name_length_);
}

Result<OwnPtr<Volume>> Volume::open(mm::FileObject& device, u64 device_bytes, std::string_view name) {
    OwnPtr<Volume> volume(new (std::nothrow) Volume(device, name));
    if (!volume) return error(Errno::ENOMEM);
    if (device_bytes < superblock_offset + sizeof(Superblock)) return error(Errno::EINVAL);
    // Pages are at least four times as large as what is wanted of the first.
    mm::PageRef page = TRY(device.get_page(0, arch::Access::Read));
    std::memcpy(&volume->superblock_, page.data<const u8>() + superblock_offset, sizeof(Superblock));
    if (volume->superblock_.magic != superblock_magic) return error(Errno::EINVAL);
    TRY(volume->check_features());
    TRY(volume->check_geometry(device_bytes));
    TRY(volume->read_descriptors());
    return volume;
}

u32 checksum_of(const Superblock& superblock) {
    return crc32c(~0u, {reinterpret_cast<const u8*>(&superblock), offsetof(Superblock, checksum)});
}

Result<void> Volume::check_features() const {
    const u32 unknown = superblock_.revision == 0 ? 0 : superblock_.feature_incompat & ~known_incompat;
    if (unknown) {
        for (const FeatureName& feature : refused_features)
            if (unknown & feature.bit)
                core::log_error("EXT4-fs ({}): the feature {} is not supported", name(), feature.name);
        core::log_error("EXT4-fs ({}): couldn't mount because of unsupported optional features ({:x})", name(),
                        unknown);
        return error(Errno::EINVAL);
    }
    if (!has_checksums()) return {};
    constexpr u8 checksum_type_crc32c = 1;
    if (superblock_.checksum_type != checksum_type_crc32c) return error(Errno::EINVAL);
    if (checksum_of(superblock_) == superblock_.checksum) return {};
    core::log_error("EXT4-fs ({}): the superblock's checksum is wrong", name());
    // It may have been half written when the machine stopped; then the journal has the whole of it.
    return needs_recovery() ? Result<void>{} : error(Errno::EBADMSG);
}

Result<void> Volume::check_geometry(u64 device_bytes) {
    const Superblock& on_disk = superblock_;
    if (on_disk.log_block_size > 6 || block_size() > arch::page_size) return error(Errno::EINVAL);
    const u32 bits = block_size() * 8;
    if (on_disk.revision != 0) {
        inode_size_ = on_disk.inode_size;
        if (!std::has_single_bit(inode_size_) || inode_size_ < small_inode || inode_size_ > block_size())
            return error(Errno::EINVAL);
    }
    if (on_disk.feature_incompat & incompat_64bit) {
        const u16 size = on_disk.descriptor_size;
        if (size < sizeof(GroupDescriptor) || size > 1024 || !std::has_single_bit(size)) return error(Errno::EINVAL);
    }
    // With clusters (bigalloc) a bit stands for a cluster; blocks are what all else counts.
    if (on_disk.log_cluster_size < on_disk.log_block_size || on_disk.log_cluster_size > 20) return error(Errno::EINVAL);
    const u64 per_group = u64{on_disk.clusters_per_group} << (on_disk.log_cluster_size - on_disk.log_block_size);
    if (on_disk.clusters_per_group == 0 || on_disk.clusters_per_group > bits || per_group != on_disk.blocks_per_group)
        return error(Errno::EINVAL);
    if (on_disk.inodes_per_group == 0 || on_disk.inodes_per_group > bits ||
        on_disk.inodes_per_group < block_size() / inode_size_)
        return error(Errno::EINVAL);
    blocks_ =
        joined(on_disk.blocks_count_low, on_disk.feature_incompat & incompat_64bit ? on_disk.blocks_count_high : 0);
    // Blocks of 1 KiB begin behind the boot sector's; clusters don't.
    const bool skips_first = block_size() == 1024 && !(on_disk.feature_ro_compat & ro_compat_clusters);
    if (on_disk.first_data_block != (skips_first ? 1u : 0u)) return error(Errno::EINVAL);
    if (blocks_ <= on_disk.first_data_block || blocks_ > device_bytes >> block_shift()) {
        core::log_error("EXT4-fs ({}): the file system has {} blocks, the device {}", name(), blocks_,
                        device_bytes >> block_shift());
        return error(Errno::EINVAL);
    }
    const u64 groups = divide_up<u64>(blocks_ - on_disk.first_data_block, on_disk.blocks_per_group);
    if (groups > ~u32{0} / sizeof(GroupDescriptor) || on_disk.inodes_count != groups * on_disk.inodes_per_group)
        return error(Errno::EINVAL);
    checksum_seed_ =
        on_disk.feature_incompat & incompat_checksum_seed ? on_disk.checksum_seed : crc32c(~0u, on_disk.uuid);
    return descriptors_.try_resize(groups);
}

usize Volume::descriptor_size() const {
    return superblock_.feature_incompat & incompat_64bit ? superblock_.descriptor_size : small_descriptor;
}

bool Volume::has_superblock(u32 group) const {
    constexpr u32 compat_sparse_super2 = 0x200;
    if (group == 0) return true;
    if (superblock_.feature_compat & compat_sparse_super2)
        return group == superblock_.backup_groups[0] || group == superblock_.backup_groups[1];
    if (group == 1 || !(superblock_.feature_ro_compat & ro_compat_sparse_super)) return true;
    return is_power_of(group, 3) || is_power_of(group, 5) || is_power_of(group, 7);
}

/// Where the block of descriptors lies: behind the superblock, or, with meta_bg, at the beginning of its own groups.
u64 Volume::descriptor_block(u32 index) const {
    const u64 behind_superblock = superblock_offset / block_size() + 1;
    if (!(superblock_.feature_incompat & incompat_meta_bg) || index < superblock_.first_meta_group)
        return behind_superblock + index;
    const u64 group = u64{index} * (block_size() / descriptor_size());
    if (group == 0) return behind_superblock;
    const bool is_behind_copy = group < groups() && has_superblock(static_cast<u32>(group));
    return superblock_.first_data_block + group * superblock_.blocks_per_group + (is_behind_copy ? 1 : 0);
}

u16 Volume::descriptor_checksum(u32 group, std::span<const u8> bytes) const {
    constexpr usize place = offsetof(GroupDescriptor, checksum);
    const auto behind = bytes.subspan(place + sizeof(u16));
    if (has_checksums()) {
        u32 value = crc32c_of(checksum_seed_, group);
        value = crc32c(value, bytes.first(place));
        value = crc32c_of(value, u16{0});
        return static_cast<u16>(crc32c(value, behind));
    }
    if (!has_descriptor_checksums()) return 0;
    u16 value = crc16(0xffff, superblock_.uuid);
    value = crc16(value, {reinterpret_cast<const u8*>(&group), sizeof(group)});
    value = crc16(value, bytes.first(place));
    return crc16(value, behind);
}

Result<void> Volume::check_descriptor(u32 group, std::span<const u8> bytes) const {
    u16 stored;
    std::memcpy(&stored, bytes.data() + offsetof(GroupDescriptor, checksum), sizeof(stored));
    if (!has_descriptor_checksums() || stored == descriptor_checksum(group, bytes)) return {};
    core::log_error("EXT4-fs ({}): the checksum of group {}'s descriptor is wrong", name(), group);
    return error(Errno::EBADMSG);
}

Volume::Place Volume::descriptor_place(u32 group) const {
    const u32 in_block = static_cast<u32>(block_size() / descriptor_size());
    return {descriptor_block(group / in_block), group % in_block * descriptor_size(), descriptor_size()};
}

Result<void> Volume::read_descriptors() {
    Block block;
    for (u32 group = 0; group < groups(); ++group) {
        const Place place = descriptor_place(group);
        if (place.offset == 0) block = TRY(read_block(place.block));
        const auto bytes = block.bytes().subspan(place.offset, place.size);
        TRY(check_descriptor(group, bytes));
        GroupDescriptor& descriptor = descriptors_[group];
        descriptor = {};
        std::memcpy(&descriptor, bytes.data(), std::min(bytes.size(), sizeof(descriptor)));
        TRY(check_blocks(inode_table(group), inode_table_blocks()));
    }
    return {};
}

Result<void> Volume::check_blocks(u64 first, u64 count) const {
    const bool is_inside = first > superblock_.first_data_block && first < blocks_ && count <= blocks_ - first;
    return is_inside ? Result<void>{} : error(Errno::EUCLEAN);
}

Result<Block> Volume::read_block(u64 number) {
    if (number >= blocks_) return error(Errno::EUCLEAN);
    const u64 offset = number << block_shift();
    mm::PageRef page = TRY(device_.get_page(offset >> arch::page_shift, arch::Access::Read));
    return Block(std::move(page), offset & (arch::page_size - 1), block_size());
}

Result<DiskInode> Volume::read_inode(u32 number) {
    if (number != root_inode && number < first_inode()) return error(Errno::EUCLEAN);
    return read_inode(number, Links::Some);
}

Result<DiskInode> Volume::read_orphan(u32 number) {
    if (number < first_inode()) return error(Errno::EUCLEAN);
    return read_inode(number, Links::None);
}

Volume::Place Volume::inode_place(u32 number) const {
    const u32 group = (number - 1) / superblock_.inodes_per_group;
    const u64 offset = u64{(number - 1) % superblock_.inodes_per_group} * inode_size_;
    return {inode_table(group) + (offset >> block_shift()), offset & (block_size() - 1), inode_size_};
}

Result<DiskInode> Volume::read_inode(u32 number, Links links) {
    if (number == 0 || number > superblock_.inodes_count) return error(Errno::EUCLEAN);
    const Place place = inode_place(number);
    Block block = TRY(read_block(place.block));
    const auto bytes = block.bytes().subspan(place.offset, place.size);
    DiskInode inode;
    inode.number = number;
    TRY(inode.bytes.try_resize(bytes.size()));
    {
        core::SpinGuard guard(inodes_lock);
        std::memcpy(inode.bytes.begin(), bytes.data(), bytes.size());
    }
    std::memcpy(&inode.raw, inode.bytes.begin(), std::min(bytes.size(), sizeof(RawInode)));
    TRY(check_inode(inode, links));
    return inode;
}

u32 Volume::inode_checksum_seed(u32 number, u32 generation) const {
    return has_checksums() ? crc32c_of(crc32c_of(checksum_seed_, number), generation) : 0;
}

/// Over all bytes, with zeros in its own place.
u32 Volume::inode_checksum(u32 seed, std::span<const u8> bytes, Halves halves) const {
    constexpr usize low_place = offsetof(RawInode, checksum_low), high_place = offsetof(RawInode, checksum_high);
    const u16 none = 0;
    u32 value = crc32c(seed, bytes.first(low_place));
    value = crc32c_of(value, none);
    if (halves == Halves::Lower) return crc32c(value, bytes.subspan(low_place + 2)) & 0xffff;
    value = crc32c(value, bytes.subspan(low_place + 2, high_place - low_place - 2));
    value = crc32c_of(value, none);
    return crc32c(value, bytes.subspan(high_place + 2));
}

Result<void> Volume::check_inode(DiskInode& inode, Links links) const {
    RawInode& raw = inode.raw;
    if (inode.bytes.size() == small_inode) raw.extra_size = 0;
    if (raw.extra_size % 4 != 0 || small_inode + raw.extra_size > inode.bytes.size()) return error(Errno::EUCLEAN);
    inode.checksum_seed = inode_checksum_seed(inode.number, raw.generation);
    if (has_checksums()) {
        const bool has_high = inode.reaches(offsetof(RawInode, checksum_high) + sizeof(u16));
        const u32 stored = raw.checksum_low | (has_high ? u32{raw.checksum_high} << 16 : 0);
        if (stored != inode_checksum(inode)) {
            core::log_error("EXT4-fs ({}): the checksum of inode {} is wrong", name(), inode.number);
            return error(Errno::EBADMSG);
        }
    }
    if (raw.mode == 0 || (raw.link_count == 0 && links == Links::Some)) return error(Errno::ESTALE);
    if (static_cast<i64>(inode.size()) < 0) return error(Errno::EUCLEAN);
    return {};
}

Volume::FreeCounts Volume::free_counts() const {
    FreeCounts counts;
    for (const GroupDescriptor& descriptor : descriptors_) {
        counts.blocks += descriptor.free_blocks_low | u32{descriptor.free_blocks_high} << 16;
        counts.inodes += descriptor.free_inodes_low | u32{descriptor.free_inodes_high} << 16;
    }
    counts.blocks <<= superblock_.log_cluster_size - superblock_.log_block_size;
    return counts;
}

u32 Volume::superblocks_and_descriptors(u32 group) const {
    const u32 in_block = static_cast<u32>(block_size() / descriptor_size());
    const bool has_copy = has_superblock(group);
    const u32 meta_group = group / in_block;
    if (!(superblock_.feature_incompat & incompat_meta_bg) || meta_group < superblock_.first_meta_group) {
        if (!has_copy) return 0;
        const u32 blocks = superblock_.feature_incompat & incompat_meta_bg ? superblock_.first_meta_group
                                                                           : divide_up<u32>(groups(), in_block);
        return 1 + blocks + superblock_.reserved_descriptor_blocks;
    }
    const u32 place = group % in_block;
    const bool has_descriptors = place == 0 || place == 1 || place == in_block - 1;
    return (has_copy ? 1u : 0u) + (has_descriptors ? 1u : 0u);
}

u64 Volume::overhead_blocks() const {
    const u32 ratio_shift = superblock_.log_cluster_size - superblock_.log_block_size;
    if (superblock_.overhead_clusters) return u64{superblock_.overhead_clusters} << ratio_shift;
    u64 sum = superblock_.first_data_block + groups() * (inode_table_blocks() + 2);
    for (u32 group = 0; group < groups(); ++group) sum += superblocks_and_descriptors(group);
    return sum;
}

} // namespace linnet::ext4
