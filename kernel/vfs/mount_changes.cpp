// Mounting, binding and moving, pivot_root, and the change of what a mount tells others (mount(2),
// mount_namespaces(7)).
#include "mount_copies.hpp"

#include <abi/linux/fs.hpp>
#include <lib/array_list.hpp>
#include <vfs/current.hpp>
#include <vfs/fs_context.hpp>

namespace linnet::vfs {

namespace {

bool are_of_one_kind(const Path& place, const Dentry& root) {
    return place.inode()->is_directory() == root.inode()->is_directory();
}

} // namespace

Result<void> MountTable::attach(Mount& mount, const Path& place) {
    core::MutexGuard guard(mount_lock);
    Path target = place;
    cross_down(target);
    if (!target.mount->attached_) return error(Errno::EINVAL);
    core::ReadGuard place_guard(target.inode()->lock); // so that nobody removes it meanwhile
    if (target.dentry->is_unlinked()) return error(Errno::ENOENT);
    if (!are_of_one_kind(target, mount.root())) return error(Errno::ENOTDIR);
    // The same file system over itself is a mistake (mount(2), EBUSY).
    if (&target.mount->superblock() == &mount.superblock() && target.dentry == &target.mount->root())
        return error(Errno::EBUSY);
    MountCopies made;
    TRY(made.adopt(mount));
    TRY(made.propagate(mount, target));
    made.commit(mount, target);
    return {};
}

Result<void> MountTable::bind(const Path& from, const Path& to, u64 flags) {
    core::MutexGuard guard(mount_lock);
    Path target = to;
    cross_down(target);
    core::ReadGuard place_guard(target.inode()->lock);
    if (target.dentry->is_unlinked()) return error(Errno::ENOENT);
    Mount& original = *from.mount;
    if (!original.attached_ || !target.mount->attached_ || original.unbindable_) return error(Errno::EINVAL);
    if (!are_of_one_kind(target, *from.dentry)) return error(Errno::ENOTDIR);
    MountCopies made;
    Mount* copy = TRY(made.copy(original, *from.dentry, (flags & abi::MS_REC) ? Extent::Tree : Extent::One));
    TRY(made.propagate(*copy, target));
    made.commit(*copy, target);
    return {};
}

Result<void> MountTable::move(const Path& from, const Path& to) {
    core::MutexGuard guard(mount_lock);
    Path target = to;
    cross_down(target);
    core::ReadGuard place_guard(target.inode()->lock);
    if (target.dentry->is_unlinked()) return error(Errno::ENOENT);
    Mount& mount = *from.mount;
    if (from.dentry != &mount.root() || !mount.attached_ || !target.mount->attached_ || !mount.parent_)
        return error(Errno::EINVAL);
    if (!are_of_one_kind(target, mount.root())) return error(Errno::EINVAL);
    // Peers of the parent would keep what they have.
    if (mount.parent_->is_shared()) return error(Errno::EINVAL);
    if (target.mount->is_shared() && has_unbindable(mount)) return error(Errno::EINVAL);
    if (target.mount->is_below(mount)) return error(Errno::ELOOP);
    MountCopies made;
    TRY(made.propagate(mount, target));
    made.commit(mount, target);
    return {};
}

bool MountTable::has_unbindable(Mount& top) {
    for (Mount* mount = &top; mount; mount = next_within(*mount, top))
        if (mount->unbindable_) return true;
    return false;
}

/// Takes a mount with all on it to another place. mount_lock held.
void MountTable::relocate(Mount& mount, const Path& place) {
    Path target = place;
    Path old_place; // its references go without the lock
    core::SpinGuard guard(mount_table_lock);
    old_place = unlink_locked(mount);
    link_locked(mount, std::move(target));
    guard.unlock();
}

/// pivot_root(2)'s conditions, in Linux's order. mount_lock held.
Result<void> MountTable::may_pivot(const Path& old_root, const Path& new_root, const Path& put_old) {
    const Mount& fresh = *new_root.mount;
    const Mount& old = *old_root.mount;
    // Others would see half of the change.
    auto is_in_shared = [](const Mount& mount) { return mount.parent_ && mount.parent_->is_shared(); };
    if (put_old.mount->is_shared() || is_in_shared(fresh) || is_in_shared(old)) return error(Errno::EINVAL);
    if (!fresh.attached_ || !old.attached_ || !put_old.mount->attached_) return error(Errno::EINVAL);
    if (new_root.dentry->is_unlinked() || put_old.dentry->is_unlinked()) return error(Errno::ENOENT);
    if (&fresh == &old || put_old.mount == old_root.mount) return error(Errno::EBUSY);
    if (new_root.dentry != &fresh.root() || old_root.dentry != &old.root()) return error(Errno::EINVAL);
    // The first root has nothing above it and can't be moved; neither can what has no parent.
    if (!old.parent_ || !fresh.parent_) return error(Errno::EINVAL);
    if (!put_old.mount->is_below(fresh) ||
        (put_old.mount == new_root.mount && !put_old.dentry->is_same_or_below(*new_root.dentry)))
        return error(Errno::EINVAL);
    return {};
}

Result<void> MountTable::pivot_root(const Path& new_root, const Path& put_old) {
    Path old_root = current_fs().root();
    {
        core::MutexGuard guard(mount_lock);
        Path target = put_old;
        cross_down(target);
        core::ReadGuard place_guard(target.inode()->lock);
        TRY(may_pivot(old_root, new_root, target));
        Mount& fresh = *new_root.mount;
        Mount& old = *old_root.mount;
        Path old_place, fresh_place; // references go without the lock
        core::SpinGuard table_guard(mount_table_lock);
        fresh_place = unlink_locked(fresh);
        old_place = unlink_locked(old);
        link_locked(fresh, std::move(old_place));
        link_locked(old, std::move(target));
        table_guard.unlock();
    }
    FsContext::replace_everywhere(old_root, new_root);
    return {};
}

Result<void> MountTable::set_propagation(const Path& mount_root, Propagation kind, Extent extent) {
    core::MutexGuard guard(mount_lock);
    Mount& top = *mount_root.mount;
    if (mount_root.dentry != &top.root() || !top.attached_) return error(Errno::EINVAL);
    auto next = [&](Mount& at) { return extent == Extent::Tree ? next_within(at, top) : nullptr; };
    // What is needed is there before anything changes. With each that leaves, a group may come to need one less.
    ArrayList<OwnPtr<PeerGroup>> spares;
    for (Mount* mount = &top; mount; mount = next(*mount))
        if (PeerGroup::needs_group(*mount, kind)) TRY(spares.try_push(TRY(PeerGroup::create())));
    for (Mount* mount = &top; mount; mount = next(*mount)) {
        OwnPtr<PeerGroup> spare;
        if (PeerGroup::needs_group(*mount, kind)) {
            spare = std::move(spares.span().back());
            spares.pop();
        }
        PeerGroup::set(*mount, kind, std::move(spare));
    }
    return {};
}

} // namespace linnet::vfs
