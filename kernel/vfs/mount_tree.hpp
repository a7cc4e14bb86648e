// What the files that change the tree of mounts share.
#pragma once

#include <core/mutex.hpp>
#include <core/spinlock.hpp>
#include <vfs/mount.hpp>

namespace linnet::vfs {

/// Serialises changes of the tree and of peer groups. It doesn't matter whose tree a mount is in.
extern core::Mutex mount_lock;
/// Guards the hash table, parents and mountpoints for walks.
extern core::SpinLock mount_table_lock;

using MountList = IntrusiveList<Mount, &Mount::list_node>;
using WorkList = IntrusiveList<Mount, &Mount::work_node>;

extern MountList all_mounts; // oldest first; mount_lock
extern u32 mount_count;      // mount_lock
extern Mount* first_root;    // what is the root of everything; mount_table_lock

} // namespace linnet::vfs
