// Copies of mounts and of their trees, for MS_BIND and for propagation.
#include "mount_copies.hpp"

namespace linnet::vfs {

MountCopies::~MountCopies() {
    while (Mount* mount = made_.pop_front()) {
        PeerGroup::leave(*mount);
        mount->sibling_node.unlink();
        mount->parent_ = nullptr;
        mount->mountpoint_ = nullptr;
        mount->unref();
    }
    for (Mount* mount = shared_; mount; mount = MountTable::next_within(*mount, *shared_)) {
        if (std::exchange(mount->newly_shared_, false)) mount->group_->make_unshared();
    }
}

Result<void> MountCopies::adopt(Mount& mount) {
    if (mount_count + count_ >= MountTable::most_mounts.load(std::memory_order_relaxed)) return error(Errno::ENOSPC);
    ++count_;
    mount.ref();
    made_.push_back(mount);
    return {};
}

Result<void> MountCopies::join(Mount& copy, Mount& original, As as) {
    PeerGroup* group = original.group_;
    if (as == As::Peer) {
        if (!group) return {};
        if (group->is_shared()) {
            group->add(copy);
            return {};
        }
    }
    PeerGroup* master = as == As::Peer ? group->master() : group;
    PeerGroup::begin(TRY(PeerGroup::create()), master, copy);
    if (as == As::SharedSlave) copy.group_->make_shared();
    return {};
}

Result<Mount*> MountCopies::copy_one(Mount& original, Dentry& root, As as) {
    auto copy = TRY(Mount::create(RefPtr<SuperBlock>(original.superblock()), RefPtr<Dentry>(root), original.source(),
                                  original.flags()));
    TRY(adopt(*copy));
    TRY(join(*copy, original, as));
    original.copy_ = copy.get();
    return copy.get();
}

/// Links a mount that doesn't show to its parent, which doesn't either.
void MountCopies::place_within(Mount& mount, Mount& parent, Dentry& mountpoint) {
    mount.parent_ = NullableRefPtr<Mount>(&parent);
    mount.mountpoint_ = NullableRefPtr<Dentry>(&mountpoint);
    parent.children_.push_back(mount);
}

Result<Mount*> MountCopies::copy(Mount& top, Dentry& root, MountTable::Extent extent) {
    return extent == MountTable::Extent::Tree ? copy_tree(top, root, As::Peer) : copy_one(top, root, As::Peer);
}

Result<Mount*> MountCopies::copy_tree(Mount& top, Dentry& root, As as) {
    Mount* copy_of_top = TRY(copy_one(top, root, as));
    auto is_wanted = [&](const Mount& mount) {
        return !mount.unbindable_ && (mount.parent_ != &top || mount.mountpoint_->is_same_or_below(root));
    };
    for (Mount* at = top.children_.first(); at;) {
        bool wanted = is_wanted(*at);
        if (wanted) {
            Mount* copy = TRY(copy_one(*at, at->root(), as));
            place_within(*copy, *at->parent_->copy_, *at->mountpoint_);
        }
        at = MountTable::next_within(*at, top, wanted ? MountTable::Below::Visit : MountTable::Below::Skip);
    }
    return copy_of_top;
}

/// Makes every mount of the tree shared, which can be undone.
Result<void> MountCopies::share(Mount& source) {
    if (source.attached_) shared_ = &source; // else it was made here, and goes whole
    for (Mount* mount = &source; mount; mount = MountTable::next_within(*mount, source)) {
        if (mount->is_shared()) continue;
        OwnPtr<PeerGroup> spare;
        if (PeerGroup::needs_group(*mount, Propagation::Shared)) spare = TRY(PeerGroup::create());
        PeerGroup::set(*mount, Propagation::Shared, std::move(spare));
        mount->newly_shared_ = shared_ != nullptr;
    }
    return {};
}

/// The first receiver of a group gets slaves of what was made for the nearest group above, the others peers of those.
Result<void> MountCopies::copy_for(Mount& receiver, Dentry& place) {
    if (!place.is_same_or_below(receiver.root())) return {}; // it doesn't show that part of the file system
    PeerGroup& group = *receiver.group_;
    PeerGroup* above = &group;
    while (!above->first_copy) above = above->master();
    As as = group.is_shared() ? As::SharedSlave : As::Slave;
    if (above == &group) as = As::Peer;
    Mount* copy = TRY(copy_tree(*above->first_copy, above->first_copy->root(), as));
    copy->target_ = &receiver;
    if (!group.first_copy) group.first_copy = copy;
    return {};
}

Result<void> MountCopies::propagate(Mount& source, const Path& place) {
    if (!place.mount->is_shared()) return {};
    TRY(share(source));
    PeerGroup& group = *place.mount->group_;
    group.first_copy = &source;
    Result<void> result =
        PeerGroup::for_each_receiver(*place.mount, [&](Mount& receiver) { return copy_for(receiver, *place.dentry); });
    group.forget_copies();
    return result;
}

/// Mounts a tree at a place. What is mounted there by itself goes on top of it.
void MountCopies::show(Mount& mount, const Path& place) {
    Mount* top = &mount;
    while (Mount* above = MountTable::child_at(*top, top->root())) top = above;
    Path target = place;
    Path top_root(RefPtr<Mount>(*top), RefPtr<Dentry>(top->root()));
    Path old_place; // its references go without the lock
    core::SpinGuard guard(mount_table_lock);
    Mount* covered = MountTable::child_at(*place.mount, *place.dentry);
    if (covered) old_place = MountTable::unlink_locked(*covered);
    MountTable::link_locked(mount, std::move(target));
    if (covered) MountTable::link_locked(*covered, std::move(top_root));
    guard.unlock();
}

void MountCopies::commit(Mount& source, const Path& place) {
    for (Mount* mount = shared_; mount; mount = MountTable::next_within(*mount, *shared_)) mount->newly_shared_ = false;
    shared_ = nullptr;
    // First what is within the trees, where nobody can come yet; so each appears whole.
    for (Mount& mount : made_) {
        if (!mount.parent_) continue;
        mount.sibling_node.unlink();
        core::SpinGuard guard(mount_table_lock);
        Path within;
        within.mount = std::move(mount.parent_);
        within.dentry = std::move(mount.mountpoint_);
        MountTable::link_locked(mount, std::move(within));
    }
    if (source.attached_) MountTable::relocate(source, place);
    while (Mount* mount = made_.pop_front()) {
        MountTable::enlist(*mount);
        if (mount->parent_) continue;
        Mount* receiver = std::exchange(mount->target_, nullptr);
        show(*mount, receiver ? Path(RefPtr<Mount>(*receiver), RefPtr<Dentry>(*place.dentry)) : place);
    }
}

} // namespace linnet::vfs
