// The file in which Linux may note orphans, with the feature orphan_file. We keep the list that every Linux knows, and
// the file empty.
#pragma once

#include "orphan_list.hpp"

namespace linnet::ext4 {

using Change = FunctionRef<Result<void>(MetadataWriter& writer)>;
/// Makes a change in a transaction of its own, or with others in one: its error, or that of the change.
using Transactions = FunctionRef<Result<void>(Change change)>;

/// The blocks that each change of move_orphans_from_file() changes at most.
inline constexpr u32 most_changes_of_orphan_file = 40;

/// Moves what is in the file to the list, which has been loaded: for the mount. Inodes there can't be are left out.
/// EUCLEAN and EBADMSG for a damaged file, ENOMEM, the writer's errors.
Result<void> move_orphans_from_file(Volume& volume, OrphanList& orphans, Transactions run);

} // namespace linnet::ext4
