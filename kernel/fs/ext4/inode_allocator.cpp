// Giving out inodes.
#include "allocator.hpp"

#include "bitmap.hpp"
#include <algorithm>
#include <lib/crc32c.hpp>

namespace linnet::ext4 {

namespace {

u64 inode_bitmap_of(const GroupDescriptor& group) { return joined(group.inode_bitmap_low, group.inode_bitmap_high); }

} // namespace

u32 Allocator::free_inodes_in(u32 group) const {
    const GroupDescriptor& descriptor = volume_.descriptor(group);
    return descriptor.free_inodes_low | u32{descriptor.free_inodes_high} << 16;
}

/// As it is before there are inodes.
void Allocator::make_inode_bitmap(std::span<u8> bits) const {
    const usize count = volume_.superblock().inodes_per_group;
    std::ranges::fill(bits, u8{0});
    fill_bits(bits, count, bits.size() * 8 - count, true);
}

Result<void> Allocator::check_inode_bitmap(u32 group, std::span<const u8> bits) const {
    const GroupDescriptor& descriptor = volume_.descriptor(group);
    const usize count = volume_.superblock().inodes_per_group;
    if (volume_.has_checksums() && !is_unwritten(group, group_inodes_unwritten)) {
        const bool has_high = volume_.descriptor_place(group).size >= sizeof(GroupDescriptor);
        const u32 stored =
            descriptor.inode_bitmap_checksum_low | (has_high ? u32{descriptor.inode_bitmap_checksum_high} << 16 : 0);
        const u32 wanted = crc32c(volume_.checksum_seed(), bits.first(count / 8));
        if (stored != (has_high ? wanted : wanted & 0xffff)) return error(Errno::EBADMSG);
    }
    return count_clear(bits, count) == free_inodes_in(group) ? Result<void>{} : error(Errno::EUCLEAN);
}

/// Puts the bitmap of inodes into the scratch area. False: the group is damaged.
Result<bool> Allocator::load_inodes(u32 group) {
    Group& state = groups_[group];
    if (state.inodes == Group::State::Damaged) return false;
    if (is_unwritten(group, group_inodes_unwritten)) {
        make_inode_bitmap(scratch_.span());
    } else {
        const u64 place = inode_bitmap_of(volume_.descriptor(group));
        auto block = volume_.check_blocks(place, 1).and_then([&] { return volume_.read_block(place); });
        if (!block) return settle(state.inodes, group, error(block.error()));
        std::ranges::copy(block->bytes(), scratch_.begin());
    }
    if (state.inodes == Group::State::Good) return true;
    return settle(state.inodes, group, check_inode_bitmap(group, scratch_.span()));
}

Result<Allocator::Edit> Allocator::change_inode_bitmap(MetadataWriter& writer, u32 group) {
    GroupPlace place = TRY(GroupPlace::change(volume_, writer, group));
    const u64 number = inode_bitmap_of(place.descriptor());
    if (!is_unwritten(group, group_inodes_unwritten)) return Edit{std::move(place), TRY(writer.change(number))};
    MutableBlock bitmap = TRY(writer.fresh(number));
    make_inode_bitmap(bitmap.bytes());
    return Edit{std::move(place), std::move(bitmap)};
}

/// `freed` is 1, or -1 for what is allocated.
void Allocator::store_inodes(Edit& edit, i64 freed, InodeKind kind) {
    GroupDescriptor& descriptor = edit.place.descriptor();
    const u32 free = static_cast<u32>(free_inodes_in(edit.place.group()) + freed);
    descriptor.free_inodes_low = static_cast<u16>(free);
    descriptor.free_inodes_high = static_cast<u16>(free >> 16);
    if (kind == InodeKind::Directory) {
        const u32 directories = descriptor.used_directories_low | u32{descriptor.used_directories_high} << 16;
        const u32 now = freed > 0 && directories == 0 ? 0 : static_cast<u32>(directories - freed);
        descriptor.used_directories_low = static_cast<u16>(now);
        descriptor.used_directories_high = static_cast<u16>(now >> 16);
    }
    if (volume_.has_checksums()) {
        const u32 value =
            crc32c(volume_.checksum_seed(), edit.bitmap.bytes().first(volume_.superblock().inodes_per_group / 8));
        descriptor.inode_bitmap_checksum_low = static_cast<u16>(value);
        descriptor.inode_bitmap_checksum_high = static_cast<u16>(value >> 16);
    }
    edit.place.store();
    free_inodes_.fetch_add(static_cast<u64>(freed), std::memory_order_relaxed);
}

/// What is put in the root will grow to trees of its own: where there are few directories and much room.
std::optional<u32> Allocator::group_for_top_directory() const {
    const Volume::FreeCounts counts = free_counts();
    const u64 usual_inodes = counts.inodes / volume_.groups(), usual_blocks = counts.blocks / volume_.groups();
    std::optional<u32> best;
    auto directories = [&](u32 group) {
        const GroupDescriptor& descriptor = volume_.descriptor(group);
        return descriptor.used_directories_low | u32{descriptor.used_directories_high} << 16;
    };
    for (u32 group = 0; group < volume_.groups(); ++group) {
        if (groups_[group].inodes == Group::State::Damaged || free_inodes_in(group) == 0) continue;
        if (free_inodes_in(group) < usual_inodes || free_blocks_in(group) < usual_blocks) continue;
        if (!best || directories(group) < directories(*best)) best = group;
    }
    return best;
}

/// The first group from `first` on that has so much room.
std::optional<u32> Allocator::group_near(u32 first, u32 least_inodes, u32 least_blocks) const {
    for (u32 i = 0; i < volume_.groups(); ++i) {
        const u32 group = static_cast<u32>((u64{first} + i) % volume_.groups());
        if (groups_[group].inodes == Group::State::Damaged) continue;
        if (free_inodes_in(group) >= least_inodes && free_blocks_in(group) >= least_blocks) return group;
    }
    return std::nullopt;
}

Result<u32> Allocator::find_inode_group(u32 parent, InodeKind kind) const {
    const Volume::FreeCounts counts = free_counts();
    const u32 home = (parent - 1) / volume_.superblock().inodes_per_group;
    std::optional<u32> group;
    if (kind == InodeKind::Directory && parent == root_inode) group = group_for_top_directory();
    if (!group && kind == InodeKind::Directory) {
        // Where its files have a chance to find room beside it.
        const auto half_of = [&](u64 sum) { return static_cast<u32>(sum / volume_.groups() / 2); };
        group = group_near(home, std::max(1u, half_of(counts.inodes)), half_of(counts.blocks));
    }
    if (!group) group = group_near(home, 1, 1);
    if (!group) group = group_near(home, 1, 0);
    if (!group) return error(Errno::ENOSPC);
    return *group;
}

/// Nothing when the group turns out to be of no use.
Result<std::optional<u32>> Allocator::take_inode(MetadataWriter& writer, u32 group, InodeKind kind) {
    if (!TRY(load_inodes(group))) return std::nullopt;
    const u32 per_group = volume_.superblock().inodes_per_group;
    const u64 before = u64{group} * per_group;
    const usize from = volume_.first_inode() - 1 > before ? volume_.first_inode() - 1 - before : 0;
    const usize bit = find_bit(scratch_.span(), std::min<usize>(from, per_group), per_group, false);
    if (bit == per_group) {
        // The free ones are among those that the file system keeps to itself, and says that it uses.
        groups_[group].inodes = Group::State::Damaged;
        return std::nullopt;
    }
    Edit edit = TRY(change_inode_bitmap(writer, group));
    fill_bits(edit.bitmap.bytes(), bit, 1, true);
    GroupDescriptor& descriptor = edit.place.descriptor();
    if (volume_.has_descriptor_checksums()) {
        u32 unused = descriptor.unused_inodes_low | u32{descriptor.unused_inodes_high} << 16;
        if (is_unwritten(group, group_inodes_unwritten)) unused = per_group;
        unused = std::min(unused, static_cast<u32>(per_group - bit - 1));
        descriptor.unused_inodes_low = static_cast<u16>(unused);
        descriptor.unused_inodes_high = static_cast<u16>(unused >> 16);
        descriptor.flags &= static_cast<u16>(~group_inodes_unwritten);
    }
    store_inodes(edit, -1, kind);
    return static_cast<u32>(before + bit + 1);
}

Result<u32> Allocator::allocate_inode(MetadataWriter& writer, u32 parent, InodeKind kind) {
    VERIFY(parent > 0 && parent <= volume_.superblock().inodes_count);
    const core::MutexGuard guard(lock_);
    // A group that proves damaged is not found again.
    for (;;) {
        const u32 group = TRY(find_inode_group(parent, kind));
        if (const auto number = TRY(take_inode(writer, group, kind))) return *number;
    }
}

Result<void> Allocator::free_inode(MetadataWriter& writer, u32 number, InodeKind kind) {
    if (number < volume_.first_inode() || number > volume_.superblock().inodes_count) return error(Errno::EUCLEAN);
    const u32 per_group = volume_.superblock().inodes_per_group;
    const u32 group = (number - 1) / per_group, bit = (number - 1) % per_group;
    const core::MutexGuard guard(lock_);
    if (!TRY(load_inodes(group)) || !has_bit(scratch_.span(), bit)) return error(Errno::EUCLEAN);
    Edit edit = TRY(change_inode_bitmap(writer, group));
    fill_bits(edit.bitmap.bytes(), bit, 1, false);
    store_inodes(edit, 1, kind);
    return {};
}

} // namespace linnet::ext4
