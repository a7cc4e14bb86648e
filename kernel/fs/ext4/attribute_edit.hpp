// Changes of extended attributes: in the inode as long as there is room, then in one block.
#pragma once

#include "inode_edit.hpp"
#include <string_view>

namespace linnet::ext4 {

/// setxattr(2)'s flags.
enum class AttributeMode : u8 { CreateOrReplace, Create, Replace };

/// Gives an attribute a value; `name` has its prefix ("user.…"), the value is as it lies on the disk. EEXIST, ENODATA
/// as `mode` asks; EOPNOTSUPP for a prefix that ext4 doesn't know, EINVAL for nothing behind it; ERANGE for a name that
/// is too long; ENOSPC: neither the inode nor a block has room, or there is no block. EUCLEAN, EBADMSG, ENOMEM, the
/// writer's errors. With an error nothing has changed.
Result<void> set_attribute(const InodeEdit& edit, std::string_view name, std::span<const u8> value, AttributeMode mode);
/// ENODATA, and the same errors.
Result<void> remove_attribute(const InodeEdit& edit, std::string_view name);
/// The inode goes: it gives up its block of attributes.
Result<void> free_attributes(const InodeEdit& edit);

} // namespace linnet::ext4
