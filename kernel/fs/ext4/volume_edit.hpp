// Changes of the superblock and of groups' descriptors: in memory, and where they lie on the disk, with checksums.
#pragma once

#include "metadata_writer.hpp"
#include <lib/function_ref.hpp>

namespace linnet::ext4 {

/// Applies `change` to the superblock. Takes Volume::superblock_lock; may sleep. The writer's errors, with which
/// nothing has changed.
Result<void> change_superblock(Volume& volume, MetadataWriter& writer, FunctionRef<void(Superblock&)> change);

/// A descriptor that may be changed. Under the lock of the allocator, like the descriptor itself.
class GroupPlace {
public:
    /// May sleep. The writer's errors.
    static Result<GroupPlace> change(Volume& volume, MetadataWriter& writer, u32 group);
    [[nodiscard]] u32 group() const { return group_; }
    [[nodiscard]] GroupDescriptor& descriptor() { return volume_->descriptor(group_); }
    /// Copies the descriptor to its place, with its checksum.
    void store();

private:
    GroupPlace(Volume& volume, u32 group, MutableBlock block)
        : volume_(&volume), group_(group), block_(std::move(block)) {}
    Volume* volume_;
    u32 group_;
    MutableBlock block_;
};

} // namespace linnet::ext4
