// Access control lists as ext4 stores them: version 1, in which only named users and groups have an id.
#pragma once

#include <lib/array_list.hpp>
#include <lib/result.hpp>
#include <span>

namespace linnet::ext4 {

/// From the disk to the value of setxattr(2), version 2. EINVAL where it is none, as Linux has it.
Result<ArrayList<u8>> acl_from_disk(std::span<const u8> stored);
/// And back; the value has been found to be well formed.
Result<ArrayList<u8>> acl_to_disk(std::span<const u8> value);

} // namespace linnet::ext4
