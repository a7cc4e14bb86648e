// Storing the superblock and descriptors.
#include "volume_edit.hpp"

#include <algorithm>
#include <cstring>

namespace linnet::ext4 {

Result<void> change_superblock(Volume& volume, MetadataWriter& writer, FunctionRef<void(Superblock&)> change) {
    const core::MutexGuard guard(volume.superblock_lock);
    const Volume::Place place = volume.superblock_place();
    MutableBlock block = TRY(writer.change(place.block));
    Superblock& superblock = volume.superblock_to_change();
    change(superblock);
    if (volume.has_checksums()) superblock.checksum = checksum_of(superblock);
    std::memcpy(block.bytes().data() + place.offset, &superblock, sizeof(superblock));
    return {};
}

Result<GroupPlace> GroupPlace::change(Volume& volume, MetadataWriter& writer, u32 group) {
    return GroupPlace(volume, group, TRY(writer.change(volume.descriptor_place(group).block)));
}

void GroupPlace::store() {
    const Volume::Place place = volume_->descriptor_place(group_);
    const auto bytes = block_.bytes().subspan(place.offset, place.size);
    GroupDescriptor& descriptor = volume_->descriptor(group_);
    std::memcpy(bytes.data(), &descriptor, std::min(bytes.size(), sizeof(descriptor)));
    descriptor.checksum = volume_->descriptor_checksum(group_, bytes);
    std::memcpy(bytes.data() + offsetof(GroupDescriptor, checksum), &descriptor.checksum, sizeof(descriptor.checksum));
}

} // namespace linnet::ext4
