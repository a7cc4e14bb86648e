// Path: a place in the tree of mounts: a dentry and the mount through which it is seen.
#pragma once

#include <lib/format.hpp>
#include <lib/own_ptr.hpp>
#include <vfs/dentry.hpp>

namespace linnet::vfs {

class Mount;

struct Path {
    NullableRefPtr<Mount> mount;
    NullableRefPtr<Dentry> dentry;

    Path();
    Path(RefPtr<Mount> in_mount, RefPtr<Dentry> at);
    Path(const Path&);
    Path(Path&&) noexcept;
    Path& operator=(const Path&);
    Path& operator=(Path&&) noexcept;
    ~Path();

    /// Anonymous files have no place.
    [[nodiscard]] bool is_empty() const { return !dentry; }
    /// Null for a negative dentry.
    [[nodiscard]] Inode* inode() const { return dentry->inode(); }
    bool operator==(const Path& other) const = default;
};

/// The text of a path, built from the end of a buffer of PATH_MAX bytes.
class PathText {
public:
    /// As getcwd(2) and /proc show it from `root`. `reachable` is false when it doesn't lie below the root.
    static Result<PathText> of(const Path& path, const Path& root);
    /// Against the current root; with " (deleted)" for unlinked files, as /proc/PID/fd and maps have it.
    static Result<PathText> of(const Path& path);
    [[nodiscard]] std::string_view text() const { return text_; }
    [[nodiscard]] bool is_reachable() const { return reachable_; }
    [[nodiscard]] bool is_deleted() const { return deleted_; }

private:
    OwnPtr<char[]> buffer_;
    std::string_view text_;
    bool reachable_ = true;
    bool deleted_ = false;
};

} // namespace linnet::vfs
