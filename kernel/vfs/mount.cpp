// The tree of mounts: look-ups for path walks, and attaching and detaching.
//
// mount_lock (sleeping) serialises changes; table_lock (spinlock) guards the hash table, parents and
// mountpoints, so that a walk can cross a mount without sleeping. An attached mount has one reference from
// the tree, and refers to its parent and to the dentry it covers. References that go are released after
// table_lock.
#include "dentry_sequence.hpp"

#include <abi/linux/fs.hpp>
#include <cstring>
#include <vfs/current.hpp>
#include <vfs/fs_context.hpp>
#include <vfs/mount.hpp>

namespace linnet::vfs {

namespace {

constexpr usize bucket_count = 128;
constexpr u32 mount_limit = 100'000; // fs.mount-max

using MountList = IntrusiveList<Mount, &Mount::list_node>;

constinit core::Mutex mount_lock;
constinit core::SpinLock table_lock;
[[clang::no_destroy]] constinit IntrusiveList<Mount, &Mount::hash_node> mount_buckets[bucket_count];
[[clang::no_destroy]] constinit MountList all_mounts; // parents before children; mount_lock
constinit Mount* root_mount = nullptr;                // table_lock
constinit u32 mount_count = 0;                        // mount_lock
constinit std::atomic<u32> next_id{1};

auto& bucket_of(const Mount& parent, const Dentry& mountpoint) {
    u64 key = (reinterpret_cast<u64>(&parent) >> 6) * 31 + (reinterpret_cast<u64>(&mountpoint) >> 6);
    return mount_buckets[key % bucket_count];
}

} // namespace

Result<RefPtr<Mount>> Mount::create(RefPtr<SuperBlock> superblock, RefPtr<Dentry> root, std::string_view source,
                                    u64 flags) {
    auto* mount = new (std::nothrow) Mount;
    if (!mount) return error(Errno::ENOMEM);
    mount->superblock_ = std::move(superblock);
    mount->root_ = std::move(root);
    mount->flags_ = flags;
    mount->id_ = next_id.fetch_add(1, std::memory_order_relaxed);
    mount->source_length_ = static_cast<u16>(std::min(source.size(), max_source));
    std::memcpy(mount->source_, source.data(), mount->source_length_);
    return adopt_ref(*mount);
}

void Mount::last_reference_dropped() { delete this; }

bool Mount::is_below(const Mount& ancestor) const {
    for (const Mount* at = this; at; at = at->parent_.get())
        if (at == &ancestor) return true;
    return false;
}

/// Links a mount into tree and table, which take a reference. mount_lock held.
Result<void> MountTable::link(Mount& mount, const Path& place) {
    if (mount_count >= mount_limit) return error(Errno::ENOSPC);
    ++mount_count;
    mount.ref();
    all_mounts.push_back(mount);
    place.dentry->mount_count_.fetch_add(1);
    core::SpinGuard guard(table_lock);
    tree_sequence.fetch_add(1);
    mount.parent_ = place.mount;
    mount.mountpoint_ = place.dentry;
    ++place.mount->child_count_;
    mount.attached_ = true;
    bucket_of(*place.mount, *place.dentry).push_front(mount);
    tree_sequence.fetch_add(1);
    return {};
}

/// Takes a mount out of the table; the place it covered is returned. mount_lock and table_lock held.
Path MountTable::unlink_locked(Mount& mount) {
    tree_sequence.fetch_add(1);
    Path place;
    place.mount = std::move(mount.parent_);
    place.dentry = std::move(mount.mountpoint_);
    mount.hash_node.unlink();
    mount.attached_ = false;
    if (place.mount) {
        --place.mount->child_count_;
        place.dentry->mount_count_.fetch_sub(1);
    }
    tree_sequence.fetch_add(1);
    return place;
}

Result<RefPtr<Mount>> MountTable::mount_root(RefPtr<SuperBlock> superblock, std::string_view source) {
    auto root_dentry = superblock->root_reference();
    auto mount = TRY(Mount::create(std::move(superblock), std::move(root_dentry), source, abi::MS_RELATIME));
    core::MutexGuard guard(mount_lock);
    if (root_mount) return error(Errno::EBUSY);
    mount->ref();
    mount->attached_ = true;
    all_mounts.push_back(*mount);
    ++mount_count;
    core::SpinGuard table_guard(table_lock);
    root_mount = mount.get();
    return mount;
}

RefPtr<Mount> MountTable::root() {
    core::SpinGuard guard(table_lock);
    return RefPtr<Mount>(*root_mount);
}

NullableRefPtr<Mount> MountTable::mounted_at(const Path& place) {
    core::SpinGuard guard(table_lock);
    for (Mount& mount : bucket_of(*place.mount, *place.dentry))
        if (mount.parent_ == place.mount && mount.mountpoint_ == place.dentry) return NullableRefPtr<Mount>(&mount);
    return {};
}

void MountTable::cross_down(Path& path) {
    while (path.dentry->is_mountpoint()) {
        auto mount = mounted_at(path);
        if (!mount) return;
        path.dentry = NullableRefPtr<Dentry>(&mount->root());
        path.mount = std::move(mount);
    }
}

bool MountTable::cross_up(Path& path) {
    Path above;
    {
        core::SpinGuard guard(table_lock);
        if (!path.mount->parent_) return false;
        above.mount = path.mount->parent_;
        above.dentry = path.mount->mountpoint_;
    }
    path = std::move(above);
    return true;
}

Result<void> MountTable::attach(Mount& mount, const Path& place) {
    core::MutexGuard guard(mount_lock);
    Path target = place;
    cross_down(target);
    if (!target.mount->attached_) return error(Errno::EINVAL);
    if (target.dentry->is_unlinked()) return error(Errno::ENOENT);
    if (target.inode()->is_directory() != mount.root().inode()->is_directory()) return error(Errno::ENOTDIR);
    // The same file system over itself is a mistake (mount(2), EBUSY).
    if (&target.mount->superblock() == &mount.superblock() && target.dentry == &target.mount->root())
        return error(Errno::EBUSY);
    return link(mount, target);
}

/// Everything mounted below `top`, `top` included, is taken out of the tree. mount_lock held. The references
/// of the tree are moved to `out`.
void MountTable::unlink_tree(Mount& top, MountList& out) {
    // Parents come before children in the list, so one pass finds all that hang below the ones marked.
    for (Mount& mount : all_mounts) mount.marked_ = &mount == &top || (mount.parent_ && mount.parent_->marked_);
    for (Mount* mount = all_mounts.first(); mount;) {
        Mount* next = all_mounts.next(*mount);
        if (mount->marked_) {
            all_mounts.remove(*mount);
            out.push_back(*mount);
            --mount_count;
        }
        mount = next;
    }
}

Result<void> MountTable::detach(const Path& mount_root, u32 flags) {
    Mount& mount = *mount_root.mount;
    MountList gone;
    {
        core::MutexGuard guard(mount_lock);
        if (mount_root.dentry != &mount.root() || !mount.attached_) return error(Errno::EINVAL);
        if (&mount == root_mount) return error(flags & abi::MNT_DETACH ? Errno::EINVAL : Errno::EBUSY);
        if (flags & abi::MNT_DETACH) {
            unlink_tree(mount, gone);
        } else {
            // The tree's reference and the caller's path; children and files would be more. Checked under
            // table_lock, so that no walk crosses into it any more.
            core::SpinGuard table_guard(table_lock);
            if (mount.ref_count() > 2 || mount.child_count_ > 0) return error(Errno::EBUSY);
            Path place = unlink_locked(mount);
            table_guard.unlock();
            all_mounts.remove(mount);
            gone.push_back(mount);
            --mount_count;
        }
    }
    while (Mount* one = gone.pop_front()) {
        {
            core::SpinGuard table_guard(table_lock);
            Path place = one->attached_ ? unlink_locked(*one) : Path();
            table_guard.unlock();
        }
        unmounted(*one);
        one->unref();
    }
    return {};
}

Result<void> MountTable::move(const Path& from, const Path& to) {
    core::MutexGuard guard(mount_lock);
    Mount& mount = *from.mount;
    if (from.dentry != &mount.root() || !mount.attached_ || &mount == root_mount) return error(Errno::EINVAL);
    Path target = to;
    cross_down(target);
    if (!target.mount->attached_ || target.mount == from.mount) return error(Errno::EINVAL);
    if (target.mount->is_below(mount)) return error(Errno::ELOOP);
    if (target.inode()->is_directory() != mount.root().inode()->is_directory()) return error(Errno::ENOTDIR);
    core::SpinGuard table_guard(table_lock);
    Path old_place = unlink_locked(mount);
    table_guard.unlock();
    relink(mount, target);
    return {};
}

/// link() for a mount that stays in the list, which is put in order again. mount_lock held.
void MountTable::relink(Mount& mount, const Path& place) {
    place.dentry->mount_count_.fetch_add(1);
    {
        core::SpinGuard guard(table_lock);
        tree_sequence.fetch_add(1);
        mount.parent_ = place.mount;
        mount.mountpoint_ = place.dentry;
        ++place.mount->child_count_;
        mount.attached_ = true;
        bucket_of(*place.mount, *place.dentry).push_front(mount);
        tree_sequence.fetch_add(1);
    }
    MountList subtree;
    unlink_tree(mount, subtree);
    while (Mount* one = subtree.pop_front()) {
        all_mounts.push_back(*one);
        ++mount_count;
    }
}

Result<void> MountTable::bind(const Path& from, const Path& to, u64 flags) {
    core::MutexGuard guard(mount_lock);
    Path target = to;
    cross_down(target);
    Mount& original = *from.mount;
    if (!original.attached_ || !target.mount->attached_) return error(Errno::EINVAL);
    if (target.dentry->is_unlinked()) return error(Errno::ENOENT);
    if (from.inode()->is_directory() != target.inode()->is_directory()) return error(Errno::ENOTDIR);
    auto copy = TRY(Mount::create(RefPtr<SuperBlock>(original.superblock()), RefPtr<Dentry>(*from.dentry),
                                  original.source(), original.flags()));
    Mount* last_before = all_mounts.last();
    TRY(link(*copy, target));
    if (!(flags & abi::MS_REC)) return {};

    // Copies of what is mounted below, each onto the copy of its parent. Only mounts that were there before.
    original.copy_ = copy.get();
    Result<void> result{};
    for (Mount* mount = all_mounts.first(); mount && result; mount = all_mounts.next(*mount)) {
        Mount* parent = mount->parent_.get();
        bool below = parent && parent->copy_ &&
                     mount->mountpoint_->is_same_or_below(parent == &original ? *from.dentry : parent->root());
        if (below && mount != copy.get()) result = copy_submount(*mount, *parent->copy_);
        if (mount == last_before) break;
    }
    for (Mount& mount : all_mounts) mount.copy_ = nullptr;
    return result;
}

Result<void> MountTable::copy_submount(Mount& mount, Mount& new_parent) {
    auto copy = TRY(Mount::create(RefPtr<SuperBlock>(mount.superblock()), RefPtr<Dentry>(mount.root()), mount.source(),
                                  mount.flags()));
    TRY(link(*copy, Path(RefPtr<Mount>(new_parent), RefPtr<Dentry>(*mount.mountpoint_))));
    mount.copy_ = copy.get();
    return {};
}

Result<void> MountTable::pivot_root(const Path& new_root, const Path& put_old) {
    Path old_root = current_fs().root();
    {
        core::MutexGuard guard(mount_lock);
        Mount& fresh = *new_root.mount;
        Mount& old = *old_root.mount;
        if (!fresh.attached_ || !old.attached_ || !put_old.mount->attached_) return error(Errno::EINVAL);
        if (&fresh == &old || put_old.mount == old_root.mount) return error(Errno::EBUSY);
        if (new_root.dentry != &fresh.root() || old_root.dentry != &old.root()) return error(Errno::EINVAL);
        // The first root has nothing above it and can't be moved; neither can what has no parent.
        if (!old.parent_ || !fresh.parent_) return error(Errno::EINVAL);
        if (!put_old.mount->is_below(fresh) ||
            (put_old.mount == new_root.mount && !put_old.dentry->is_same_or_below(*new_root.dentry)))
            return error(Errno::EINVAL);
        if (put_old.dentry->is_unlinked()) return error(Errno::ENOENT);
        Path old_place, fresh_place;
        {
            core::SpinGuard table_guard(table_lock);
            fresh_place = unlink_locked(fresh);
            old_place = unlink_locked(old);
        }
        relink(fresh, old_place);
        relink(old, put_old);
    }
    FsContext::replace_everywhere(old_root, new_root);
    return {};
}

void MountTable::for_each(FunctionRef<void(const Entry&)> visit) {
    core::MutexGuard guard(mount_lock);
    for (Mount& mount : all_mounts) visit({mount, mount.parent_.get(), mount.mountpoint_.get()});
}

} // namespace linnet::vfs
