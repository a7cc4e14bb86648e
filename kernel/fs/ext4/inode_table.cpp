// Making and storing inodes.
#include "inode_table.hpp"

#include <algorithm>
#include <cstring>

namespace linnet::ext4 {

Result<InodePlace> InodePlace::change(Volume& volume, MetadataWriter& writer, u32 number) {
    if (number == 0 || number > volume.superblock().inodes_count) return error(Errno::EUCLEAN);
    return InodePlace(volume, number, TRY(writer.change(volume.inode_place(number).block)));
}

std::span<u8> InodePlace::bytes() {
    const Volume::Place place = volume_->inode_place(number_);
    return block_.bytes().subspan(place.offset, place.size);
}

void InodePlace::store_locked(DiskInode& inode) {
    VERIFY(inode.number == number_ && inode.bytes.size() == bytes().size());
    RawInode& raw = inode.raw;
    const usize used = std::min<usize>(small_inode + raw.extra_size, sizeof(RawInode));
    std::memcpy(inode.bytes.begin(), &raw, used);
    if (volume_->has_checksums()) {
        const u32 checksum = volume_->inode_checksum(inode);
        raw.checksum_low = static_cast<u16>(checksum);
        if (inode.reaches(offsetof(RawInode, checksum_high) + sizeof(u16)))
            raw.checksum_high = static_cast<u16>(checksum >> 16);
        std::memcpy(inode.bytes.begin(), &raw, used);
    }
    std::memcpy(bytes().data(), inode.bytes.begin(), bytes().size());
}

void InodePlace::store(DiskInode& inode) {
    const core::SpinGuard guard(volume_->inodes_lock);
    std::memcpy(&inode.raw.deletion_time, bytes().data() + offsetof(RawInode, deletion_time), sizeof(u32));
    store_locked(inode);
}

void InodePlace::store_new(DiskInode& inode) {
    const core::SpinGuard guard(volume_->inodes_lock);
    store_locked(inode);
}

void InodePlace::store_deletion_time(u32 value) {
    const core::SpinGuard guard(volume_->inodes_lock);
    const auto place = bytes();
    std::memcpy(place.data() + offsetof(RawInode, deletion_time), &value, sizeof(value));
    if (!volume_->has_checksums()) return;
    RawInode raw{};
    std::memcpy(&raw, place.data(), std::min(place.size(), sizeof(raw)));
    const bool has_extra = place.size() > small_inode;
    const usize extra = has_extra ? raw.extra_size : 0;
    const bool has_high = small_inode + extra >= offsetof(RawInode, checksum_high) + sizeof(u16);
    const u32 checksum = volume_->inode_checksum(volume_->inode_checksum_seed(number_, raw.generation), place,
                                                 has_high ? Volume::Halves::Both : Volume::Halves::Lower);
    raw.checksum_low = static_cast<u16>(checksum);
    std::memcpy(place.data() + offsetof(RawInode, checksum_low), &raw.checksum_low, sizeof(u16));
    if (!has_high) return;
    raw.checksum_high = static_cast<u16>(checksum >> 16);
    std::memcpy(place.data() + offsetof(RawInode, checksum_high), &raw.checksum_high, sizeof(u16));
}

Result<void> write_inode(Volume& volume, MetadataWriter& writer, DiskInode& inode) {
    TRY(InodePlace::change(volume, writer, inode.number)).store(inode);
    return {};
}

Result<DiskInode> make_inode(const Volume& volume, const NewInode& what) {
    const Superblock& on_disk = volume.superblock();
    DiskInode inode;
    inode.number = what.number;
    TRY(inode.bytes.try_resize(volume.inode_size()));
    inode.checksum_seed = volume.inode_checksum_seed(what.number, what.generation);
    RawInode& raw = inode.raw;
    raw.mode = what.mode;
    raw.uid_low = static_cast<u16>(what.uid), raw.uid_high = static_cast<u16>(what.uid >> 16);
    raw.gid_low = static_cast<u16>(what.gid), raw.gid_high = static_cast<u16>(what.gid >> 16);
    raw.link_count = 1;
    raw.generation = what.generation;
    raw.flags = what.flags;
    if (volume.inode_size() > small_inode) {
        usize extra = sizeof(RawInode) - small_inode;
        const usize most = volume.inode_size() - small_inode;
        if (on_disk.feature_ro_compat & ro_compat_extra_size) {
            extra = std::max<usize>({extra, on_disk.least_extra_size, on_disk.wanted_extra_size});
            if (extra > most || extra % 4 != 0) extra = sizeof(RawInode) - small_inode;
        }
        raw.extra_size = static_cast<u16>(extra);
    }
    const u16 kind = what.mode & mode_kind;
    const bool has_blocks = kind == mode_regular || kind == mode_directory || kind == mode_symlink;
    if (has_blocks && (on_disk.feature_incompat & incompat_extents)) {
        raw.flags |= inode_extents;
        const ExtentHeader header{extent_magic, 0, (inode_block_bytes - sizeof(ExtentHeader)) / sizeof(Extent), 0, 0};
        std::memcpy(raw.block, &header, sizeof(header));
    }
    return inode;
}

Result<void> add_to_block_count(const Volume& volume, DiskInode& inode, i64 blocks) {
    RawInode& raw = inode.raw;
    const bool is_huge_known = (volume.superblock().feature_ro_compat & ro_compat_huge_file) != 0;
    const u32 sectors_shift = volume.block_shift() - 9;
    const bool counts_blocks = is_huge_known && inode.has(inode_huge_file);
    const i64 delta = counts_blocks ? blocks : blocks << sectors_shift;
    u64 count = raw.blocks_low | (is_huge_known ? u64{raw.blocks_high} << 32 : 0);
    count = delta < 0 && static_cast<u64>(-delta) > count ? 0 : count + static_cast<u64>(delta);
    constexpr u64 most_low = ~u32{0}, most = (u64{1} << 48) - 1;
    if (count > most_low && !is_huge_known) return error(Errno::EFBIG);
    if (count > most) {
        if (counts_blocks) return error(Errno::EFBIG);
        count >>= sectors_shift;
        raw.flags |= inode_huge_file;
    }
    raw.blocks_low = static_cast<u32>(count);
    if (is_huge_known) raw.blocks_high = static_cast<u16>(count >> 32);
    return {};
}

} // namespace linnet::ext4
