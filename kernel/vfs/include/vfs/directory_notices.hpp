// F_NOTIFY (fcntl(2), "File and directory change notification"): a signal to the owner of an open directory when
// something happens in it. inotify(7) has taken its place; it is one more listener to watches (watches.hpp).
#pragma once

#include <vfs/file.hpp>

namespace linnet::vfs {

class FdTable;

/// `wanted` of DN_* is added to what was wanted by way of `table` before; nothing ends that. ENOTDIR, EINVAL when
/// switched off, ENOMEM.
Result<void> notify_of_directory(File& file, const FdTable& table, u32 wanted, int fd);
/// The table has closed a descriptor of it.
void forget_directory_notice(const File& file, const FdTable& table);

/// fs.dir-notify-enable.
extern std::atomic<u64> are_directory_notices_enabled;

} // namespace linnet::vfs
