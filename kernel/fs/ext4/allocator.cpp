// The state of groups, and their blocks. Inodes are in inode_allocator.cpp.
#include "allocator.hpp"

#include "bitmap.hpp"
#include <algorithm>
#include <core/log.hpp>
#include <cstring>
#include <lib/crc32c.hpp>

namespace linnet::ext4 {

namespace {

u32 bitmap_checksum(const Volume& volume, std::span<const u8> bits, usize count) {
    return crc32c(volume.checksum_seed(), bits.first(count / 8));
}

/// Sets the bits behind the last of a group, which stand for nothing.
void fill_rest(std::span<u8> bits, usize count) { fill_bits(bits, count, bits.size() * 8 - count, true); }

u64 block_bitmap_of(const GroupDescriptor& group) { return joined(group.block_bitmap_low, group.block_bitmap_high); }

} // namespace

Result<OwnPtr<Allocator>> Allocator::create(Volume& volume) {
    OwnPtr<Allocator> allocator(new (std::nothrow) Allocator(volume));
    if (!allocator) return error(Errno::ENOMEM);
    TRY(allocator->check_features());
    TRY(allocator->groups_.try_resize(volume.groups()));
    TRY(allocator->scratch_.try_resize(volume.block_size()));
    TRY(allocator->find_zones());
    const Volume::FreeCounts counts = volume.free_counts();
    allocator->free_blocks_.store(counts.blocks, std::memory_order_relaxed);
    allocator->free_inodes_.store(counts.inodes, std::memory_order_relaxed);
    return allocator;
}

Allocator::~Allocator() {
    while (Busy* record = busy_.pop_front()) delete record;
}

Result<void> Allocator::check_features() const {
    constexpr u32 known = ro_compat_sparse_super | ro_compat_large_file | ro_compat_huge_file |
                          ro_compat_group_checksum | ro_compat_many_links | ro_compat_extra_size |
                          ro_compat_metadata_checksum | ro_compat_orphans_in_file;
    const u32 features = volume_.superblock().revision == 0 ? 0 : volume_.superblock().feature_ro_compat;
    if (!(features & ~known)) return {};
    core::log_error("EXT4-fs ({}): couldn't mount RDWR because of unsupported optional features ({:x})", volume_.name(),
                    features & ~known);
    return error(Errno::EROFS);
}

/// Notes where metadata of the groups lies: no file may have it, whatever the bitmaps say.
Result<void> Allocator::find_zones() {
    for (u32 group = 0; group < volume_.groups(); ++group) {
        const GroupDescriptor& descriptor = volume_.descriptor(group);
        const u64 first = volume_.first_block_of(group), table = volume_.inode_table(group);
        const u64 blocks = block_bitmap_of(descriptor);
        const u64 inodes = joined(descriptor.inode_bitmap_low, descriptor.inode_bitmap_high);
        if (const u32 copies = volume_.superblocks_and_descriptors(group))
            TRY(zones_.try_push({first, first + copies}));
        TRY(zones_.try_push({table, table + volume_.inode_table_blocks()}));
        if (volume_.check_blocks(blocks, 1)) TRY(zones_.try_push({blocks, blocks + 1}));
        if (volume_.check_blocks(inodes, 1)) TRY(zones_.try_push({inodes, inodes + 1}));
    }
    std::sort(zones_.begin(), zones_.end(), [](const Zone& a, const Zone& b) { return a.begin < b.begin; });
    usize kept = 0;
    for (const Zone& zone : zones_) {
        if (kept > 0 && zone.begin <= zones_[kept - 1].end)
            zones_[kept - 1].end = std::max(zones_[kept - 1].end, zone.end);
        else
            zones_[kept++] = zone;
    }
    return zones_.try_resize(kept);
}

bool Allocator::is_in_zone(u64 first, u64 count) const {
    const Zone* zone = std::upper_bound(zones_.begin(), zones_.end(), first,
                                        [](u64 block, const Zone& zone) { return block < zone.end; });
    return zone != zones_.end() && zone->begin < first + count;
}

u32 Allocator::group_of(u64 block) const {
    const Superblock& on_disk = volume_.superblock();
    return static_cast<u32>((block - on_disk.first_data_block) / on_disk.blocks_per_group);
}

usize Allocator::blocks_in(u32 group) const {
    return std::min<u64>(volume_.superblock().blocks_per_group, volume_.blocks() - volume_.first_block_of(group));
}

u32 Allocator::free_blocks_in(u32 group) const {
    const GroupDescriptor& descriptor = volume_.descriptor(group);
    return descriptor.free_blocks_low | u32{descriptor.free_blocks_high} << 16;
}

bool Allocator::is_unwritten(u32 group, u16 flag) const {
    return volume_.has_descriptor_checksums() && (volume_.descriptor(group).flags & flag) != 0;
}

/// As it is before any file has blocks there.
void Allocator::make_block_bitmap(u32 group, std::span<u8> bits) const {
    std::ranges::fill(bits, u8{0});
    const usize count = blocks_in(group);
    const u64 begin = volume_.first_block_of(group), end = begin + count;
    const Zone* zone = std::upper_bound(zones_.begin(), zones_.end(), begin,
                                        [](u64 block, const Zone& zone) { return block < zone.end; });
    for (; zone != zones_.end() && zone->begin < end; ++zone) {
        const u64 first = std::max(zone->begin, begin), last = std::min(zone->end, end);
        fill_bits(bits, first - begin, last - first, true);
    }
    fill_rest(bits, count);
}

Result<void> Allocator::check_block_bitmap(u32 group, std::span<const u8> bits) const {
    const GroupDescriptor& descriptor = volume_.descriptor(group);
    if (volume_.has_checksums() && !is_unwritten(group, group_blocks_unwritten)) {
        const bool has_high = volume_.descriptor_place(group).size >= sizeof(GroupDescriptor);
        const u32 stored =
            descriptor.block_bitmap_checksum_low | (has_high ? u32{descriptor.block_bitmap_checksum_high} << 16 : 0);
        const u32 wanted = bitmap_checksum(volume_, bits, volume_.superblock().blocks_per_group);
        if (stored != (has_high ? wanted : wanted & 0xffff)) return error(Errno::EBADMSG);
    }
    const usize count = blocks_in(group);
    const u64 begin = volume_.first_block_of(group), end = begin + count;
    for (const Zone& zone : zones_) {
        if (zone.end <= begin || zone.begin >= end) continue;
        const u64 first = std::max(zone.begin, begin), last = std::min(zone.end, end);
        if (find_bit(bits, first - begin, last - begin, false) != last - begin) return error(Errno::EUCLEAN);
    }
    return count_clear(bits, count) == free_blocks_in(group) ? Result<void>{} : error(Errno::EUCLEAN);
}

/// Whether the group can be used; what doesn't speak against it is an error.
Result<bool> Allocator::settle(Group::State& state, u32 group, Result<void> outcome) {
    if (outcome) {
        state = Group::State::Good;
        return true;
    }
    if (outcome.error() == Errno::ENOMEM || outcome.error() == Errno::EINTR) return error(outcome.error());
    state = Group::State::Damaged;
    core::log_error("EXT4-fs ({}): the bitmaps of group {} are damaged, it is left alone", volume_.name(), group);
    return false;
}

/// Puts what is not to be given out into the scratch area. False: the group is damaged.
Result<bool> Allocator::load_blocks(u32 group) {
    Group& state = groups_[group];
    if (state.blocks == Group::State::Damaged) return false;
    if (is_unwritten(group, group_blocks_unwritten)) {
        make_block_bitmap(group, scratch_.span());
    } else {
        const u64 place = block_bitmap_of(volume_.descriptor(group));
        auto block = volume_.check_blocks(place, 1).and_then([&] { return volume_.read_block(place); });
        if (!block) return settle(state.blocks, group, error(block.error()));
        std::memcpy(scratch_.begin(), block->bytes().data(), scratch_.size());
    }
    if (state.blocks == Group::State::Unknown &&
        !TRY(settle(state.blocks, group, check_block_bitmap(group, scratch_.span()))))
        return false;
    if (state.busy_count > 0) add_bits(scratch_.span(), {state.busy.get(), scratch_.size()});
    return true;
}

/// The descriptor and the bitmap of a group that has been loaded.
Result<Allocator::Edit> Allocator::change_block_bitmap(MetadataWriter& writer, u32 group) {
    GroupPlace place = TRY(GroupPlace::change(volume_, writer, group));
    const u64 number = block_bitmap_of(place.descriptor());
    if (!is_unwritten(group, group_blocks_unwritten)) return Edit{std::move(place), TRY(writer.change(number))};
    MutableBlock bitmap = TRY(writer.fresh(number));
    make_block_bitmap(group, bitmap.bytes());
    return Edit{std::move(place), std::move(bitmap)};
}

/// `freed` less than 0: allocated.
void Allocator::store_blocks(Edit& edit, i64 freed) {
    GroupDescriptor& descriptor = edit.place.descriptor();
    const u32 free = static_cast<u32>(free_blocks_in(edit.place.group()) + freed);
    descriptor.free_blocks_low = static_cast<u16>(free);
    descriptor.free_blocks_high = static_cast<u16>(free >> 16);
    descriptor.flags &= static_cast<u16>(~group_blocks_unwritten);
    if (volume_.has_checksums()) {
        const u32 value = bitmap_checksum(volume_, edit.bitmap.bytes(), volume_.superblock().blocks_per_group);
        descriptor.block_bitmap_checksum_low = static_cast<u16>(value);
        descriptor.block_bitmap_checksum_high = static_cast<u16>(value >> 16);
    }
    edit.place.store();
    free_blocks_.fetch_add(static_cast<u64>(freed), std::memory_order_relaxed);
}

/// The first run in the scratch area of at least `wanted` bits, or else the longest.
Allocator::Bits Allocator::find_free(usize from, usize end, usize wanted) const {
    Bits best;
    for (usize at = from; at < end;) {
        const usize first = find_bit(scratch_.span(), at, end, false);
        at = find_bit(scratch_.span(), first, end, true);
        if (at - first > best.count) best = {first, at - first};
        if (best.count >= wanted) break;
    }
    return best;
}

Result<Run> Allocator::take(MetadataWriter& writer, u32 group, Bits bits) {
    Edit edit = TRY(change_block_bitmap(writer, group));
    const usize changed = fill_bits(edit.bitmap.bytes(), bits.first, bits.count, true);
    store_blocks(edit, -static_cast<i64>(changed));
    return Run{volume_.first_block_of(group) + bits.first, bits.count, Run::Kind::Data};
}

/// At the goal; where there is a good run; then wherever anything is.
Result<Run> Allocator::allocate_locked(MetadataWriter& writer, u64 goal, u64 most) {
    constexpr u64 good_run = 2048; // blocks
    constexpr u32 searched_groups = 64;
    const u32 groups = volume_.groups(), home = group_of(goal);
    const usize goal_bit = goal - volume_.first_block_of(home);
    const usize wanted = std::min(most, good_run);
    auto cut = [&](Bits bits) { return Bits{bits.first, std::min<usize>(bits.count, most)}; };
    if (free_blocks_in(home) > 0 && TRY(load_blocks(home))) {
        if (!has_bit(scratch_.span(), goal_bit)) {
            const usize end = find_bit(scratch_.span(), goal_bit, blocks_in(home), true);
            return take(writer, home, cut({goal_bit, end - goal_bit}));
        }
        const Bits behind = find_free(goal_bit, blocks_in(home), wanted);
        if (behind.count >= wanted) return take(writer, home, cut(behind));
    }
    u32 searched = 0;
    for (u32 i = 0; i < groups && searched < searched_groups; ++i) {
        const u32 group = static_cast<u32>((u64{home} + i) % groups);
        if (free_blocks_in(group) < wanted || !TRY(load_blocks(group))) continue;
        const Bits found = find_free(0, blocks_in(group), wanted);
        if (found.count >= wanted) return take(writer, group, cut(found));
        ++searched;
    }
    for (u32 i = 0; i < groups; ++i) {
        const u32 group = static_cast<u32>((u64{home} + i) % groups);
        if (free_blocks_in(group) == 0 || !TRY(load_blocks(group))) continue;
        const Bits found = find_free(0, blocks_in(group), wanted);
        if (found.count > 0) return take(writer, group, cut(found));
    }
    return error(Errno::ENOSPC);
}

Result<Run> Allocator::allocate_blocks(MetadataWriter& writer, u64 goal, u64 most, Privilege privilege) {
    VERIFY(most > 0);
    const core::MutexGuard guard(lock_);
    end_busy(writer.last_committed());
    const Superblock& on_disk = volume_.superblock();
    u64 kept = busy_blocks_.load(std::memory_order_relaxed);
    if (privilege == Privilege::None)
        kept += joined(on_disk.reserved_blocks_count_low, on_disk.reserved_blocks_count_high);
    const u64 free = free_blocks_.load(std::memory_order_relaxed);
    if (free <= kept) return error(Errno::ENOSPC);
    if (goal < on_disk.first_data_block || goal >= volume_.blocks()) goal = on_disk.first_data_block;
    return allocate_locked(writer, goal, std::min(most, free - kept));
}

Result<void> Allocator::undo_blocks(MetadataWriter& writer, const Run& run) {
    BlockFreeing freeing(*this, writer, Reuse::AtOnce);
    TRY(freeing.add(run.first, run.count, BlockContents::Metadata));
    return freeing.finish();
}

Result<void> Allocator::prepare_busy(Group& group) const {
    if (!group.busy) {
        group.busy.reset(new (std::nothrow) u8[volume_.block_size()]());
        if (!group.busy) return error(Errno::ENOMEM);
    }
    return {};
}

void Allocator::drop_busy_if_unused(Group& group) const {
    if (group.busy_count == 0 && group.freeings == 0) group.busy.reset();
}

/// Gives up what was freed in transactions up to this one.
void Allocator::end_busy(u64 committed) {
    for (Busy* record = busy_.first(); record && record->transaction <= committed; record = busy_.first()) {
        Group& group = groups_[record->group];
        const std::span<u8> bits(group.busy.get(), volume_.block_size());
        const usize cleared = fill_bits(bits, record->first, record->count, false);
        group.busy_count -= static_cast<u32>(cleared);
        busy_blocks_.fetch_sub(cleared, std::memory_order_relaxed);
        drop_busy_if_unused(group);
        busy_.remove(*record);
        delete record;
    }
}

Result<void> Allocator::store_totals(MetadataWriter& writer) {
    const core::MutexGuard guard(lock_); // so that both are of one time
    const Volume::FreeCounts counts = free_counts();
    return change_superblock(volume_, writer, [&](Superblock& superblock) {
        superblock.free_blocks_count_low = static_cast<u32>(counts.blocks);
        superblock.free_blocks_count_high = static_cast<u32>(counts.blocks >> 32);
        superblock.free_inodes_count = static_cast<u32>(counts.inodes);
    });
}

BlockFreeing::~BlockFreeing() {
    const core::MutexGuard guard(allocator_.lock_);
    for (Part& part : parts_) {
        Allocator::Group& group = allocator_.groups_[part.edit.place.group()];
        --group.freeings;
        allocator_.drop_busy_if_unused(group);
    }
}

Result<void> BlockFreeing::add(u64 first, u64 count, BlockContents contents) {
    TRY(allocator_.volume_.check_blocks(first, count));
    if (allocator_.is_in_zone(first, count)) return error(Errno::EUCLEAN);
    const core::MutexGuard guard(allocator_.lock_);
    while (count > 0) {
        const u32 group = allocator_.group_of(first);
        const u64 begin = allocator_.volume_.first_block_of(group);
        const u64 here = std::min<u64>(count, begin + allocator_.blocks_in(group) - first);
        TRY(add_in_group(group, first - begin, static_cast<u32>(here), contents));
        count_ += here;
        first += here;
        count -= here;
    }
    return {};
}

Result<void> BlockFreeing::add_in_group(u32 group, u64 first, u32 count, BlockContents contents) {
    if (!TRY(allocator_.load_blocks(group)) || allocator_.is_unwritten(group, group_blocks_unwritten))
        return error(Errno::EUCLEAN);
    Allocator::Edit edit = TRY(allocator_.change_block_bitmap(writer_, group));
    if (find_bit(edit.bitmap.bytes(), first, first + count, false) != first + count) return error(Errno::EUCLEAN);
    OwnPtr<Allocator::Busy> busy;
    if (reuse_ == Reuse::AfterCommit) {
        busy = TRY(try_make<Allocator::Busy>());
        busy->transaction = writer_.transaction();
        busy->group = group, busy->first = static_cast<u32>(first), busy->count = count;
        TRY(allocator_.prepare_busy(allocator_.groups_[group]));
    }
    if (contents == BlockContents::Metadata) TRY(writer_.prepare_to_forget(count));
    TRY(parts_.try_push({std::move(edit), first, count, contents, std::move(busy)}));
    ++allocator_.groups_[group].freeings;
    return {};
}

Result<void> BlockFreeing::finish() {
    for (const Part& part : parts_) {
        const u64 first = allocator_.volume_.first_block_of(part.edit.place.group()) + part.first;
        if (part.contents == BlockContents::Metadata) writer_.forget(first, part.count);
    }
    const core::MutexGuard guard(allocator_.lock_);
    for (Part& part : parts_) {
        const usize freed = fill_bits(part.edit.bitmap.bytes(), part.first, part.count, false);
        allocator_.store_blocks(part.edit, static_cast<i64>(freed));
        if (!part.busy) continue;
        Allocator::Group& group = allocator_.groups_[part.busy->group];
        const std::span<u8> bits(group.busy.get(), allocator_.volume_.block_size());
        const usize set = fill_bits(bits, part.first, part.count, true);
        group.busy_count += static_cast<u32>(set);
        allocator_.busy_blocks_.fetch_add(set, std::memory_order_relaxed);
        allocator_.busy_.push_back(*part.busy.release());
    }
    return {};
}

} // namespace linnet::ext4
