// Walk: one resolution of a path, step by step; behind lookup() and open().
//
// The text still to be walked is a stack: the path itself, and the targets of the symlinks that are being
// followed.
#pragma once

#include <lib/path_string.hpp>
#include <vfs/fs_context.hpp>
#include <vfs/lookup.hpp>
#include <vfs/mount.hpp>

namespace linnet::vfs {

class Walk {
public:
    Walk(u32 flags, const Credentials& who) : flags_(flags), who_(who) {}

    /// Goes to where `path` begins. ENOENT for "".
    Result<void> begin(LookupStart start, std::string_view path);
    /// Walks all that is left, the last component too (followed unless lookup_no_follow).
    Result<void> finish();
    /// Walks all but the last component.
    Result<void> to_parent();

    // After to_parent():
    std::string_view last() const { return last_.name; }
    NameHash last_hash() const { return {last_.hash}; }
    LastComponent last_kind() const { return last_kind_; }
    bool trailing_slash() const { return trailing_slash_; }
    /// Follows `link`, a symlink that the last component names; to_parent() or finish() go on with its text.
    /// False: it was a magic link and current() is its object.
    Result<bool> follow(const Path& link);
    /// Whether races with renames may have led a confined walk astray: EAGAIN.
    Result<void> check_confinement() const;
    /// Copies last() out of a link's text, so that it outlives the walk with take_storage().
    Result<void> keep_last();
    OwnPtr<char[]> take_storage() { return std::move(storage_); }

    Path& current() { return current_; }
    u32 flags() const { return flags_; }

private:
    struct Level {
        PathSplitter rest;
        LinkTarget target;           // what `rest` points into, for a followed link: its own storage …
        NullableRefPtr<Inode> owner; // … or the inode's
    };
    static constexpr u32 inline_levels = 2;

    bool next_component();
    bool nothing_left();
    Result<void> dot_dot();
    Result<void> step(bool is_final);
    Result<void> step_special(NullableRefPtr<Dentry> found, bool is_final);
    Result<void> go_to_root();
    const Path& root();
    Result<void> push(LinkTarget target, RefPtr<Inode> owner);
    Level& level(u32 depth) {
        return depth <= inline_levels ? levels_[depth - 1] : more_levels_[depth - 1 - inline_levels];
    }
    void pop();
    void enter_mounts(Path& path) const;

    u32 flags_;
    const Credentials& who_;
    Path current_;
    Path start_; // confined walks only
    Path root_;  // fetched at first need
    u32 start_sequence_ = 0;
    u32 links_followed_ = 0;
    u32 depth_ = 0;
    bool trailing_slash_ = false;
    LastComponent last_kind_ = LastComponent::Root;
    PathComponent last_;
    Level levels_[inline_levels];
    ArrayList<Level> more_levels_;
    OwnPtr<char[]> storage_;
};

/// Sets the access time of what was read through `path`, by the rules of the mount (noatime, relatime …).
void note_access(const Path& path);

} // namespace linnet::vfs
