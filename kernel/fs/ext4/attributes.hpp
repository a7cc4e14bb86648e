// Extended attributes of an inode: behind its fields, and in a block of their own; and what inline data puts there.
#pragma once

#include "volume.hpp"
#include <lib/function_ref.hpp>
#include <string_view>

namespace linnet::ext4 {

struct Attribute {
    std::string_view prefix; // "user." …
    std::string_view name;   // without it
    std::span<const u8> value;
};
/// Takes one attribute; false ends the listing.
using AttributeSink = FunctionRef<bool(const Attribute&)>;

/// All attributes but those of ext4 itself. Takes Volume::attributes_lock, under which it calls `sink`, too. EUCLEAN,
/// EBADMSG, EIO …
Result<void> list_attributes(Volume& volume, const DiskInode& inode, AttributeSink sink);

/// Whether there may be any. Reads nothing.
bool has_attributes(const DiskInode& inode);

/// The part of inline data that has no room in the inode's 60 bytes: the attribute system.data. Empty when there is
/// none.
Result<std::span<const u8>> inline_data_behind_inode(const DiskInode& inode);

} // namespace linnet::ext4
