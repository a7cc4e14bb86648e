// PeerGroup: mounts that tell each other of what is mounted and unmounted below them (mount_namespaces(7), SHARED
// SUBTREES).
//
// Groups form trees: what the members of a group hear of reaches the slaves of the group, and never the other way. A
// mount that is a slave and not shared is a group of its own, without a number and with nobody below it. All members of
// a group have the same master, because members come only as copies of one another; so the master is the group's. A
// group lives as long as it has members. Nothing here asks in whose tree a mount is.
//
// All functions want mount_lock held.
#pragma once

#include <lib/function_ref.hpp>
#include <lib/own_ptr.hpp>
#include <vfs/mount.hpp>

namespace linnet::vfs {

class PeerGroup {
public:
    /// Without members yet, and not shared. ENOMEM.
    static Result<OwnPtr<PeerGroup>> create();
    /// `group`, which is new, becomes a slave of `master` (null: of none) and gets its first member.
    static void begin(OwnPtr<PeerGroup> group, PeerGroup* master, Mount& member);

    /// 0 for a slave that isn't shared.
    u32 id() const { return id_; }
    bool is_shared() const { return id_ != 0; }
    PeerGroup* master() const { return master_; }

    void make_shared();
    /// The only member hears from its master only, if there is one, else it is private. Nobody must be below.
    void make_unshared();
    void add(Mount& member);
    /// The mount becomes private. Slaves of a group that so ends become slaves of its master.
    static void leave(Mount& member);
    /// Whether the mount needs a fresh group to become `kind`.
    static bool needs_group(const Mount& mount, Propagation kind);
    /// `spare` is used if needs_group() says so.
    static void set(Mount& mount, Propagation kind, OwnPtr<PeerGroup> spare);

    /// Every mount in the tree that hears of what happens below `origin`, but not `origin`; masters before slaves.
    /// `visit` may add members and groups; those that aren't in the tree are not visited.
    static Result<void> for_each_receiver(const Mount& origin, FunctionRef<Result<void>(Mount&)> visit);
    /// Whether a member that is in the tree fulfils `test`.
    bool has_member(FunctionRef<bool(const Mount&)> test);
    /// Forgets `first_copy` of this group and all below.
    void forget_copies();

    ListNode sibling_node;       // among the slaves of the master
    Mount* first_copy = nullptr; // during one propagation: what was made for a member

private:
    bool has_several_members() { return members_.first() != members_.last(); }
    PeerGroup* next_below(const PeerGroup& top);
    static void become_slave(Mount& mount, OwnPtr<PeerGroup> spare);
    void give_slaves_to(PeerGroup* other);
    void set_master(PeerGroup* master);

    u32 id_ = 0;
    PeerGroup* master_ = nullptr;
    IntrusiveList<Mount, &Mount::peer_node> members_;
    IntrusiveList<PeerGroup, &PeerGroup::sibling_node> slaves_;
};

} // namespace linnet::vfs
