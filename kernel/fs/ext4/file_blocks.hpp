// Giving blocks to files and taking them away, whichever way a file keeps them: in extents, or in ext3's lists.
#pragma once

#include "inode_edit.hpp"

namespace linnet::ext4 {

/// Puts blocks where the file has a hole at `index`: between 1 and `most`, as many as lie together. With the kind Data,
/// what they held becomes the file's unless it is overwritten before the transaction is committed (ordered mode);
/// Unwritten ones read as zeros. EEXIST: there is no hole. EFBIG: no file reaches so far. EOPNOTSUPP: unwritten blocks
/// in a file with lists. ENOSPC, EUCLEAN, the writer's errors.
Result<Run> allocate_file_blocks(const InodeEdit& edit, u64 index, u64 most, Run::Kind kind);

/// Unwritten blocks of [index, index + count) count as written from now on. Works in steps. ENOSPC, EUCLEAN, the
/// writer's errors.
Result<void> mark_file_blocks_written(const InodeEdit& edit, u64 index, u64 count);

/// Frees blocks of [first, end), beginning with the last, as many as one step of few changes goes. Where it came to:
/// from there to `end` is a hole. Until that is `first` there is more to do, in the same transaction or the next. For
/// a file that is to shrink, `end` is no_end. ENOSPC (only for holes in the midst of a file), EUCLEAN, the writer's
/// errors.
Result<u64> free_last_blocks(const InodeEdit& edit, u64 first, u64 end);
inline constexpr u64 no_end = ~u64{0};

/// Moves blocks of [from, the file's end) by `distance` towards its beginning, the first of them first, as many as one
/// step goes; what lies in the `distance` blocks before `from` is freed. Where the next step goes on; no_end when there
/// is nothing left. EOPNOTSUPP in a file with lists. ENOSPC, EUCLEAN, the writer's errors.
Result<u64> close_gap(const InodeEdit& edit, u64 from, u64 distance);

/// Moves blocks of [from, until) by `distance` towards the file's end, the last of them first, as many as one step
/// goes; what lies in the `distance` blocks from `until` on is freed. `until` begins as no_end, and is for the next
/// step what this one returns; `from` when there is nothing left. EFBIG, otherwise as above.
Result<u64> open_gap(const InodeEdit& edit, u64 from, u64 until, u64 distance);

/// The blocks of metadata that one step of each of these changes at most, besides the inode's own and the superblock's.
inline constexpr u32 most_changes_of_step = 32;

} // namespace linnet::ext4
