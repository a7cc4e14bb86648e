// The tree of mounts: look-ups for path walks, and what links a mount into it and takes it out.
//
// mount_lock (sleeping) serialises changes; mount_table_lock (spinlock) guards the hash table, parents and mountpoints,
// so that a walk can cross a mount without sleeping. Whoever holds either may read them. An attached mount has one
// reference from the tree, and refers to its parent and to the dentry it covers. At most one mount is at a place: what
// covers it is mounted on its root. References that go are released after mount_table_lock.
#include "mount_tree.hpp"

#include "dentry_sequence.hpp"
#include "propagation.hpp"

#include <abi/linux/fs.hpp>
#include <cstring>

namespace linnet::vfs {

constinit core::Mutex mount_lock;
constinit core::SpinLock mount_table_lock;
[[clang::no_destroy]] constinit MountList all_mounts;
constinit u32 mount_count = 0;
constinit Mount* first_root = nullptr;
constinit std::atomic<u64> MountTable::most_mounts{100'000};

namespace {

constexpr usize bucket_count = 2048;
[[clang::no_destroy]] constinit IntrusiveList<Mount, &Mount::hash_node> mount_buckets[bucket_count];
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

/// What is mounted at this place by itself, or null. Either lock held.
Mount* MountTable::child_at(const Mount& parent, const Dentry& place) {
    for (Mount& mount : bucket_of(parent, place))
        if (mount.parent_ == &parent && mount.mountpoint_ == &place) return &mount;
    return nullptr;
}

/// Makes a mount visible at a place where nothing is mounted. Both locks held.
void MountTable::link_locked(Mount& mount, Path place) {
    tree_sequence.fetch_add(1);
    mount.parent_ = std::move(place.mount);
    mount.mountpoint_ = std::move(place.dentry);
    mount.mountpoint_->mount_count_.fetch_add(1);
    mount.parent_->children_.push_back(mount);
    ++mount.parent_->child_count_;
    mount.attached_ = true;
    bucket_of(*mount.parent_, *mount.mountpoint_).push_front(mount);
    tree_sequence.fetch_add(1);
}

/// Takes a mount out of the table; the place it covered is returned. Both locks held.
Path MountTable::unlink_locked(Mount& mount) {
    tree_sequence.fetch_add(1);
    Path place;
    place.mount = std::move(mount.parent_);
    place.dentry = std::move(mount.mountpoint_);
    mount.hash_node.unlink();
    mount.sibling_node.unlink();
    mount.attached_ = false;
    if (place.mount) {
        --place.mount->child_count_;
        place.dentry->mount_count_.fetch_sub(1);
    }
    tree_sequence.fetch_add(1);
    return place;
}

/// Puts a mount on the list of all, which takes over a reference. mount_lock held.
void MountTable::enlist(Mount& mount) {
    all_mounts.push_back(mount);
    ++mount_count;
}

/// The mount behind `at` in an order of the tree of `top` that has parents first, with what is mounted on `at` or
/// without; null at the end. Also for trees that don't show yet. mount_lock held.
Mount* MountTable::next_within(Mount& at, const Mount& top, Below below) {
    if (below == Below::Visit && !at.children_.is_empty()) return at.children_.first();
    for (Mount* mount = &at; mount != &top; mount = mount->parent_.get())
        if (Mount* sibling = mount->parent_->children_.next(*mount)) return sibling;
    return nullptr;
}

Result<RefPtr<Mount>> MountTable::mount_root(RefPtr<SuperBlock> superblock, std::string_view source) {
    auto root_dentry = superblock->root_reference();
    auto mount = TRY(Mount::create(std::move(superblock), std::move(root_dentry), source, abi::MS_RELATIME));
    core::MutexGuard guard(mount_lock);
    if (first_root) return error(Errno::EBUSY);
    mount->ref();
    enlist(*mount);
    core::SpinGuard table_guard(mount_table_lock);
    mount->attached_ = true;
    first_root = mount.get();
    return mount;
}

RefPtr<Mount> MountTable::root() {
    core::SpinGuard guard(mount_table_lock);
    return RefPtr<Mount>(*first_root);
}

NullableRefPtr<Mount> MountTable::mounted_at(const Path& place) {
    core::SpinGuard guard(mount_table_lock);
    return NullableRefPtr<Mount>(child_at(*place.mount, *place.dentry));
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
        core::SpinGuard guard(mount_table_lock);
        if (!path.mount->parent_) return false;
        above.mount = path.mount->parent_;
        above.dentry = path.mount->mountpoint_;
    }
    path = std::move(above);
    return true;
}

void MountTable::for_each(FunctionRef<void(const Entry&)> visit) {
    core::MutexGuard guard(mount_lock);
    for (Mount& mount : all_mounts) {
        PeerGroup* group = mount.group_;
        PeerGroup* master = group ? group->master() : nullptr;
        visit({.mount = mount,
               .parent = mount.parent_.get(),
               .mountpoint = mount.mountpoint_.get(),
               .shared_group = group ? group->id() : 0,
               .master_group = master ? master->id() : 0,
               .is_unbindable = mount.unbindable_});
    }
}

u32 MountTable::visible_master(const Entry& entry, const Path& root) {
    auto is_visible = [&](const Mount& mount) {
        const Mount* at = &mount;
        Dentry* dentry = &mount.root();
        for (; at && at != root.mount.get(); at = at->parent_.get()) dentry = at->mountpoint_.get();
        return at && dentry && dentry->is_same_or_below(*root.dentry);
    };
    PeerGroup* group = entry.mount.group_ ? entry.mount.group_->master() : nullptr;
    for (; group; group = group->master())
        if (group->has_member(is_visible)) return group->id();
    return 0;
}

} // namespace linnet::vfs
