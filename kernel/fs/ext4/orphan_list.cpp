// The list of orphans, in memory and on the disk.
#include "orphan_list.hpp"

#include "volume_edit.hpp"

#include <algorithm>

namespace linnet::ext4 {

Result<void> OrphanList::load() {
    const core::MutexGuard guard(lock_);
    numbers_.clear();
    for (u32 number = volume_.superblock().last_orphan; number != 0;) {
        const DiskInode inode = TRY(volume_.read_orphan(number));
        if (std::ranges::find(numbers_, number) != numbers_.end()) return error(Errno::EUCLEAN);
        TRY(numbers_.try_push(number));
        number = inode.raw.deletion_time;
    }
    std::ranges::reverse(numbers_);
    return {};
}

bool OrphanList::contains(u32 number) {
    const core::MutexGuard guard(lock_);
    return std::ranges::find(numbers_, number) != numbers_.end();
}

Result<void> OrphanList::add(MetadataWriter& writer, u32 number, InodePlace& place) {
    const core::MutexGuard guard(lock_);
    if (std::ranges::find(numbers_, number) != numbers_.end()) return error(Errno::EUCLEAN);
    TRY(numbers_.try_reserve(numbers_.size() + 1));
    const u32 before = numbers_.is_empty() ? 0 : numbers_.back();
    TRY(change_superblock(volume_, writer, [&](Superblock& superblock) { superblock.last_orphan = number; }));
    place.store_deletion_time(before);
    return numbers_.try_push(number);
}

Result<void> OrphanList::remove(MetadataWriter& writer, u32 number, InodePlace& place, u32 time) {
    const core::MutexGuard guard(lock_);
    const auto found = std::ranges::find(numbers_, number);
    if (found == numbers_.end()) return error(Errno::EUCLEAN);
    const auto index = static_cast<usize>(found - numbers_.begin());
    const u32 before = index > 0 ? numbers_[index - 1] : 0;
    if (index + 1 < numbers_.size()) {
        auto behind = TRY(InodePlace::change(volume_, writer, numbers_[index + 1]));
        behind.store_deletion_time(before);
    } else {
        TRY(change_superblock(volume_, writer, [&](Superblock& superblock) { superblock.last_orphan = before; }));
    }
    place.store_deletion_time(time);
    numbers_.remove_at(index);
    return {};
}

} // namespace linnet::ext4
