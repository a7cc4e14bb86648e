// Path walk: from a string to a place in the tree (path_resolution(7)).
#pragma once

#include <vfs/credentials.hpp>
#include <vfs/current.hpp>
#include <vfs/path.hpp>

namespace linnet::vfs {

/// How a walk goes; RESOLVE_* of openat2(2) and AT_* are translated to these.
enum LookupFlags : u32 {
    lookup_default = 0,
    lookup_no_follow = 1u << 0,      // a symlink as the last component is itself the result
    lookup_directory = 1u << 1,      // ENOTDIR unless the result is one
    lookup_empty_path = 1u << 2,     // "" is the start itself (AT_EMPTY_PATH)
    lookup_beneath = 1u << 3,        // EXDEV when the walk would leave the start
    lookup_in_root = 1u << 4,        // the start is the root of the walk
    lookup_no_cross_mount = 1u << 5, // EXDEV at a mountpoint
    lookup_no_magic_links = 1u << 6, // ELOOP at a magic link
    lookup_no_symlinks = 1u << 7,    // ELOOP at any symlink
    lookup_cached = 1u << 8,         // EAGAIN where the file system would have to be asked
    lookup_no_use = 1u << 9,         // doesn't count as use of the mounts entered (umount2(2), MNT_EXPIRE)
};

/// Where a relative path begins: null for the working directory.
using LookupStart = const Path*;

/// The object a path names; its dentry is positive. ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG.
Result<Path> lookup(LookupStart start, std::string_view path, u32 flags = lookup_default,
                    const Credentials& who = current_credentials());
/// From the current working directory.
inline Result<Path> lookup(std::string_view path, u32 flags = lookup_default) { return lookup(nullptr, path, flags); }

enum class LastComponent : u8 { Name, Dot, DotDot, Root };

/// The directory that holds the last component, and that component, which may or may not exist.
struct ParentPath {
    Path directory;
    std::string_view name; // points into the text walked
    LastComponent kind = LastComponent::Name;
    bool trailing_slash = false;
    OwnPtr<char[]> storage; // of `name`, where a symlink's text was followed
};
Result<ParentPath> lookup_parent(LookupStart start, std::string_view path, u32 flags = lookup_default,
                                 const Credentials& who = current_credentials());

} // namespace linnet::vfs
