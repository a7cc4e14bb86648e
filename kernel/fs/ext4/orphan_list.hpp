// Inodes that are to be freed, or cut, when nobody uses them any more: on the disk a list through their deletion times,
// so that the next mount does it where the machine has stopped before.
#pragma once

#include "inode_table.hpp"
#include <lib/function_ref.hpp>

namespace linnet::ext4 {

class OrphanList {
public:
    explicit OrphanList(Volume& volume) : volume_(volume) {}
    /// Finds those that are there. To be called once, before the others. EUCLEAN for a list that can't be.
    Result<void> load();
    [[nodiscard]] bool is_empty() const { return numbers_.is_empty(); }
    /// The one that came last; there is one.
    [[nodiscard]] u32 last() const { return numbers_[numbers_.size() - 1]; }

    [[nodiscard]] bool contains(u32 number);

    /// An inode becomes one; `place` is its. Errors of the writer, ENOMEM, and EUCLEAN when it is one: it had more
    /// names than links; with them nothing has changed.
    Result<void> add(MetadataWriter& writer, u32 number, InodePlace& place);
    /// An inode, which is one, is none any more; its deletion time becomes `time`. The same errors.
    Result<void> remove(MetadataWriter& writer, u32 number, InodePlace& place, u32 time);

private:
    Volume& volume_;
    core::Mutex lock_;
    ArrayList<u32> numbers_; // lock_; each names the one before it on the disk, and the superblock the last
};

} // namespace linnet::ext4
