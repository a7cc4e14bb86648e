// Path walk (path_resolution(7)).
#include "walk.hpp"

#include "dentry_sequence.hpp"

#include <abi/linux/fs.hpp>
#include <cstring>

namespace linnet::vfs {

namespace {

constexpr u32 confined = lookup_beneath | lookup_in_root;

/// The common case of search permission: a directory that anybody may search.
bool anybody_may_search(const Inode& directory) {
    constexpr u32 relevant = abi::S_IFMT | abi::S_IXUGO;
    return (directory.mode() & relevant) == (abi::S_IFDIR | abi::S_IXUGO) && directory.has_no_acl();
}
Result<void> may_search(Inode& directory, const Credentials& who) {
    if (!directory.is_directory()) return error(Errno::ENOTDIR);
    return directory.check_permission(may_execute, who);
}

} // namespace

Result<void> Walk::begin(LookupStart start, std::string_view path) {
    if (path.empty() && !(flags_ & lookup_empty_path)) return error(Errno::ENOENT);
    if (flags_ & confined) {
        start_ = start ? *start : current_fs().working_directory();
        start_sequence_ = tree_sequence.load(std::memory_order_acquire);
        if (flags_ & lookup_in_root) root_ = start_;
    }
    levels_[0].rest = PathSplitter(path);
    depth_ = 1;
    if (!path.empty() && path[0] == '/') return go_to_root();
    if (flags_ & confined)
        current_ = start_;
    else
        current_ = start ? *start : current_fs().working_directory();
    return {};
}

const Path& Walk::root() {
    if (root_.is_empty()) root_ = current_fs().root();
    return root_;
}

Result<void> Walk::go_to_root() {
    if (flags_ & lookup_beneath) return error(Errno::EXDEV);
    const Path& target = root();
    if ((flags_ & lookup_no_cross_mount) && !current_.is_empty() && current_.mount != target.mount)
        return error(Errno::EXDEV);
    current_ = target;
    return {};
}

void Walk::pop() {
    if (depth_ > inline_levels)
        more_levels_.pop();
    else
        levels_[depth_ - 1] = Level{};
    --depth_;
}

Result<void> Walk::push(LinkTarget target, RefPtr<Inode> owner) {
    PathSplitter text(target.text);
    Level level{text, std::move(target), std::move(owner)};
    if (depth_ >= inline_levels)
        TRY(more_levels_.try_push(std::move(level)));
    else
        levels_[depth_] = std::move(level);
    ++depth_;
    return {};
}

/// Splits the next component off into last_; false when nothing is left on any level.
bool Walk::next_component() {
    constexpr LastComponent kinds[] = {LastComponent::Name, LastComponent::Dot, LastComponent::DotDot};
    for (; depth_ > 0; pop()) {
        if (!level(depth_).rest.next(last_)) continue;
        last_kind_ = kinds[static_cast<u8>(last_.kind)];
        return true;
    }
    return false;
}

/// Whether only slashes are left on every level; notes them in trailing_slash_.
bool Walk::nothing_left() {
    bool slashes = false;
    for (u32 depth = depth_; depth > 0; --depth) {
        const PathSplitter& rest = level(depth).rest;
        if (rest.is_empty()) continue;
        if (!rest.has_only_slashes()) return false;
        slashes = true;
    }
    trailing_slash_ = slashes;
    return true;
}

Result<void> Walk::dot_dot() {
    if (flags_ & lookup_beneath) {
        if (current_ == start_) return error(Errno::EXDEV);
    } else if (current_ == root()) {
        return {};
    }
    Path at = current_;
    while (at.dentry == &at.mount->root()) {
        if (!MountTable::cross_up(at)) return {};
        if (flags_ & lookup_no_cross_mount) return error(Errno::EXDEV);
        if (at == root()) break;
    }
    if (!(at == root()) && at.dentry != &at.mount->root()) at.dentry = at.dentry->parent();
    enter_mounts(at);
    current_ = std::move(at);
    return {};
}

Result<bool> Walk::follow(const Path& link) {
    if (flags_ & lookup_no_symlinks) return error(Errno::ELOOP);
    if (link.mount->flags() & abi::MS_NOSYMFOLLOW) return error(Errno::ELOOP);
    if (++links_followed_ > abi::SYMLOOP_MAX) return error(Errno::ELOOP);
    RefPtr<Inode> inode(*link.inode());
    note_access(link);
    if (auto jump = TRY(inode->follow_link())) {
        if (flags_ & lookup_no_magic_links) return error(Errno::ELOOP);
        if (flags_ & confined) return error(Errno::EXDEV);
        if ((flags_ & lookup_no_cross_mount) && jump->mount != current_.mount) return error(Errno::EXDEV);
        current_ = std::move(*jump);
        return false;
    }
    LinkTarget target = TRY(inode->read_link());
    if (target.text.empty()) return error(Errno::ENOENT);
    bool absolute = target.text[0] == '/';
    TRY(push(std::move(target), std::move(inode)));
    if (absolute) TRY(go_to_root());
    return true;
}

/// Enters `last_` in current_: finds it, crosses mounts, follows links.
Result<void> Walk::step(bool is_final) {
    Dentry& parent = *current_.dentry;
    if (last_.name.size() > parent.superblock().max_name_length()) return error(Errno::ENAMETOOLONG);
    auto found = DentryCache::find(parent, last(), last_hash());
    if (!found || parent.superblock().dentry_policy() != DentryPolicy::Cache) [[unlikely]] {
        if (!found && (flags_ & lookup_cached)) return error(Errno::EAGAIN);
        found = TRY(DentryCache::find_or_load(parent, last(), last_hash()));
    }
    Inode* inode = found->inode();
    if (!inode) return error(Errno::ENOENT);
    if (found->is_mountpoint() || inode->is_symlink()) [[unlikely]]
        return step_special(std::move(found), is_final);
    current_.dentry = std::move(found);
    return {};
}

void Walk::enter_mounts(Path& path) const {
    MountTable::cross_down(path);
    if (!(flags_ & lookup_no_use)) path.mount->note_use();
}

/// Goes on from a name that is a mountpoint or a symlink.
Result<void> Walk::step_special(NullableRefPtr<Dentry> found, bool is_final) {
    Path next;
    next.mount = current_.mount;
    next.dentry = std::move(found);
    bool covered = next.dentry->is_mountpoint();
    if (covered) enter_mounts(next);
    if ((flags_ & lookup_no_cross_mount) && next.mount != current_.mount) return error(Errno::EXDEV);
    bool follows = !is_final || trailing_slash_ || !(flags_ & lookup_no_follow);
    if (next.inode()->is_symlink() && follows) {
        TRY(follow(next));
        return {};
    }
    current_ = std::move(next);
    return {};
}

Result<void> Walk::finish() {
    bool must_be_directory = (flags_ & lookup_directory) != 0;
    while (next_component()) {
        Inode& here = *current_.inode();
        if (!anybody_may_search(here)) TRY(may_search(here, who_));
        bool is_final = nothing_left();
        if (is_final && trailing_slash_) must_be_directory = true;
        if (last_kind_ == LastComponent::Dot) continue;
        if (last_kind_ == LastComponent::DotDot)
            TRY(dot_dot());
        else
            TRY(step(is_final));
    }
    if (must_be_directory && !current_.inode()->is_directory()) return error(Errno::ENOTDIR);
    return check_confinement();
}

Result<void> Walk::to_parent() {
    bool any = false;
    while (next_component()) {
        any = true;
        Inode& here = *current_.inode();
        if (!anybody_may_search(here)) TRY(may_search(here, who_));
        if (nothing_left()) return check_confinement();
        if (last_kind_ == LastComponent::Dot) continue;
        if (last_kind_ == LastComponent::DotDot)
            TRY(dot_dot());
        else
            TRY(step(false));
    }
    // Only slashes: the root itself.
    if (!any) last_kind_ = LastComponent::Root;
    last_ = {};
    return check_confinement();
}

Result<void> Walk::check_confinement() const {
    if (!(flags_ & confined)) return {};
    if (tree_sequence.load(std::memory_order_acquire) != start_sequence_) return error(Errno::EAGAIN);
    return {};
}

Result<void> Walk::keep_last() {
    if (depth_ <= 1) return {}; // it lies in the caller's text
    std::string_view name = last_.name;
    storage_.reset(new (std::nothrow) char[name.size() + 1]);
    if (!storage_) return error(Errno::ENOMEM);
    std::memcpy(storage_.get(), name.data(), name.size());
    last_.name = {storage_.get(), name.size()};
    return {};
}

void note_access(const Path& path) {
    constexpr i64 day = 24 * 60 * 60;
    u64 flags = path.mount->flags();
    if (flags & (abi::MS_RDONLY | abi::MS_NOATIME)) return;
    Inode& inode = *path.inode();
    if (inode.has_flag(abi::FS_NOATIME_FL)) return;
    if ((flags & abi::MS_NODIRATIME) && inode.is_directory()) return;
    if (flags & abi::MS_RELATIME) {
        Timestamp last = inode.access_time();
        if (last > inode.modify_time() && last > inode.change_time()) {
            if (Timestamp::now().seconds - last.seconds < day) return;
        }
    }
    if (path.mount->superblock().is_read_only()) return;
    inode.touch_accessed();
}

Result<Path> lookup(LookupStart start, std::string_view path, u32 flags, const Credentials& who) {
    Walk walk(flags, who);
    TRY(walk.begin(start, path));
    TRY(walk.finish());
    return std::move(walk.current());
}

Result<ParentPath> lookup_parent(LookupStart start, std::string_view path, u32 flags, const Credentials& who) {
    Walk walk(flags & ~lookup_empty_path, who);
    TRY(walk.begin(start, path));
    TRY(walk.to_parent());
    TRY(walk.keep_last());
    ParentPath result;
    result.name = walk.last();
    result.kind = walk.last_kind();
    result.trailing_slash = walk.trailing_slash();
    result.storage = walk.take_storage();
    result.directory = std::move(walk.current());
    return result;
}

} // namespace linnet::vfs
