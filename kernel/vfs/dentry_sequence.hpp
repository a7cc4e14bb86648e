// A counter of changes of the tree's shape: renames and mounts make it odd while they happen. Readers that
// need several names or parents to fit together compare it before and after.
#pragma once

#include <atomic>
#include <lib/types.hpp>

namespace linnet::vfs {

extern std::atomic<u32> tree_sequence;

} // namespace linnet::vfs
