// Peer groups: members, masters and slaves.
#include "propagation.hpp"

namespace linnet::vfs {

namespace {
constinit u32 last_id = 0; // mount_lock
} // namespace

bool Mount::is_shared() const { return group_ && group_->is_shared(); }

Result<OwnPtr<PeerGroup>> PeerGroup::create() { return try_make<PeerGroup>(); }

void PeerGroup::begin(OwnPtr<PeerGroup> group, PeerGroup* master, Mount& member) {
    group->set_master(master);
    group.release()->add(member); // which owns it from now on, with those that join
}

void PeerGroup::make_shared() {
    if (id_ == 0) id_ = ++last_id;
}

void PeerGroup::make_unshared() {
    id_ = 0;
    if (!master_) leave(*members_.first());
}

void PeerGroup::add(Mount& member) {
    members_.push_back(member);
    member.group_ = this;
}

void PeerGroup::set_master(PeerGroup* master) {
    if (master_) sibling_node.unlink();
    master_ = master;
    if (master_) master_->slaves_.push_back(*this);
}

/// Without `other`, those that aren't shared either are private from then on.
void PeerGroup::give_slaves_to(PeerGroup* other) {
    while (PeerGroup* slave = slaves_.first()) {
        slave->set_master(other);
        if (!other && !slave->is_shared()) leave(*slave->members_.first());
    }
}

void PeerGroup::leave(Mount& member) {
    PeerGroup* group = member.group_;
    if (!group) return;
    group->members_.remove(member);
    member.group_ = nullptr;
    if (!group->members_.is_empty()) return;
    // No deep recursion: below groups without a number there is nothing.
    group->give_slaves_to(group->master_);
    group->set_master(nullptr);
    delete group;
}

bool PeerGroup::needs_group(const Mount& mount, Propagation kind) {
    if (kind == Propagation::Shared) return !mount.group_;
    return kind == Propagation::Slave && mount.is_shared() && mount.group_->has_several_members();
}

void PeerGroup::become_slave(Mount& mount, OwnPtr<PeerGroup> spare) {
    PeerGroup* group = mount.group_;
    if (!mount.is_shared()) return; // private and unbindable ones stay so
    if (group->has_several_members()) {
        leave(mount);
        begin(std::move(spare), group, mount);
        return;
    }
    // Without peers its master is its group's.
    group->give_slaves_to(group->master_);
    group->make_unshared();
}

void PeerGroup::set(Mount& mount, Propagation kind, OwnPtr<PeerGroup> spare) {
    switch (kind) {
    case Propagation::Shared:
        if (!mount.group_) begin(std::move(spare), nullptr, mount);
        mount.group_->make_shared();
        mount.unbindable_ = false;
        return;
    case Propagation::Slave:
        return become_slave(mount, std::move(spare));
    case Propagation::Private:
    case Propagation::Unbindable:
        leave(mount);
        mount.unbindable_ = kind == Propagation::Unbindable;
        return;
    }
}

/// The next group of the tree below `top` in an order that has masters first; null at its end.
PeerGroup* PeerGroup::next_below(const PeerGroup& top) {
    if (PeerGroup* slave = slaves_.first()) return slave;
    for (PeerGroup* at = this; at != &top; at = at->master_)
        if (PeerGroup* sibling = at->master_->slaves_.next(*at)) return sibling;
    return nullptr;
}

Result<void> PeerGroup::for_each_receiver(const Mount& origin, FunctionRef<Result<void>(Mount&)> visit) {
    if (!origin.is_shared()) return {};
    PeerGroup& top = *origin.group_;
    for (PeerGroup* group = &top; group; group = group->next_below(top))
        for (Mount& member : group->members_)
            if (&member != &origin && member.attached_) TRY(visit(member));
    return {};
}

bool PeerGroup::has_member(FunctionRef<bool(const Mount&)> test) {
    for (const Mount& member : members_)
        if (member.attached_ && test(member)) return true;
    return false;
}

void PeerGroup::forget_copies() {
    for (PeerGroup* group = this; group; group = group->next_below(*this)) group->first_copy = nullptr;
}

} // namespace linnet::vfs
