// Changes of names in the upper layer and in its work directory. They go through the cache of names, so that whoever
// looks at the layer itself sees them; permissions are not asked for, for the overlay has checked its own.
//
// Lock order: locks of the overlay → rename_lock of the layer's superblock → its directories, ancestors first → its
// files.
#pragma once

#include <vfs/dentry.hpp>
#include <vfs/inode.hpp>

namespace linnet::overlay {

/// A new name with a new object. EEXIST, EROFS, ENOENT when the directory has been removed; the file system's errors.
Result<RefPtr<vfs::Dentry>> make_name(vfs::Dentry& directory, std::string_view name, const vfs::CreateRequest& request);
/// A further name of `target`, which isn't locked.
Result<RefPtr<vfs::Dentry>> link_name(vfs::Dentry& directory, std::string_view name, vfs::Inode& target);
/// Removes a name of `victim`; ESTALE when it names something else by now, EBUSY when something is mounted there.
Result<void> remove_name(vfs::Dentry& directory, std::string_view name, vfs::Inode& victim);
/// A name within the layer. EBUSY, ESTALE as above.
struct NameMove {
    vfs::Dentry& from;
    std::string_view old_name;
    vfs::Inode& moved; // what has the old name
    vfs::Dentry& to;
    std::string_view new_name;
    vfs::Inode* replaced; // what has the new name, or null
    u32 flags;            // RENAME_EXCHANGE, RENAME_WHITEOUT
};
Result<void> move_name(const NameMove& move);

/// What stands for a name that isn't there.
vfs::CreateRequest whiteout_request();

} // namespace linnet::overlay
