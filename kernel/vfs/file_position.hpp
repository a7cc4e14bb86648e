// Where a transfer happens: at an offset of the caller's, or at the file's position.
#pragma once

#include <optional>
#include <vfs/file.hpp>

namespace linnet::vfs {

/// Runs one transfer at the given offset, or at the file's position, which it moves. The position's lock is
/// skipped when nobody else can use the file.
template <typename Transfer>
Result<usize> at_position(File& file, std::optional<u64> offset, Transfer transfer) {
    if (offset || !file.is_seekable()) {
        u64 at = offset.value_or(0);
        return transfer(at);
    }
    bool shared = file.ref_count() > 1;
    if (shared) file.position_lock.lock();
    u64 at = file.position;
    auto result = transfer(at);
    if (result) file.position = at + *result;
    if (shared) file.position_lock.unlock();
    return result;
}

} // namespace linnet::vfs
