// inotify(7): a descriptor that tells of what happens to files and directories.
#pragma once

#include <vfs/file.hpp>

namespace linnet::vfs {

/// /proc/sys/fs/inotify: of one user the descriptors and the watches, of one descriptor the events that wait.
struct InotifyLimits {
    std::atomic<u64> instances{128};
    std::atomic<u64> watches{0}; // set at boot, by the size of memory
    std::atomic<u64> queued_events{16384};
};
InotifyLimits& inotify_limits();
/// Boot: the limit of watches, by the size of memory.
void set_inotify_limits();

/// `flags`: O_NONBLOCK or 0. EMFILE, ENOMEM.
Result<RefPtr<File>> create_inotify(u32 flags);
/// EINVAL when it is no inotify descriptor.
Result<void> check_inotify(File& file);
/// Watches what `path` leads to, or changes how; the watch descriptor. EINVAL when `file` is no inotify descriptor,
/// EEXIST (IN_MASK_CREATE), ENOSPC, ENOMEM. The caller has checked that it may be read.
Result<i32> add_inotify_watch(File& file, const Path& path, u32 mask);
/// EINVAL: no inotify descriptor, or no such watch.
Result<void> remove_inotify_watch(File& file, i32 descriptor);

} // namespace linnet::vfs
