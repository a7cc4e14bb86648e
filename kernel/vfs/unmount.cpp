// umount2(2): what goes, in the tree and in the mounts that hear of it.
//
// What the caller names is *chosen*: one mount, or with MNT_DETACH all that is mounted on it. In every mount that hears
// of what happens in the parent of a chosen one, the mount at the same place *follows*, unless something stays mounted
// within it. What only covers it whole stays, too, and takes its place.
#include "mount_tree.hpp"
#include "propagation.hpp"

#include <abi/linux/fs.hpp>
#include <vfs/current.hpp>
#include <vfs/fs_context.hpp>

namespace linnet::vfs {

/// One unmount; lives within one hold of mount_lock.
class Unmount {
public:
    Unmount(Mount& top, MountTable::Extent extent);
    /// EBUSY when anything that is to go is used by others than the caller's path; then nothing has changed.
    Result<void> take_out_unused();
    void take_out();
    /// What was taken out goes to `gone`, with the tree's references.
    void finish(MountList& gone);
    void cancel();

private:
    void choose(Mount& mount);
    void let_follow(Mount& mount);
    void keep_what_holds(const Mount& stays);
    [[nodiscard]] bool is_used();
    static void take_out_locked(Mount& mount);

    Mount& top_;
    WorkList going_; // chosen ones first
};

Unmount::Unmount(Mount& top, MountTable::Extent extent) : top_(top) {
    for (Mount* mount = &top; mount; mount = MountTable::next_within(*mount, top)) {
        choose(*mount);
        if (extent == MountTable::Extent::One) break;
    }
    for (Mount& mount : going_)
        if (mount.fate_ == Mount::Fate::Chosen && !mount.has_followers_) let_follow(mount);
    for (Mount& mount : going_)
        for (const Mount& child : mount.children_)
            if (child.fate_ == Mount::Fate::Stays) keep_what_holds(child);
}

void Unmount::choose(Mount& mount) {
    mount.fate_ = Mount::Fate::Chosen;
    going_.push_back(mount);
}

/// Those that hear of a receiver hear of this one, too. So of a chosen mount that is met here there is nobody else to
/// be found: a tree with a thousand peers takes a thousand steps and not a million.
void Unmount::let_follow(Mount& mount) {
    auto follow = [&](const Mount& receiver) -> Result<void> {
        Mount* same = MountTable::child_at(receiver, *mount.mountpoint_);
        if (same && same->fate_ == Mount::Fate::Chosen) same->has_followers_ = true;
        if (!same || same->fate_ != Mount::Fate::Stays) return {};
        same->fate_ = Mount::Fate::Follows;
        going_.push_back(*same);
        return {};
    };
    (void)PeerGroup::for_each_receiver(*mount.parent_, follow); // it fails only where `follow` does
}

/// `stays` will not go: neither does what would follow but has it within. What is covered whole may go from under it.
void Unmount::keep_what_holds(const Mount& stays) {
    const Mount* place = &stays; // where what stays will be
    for (Mount* parent = stays.parent_.get(); parent && parent->fate_ == Mount::Fate::Follows;) {
        if (place->mountpoint_ != &parent->root()) parent->fate_ = Mount::Fate::Stays;
        place = parent;
        parent = parent->parent_.get();
    }
}

/// mount_table_lock held, so that no walk comes in behind the look.
bool Unmount::is_used() {
    if (top_.child_count_ > 0) return true;
    for (const Mount& mount : going_) {
        if (mount.fate_ == Mount::Fate::Stays) continue;
        // The tree's reference, those of children, and for the chosen one the caller's path.
        const u32 expected = 1 + mount.child_count_ + (&mount == &top_ ? 1 : 0);
        if (mount.ref_count() > expected) return true;
    }
    return false;
}

/// What covers the mount takes its place. Both locks held.
void Unmount::take_out_locked(Mount& mount) {
    Mount* cover = MountTable::child_at(mount, mount.root());
    Path own_place = MountTable::unlink_locked(mount);
    if (cover) {
        mount.old_place_ = MountTable::unlink_locked(*cover);
        MountTable::link_locked(*cover, std::move(own_place));
    } else {
        mount.old_place_ = std::move(own_place);
    }
}

Result<void> Unmount::take_out_unused() {
    core::SpinGuard guard(mount_table_lock);
    if (is_used()) return error(Errno::EBUSY);
    for (Mount& mount : going_)
        if (mount.fate_ != Mount::Fate::Stays) take_out_locked(mount);
    return {};
}

void Unmount::take_out() {
    for (Mount& mount : going_) {
        if (mount.fate_ == Mount::Fate::Stays) continue;
        core::SpinGuard guard(mount_table_lock);
        take_out_locked(mount);
    }
}

void Unmount::cancel() {
    while (Mount* mount = going_.pop_front()) {
        mount->fate_ = Mount::Fate::Stays;
        mount->has_followers_ = false;
    }
}

void Unmount::finish(MountList& gone) {
    while (Mount* mount = going_.pop_front()) {
        mount->has_followers_ = false;
        if (std::exchange(mount->fate_, Mount::Fate::Stays) == Mount::Fate::Stays) continue;
        PeerGroup::leave(*mount);
        mount->unbindable_ = false;
        all_mounts.remove(*mount);
        --mount_count;
        gone.push_back(*mount);
    }
}

/// MNT_EXPIRE: the first call marks the mount, and one that finds the mark goes on. mount_lock held.
Result<void> MountTable::expire(Mount& mount, u32 flags) {
    if (&mount == current_fs().root().mount.get() || (flags & (abi::MNT_FORCE | abi::MNT_DETACH)))
        return error(Errno::EINVAL);
    {
        core::SpinGuard guard(mount_table_lock);
        if (mount.ref_count() > 2) return error(Errno::EBUSY);
    }
    if (!mount.expires_.exchange(true, std::memory_order_relaxed)) return error(Errno::EAGAIN);
    return {};
}

Result<void> MountTable::detach(const Path& mount_root, u32 flags) {
    Mount& mount = *mount_root.mount;
    const bool lazily = (flags & abi::MNT_DETACH) != 0;
    MountList gone;
    {
        core::MutexGuard guard(mount_lock);
        if (mount_root.dentry != &mount.root() || !mount.attached_) return error(Errno::EINVAL);
        if (flags & abi::MNT_EXPIRE) TRY(expire(mount, flags));
        if (!mount.parent_) return error(lazily ? Errno::EINVAL : Errno::EBUSY);
        if (!lazily && mount.child_count_ > 0) return error(Errno::EBUSY);
        Unmount unmount(mount, lazily ? Extent::Tree : Extent::One);
        if (lazily)
            unmount.take_out();
        else if (auto taken = unmount.take_out_unused(); !taken) {
            unmount.cancel();
            return taken;
        }
        unmount.finish(gone);
    }
    while (Mount* one = gone.pop_front()) {
        one->old_place_ = Path();
        unmounted(*one);
        one->unref();
    }
    return {};
}

} // namespace linnet::vfs
