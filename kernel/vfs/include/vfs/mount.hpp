// Mount: a file system (or a part of it) visible at a place of the tree; MountTable: all of them.
//
// Lock order: mount_lock (sleeping, changes of the tree and of peer groups) → table spinlock (look-ups). A path walk
// takes only the latter, and only at a dentry that is_mountpoint().
#pragma once

#include <vfs/path.hpp>
#include <vfs/superblock.hpp>

namespace linnet::vfs {

class PeerGroup;

/// What a mount tells others of what is mounted and unmounted below it, and hears of them (mount_namespaces(7), SHARED
/// SUBTREES). A slave may be made shared, too.
enum class Propagation : u8 { Private, Shared, Slave, Unbindable };

class Mount : public RefCounted<Mount> {
public:
    static Result<RefPtr<Mount>> create(RefPtr<SuperBlock> superblock, RefPtr<Dentry> root, std::string_view source,
                                        u64 flags);

    SuperBlock& superblock() const { return *superblock_; }
    Dentry& root() const { return *root_; }
    u32 id() const { return id_; }
    /// MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME, MS_NODIRATIME, MS_RELATIME, MS_NOSYMFOLLOW.
    u64 flags() const { return flags_.load(std::memory_order_relaxed); }
    void set_flags(u64 flags) { flags_.store(flags, std::memory_order_relaxed); }
    bool is_read_only() const { return (flags() & 1) != 0 || superblock().is_read_only(); }
    /// What was given as the source.
    std::string_view source() const { return {source_, source_length_}; }

    /// Somebody has come here by its path: an unmount that waits for disuse (MNT_EXPIRE) begins anew.
    void note_use() {
        if (expires_.load(std::memory_order_relaxed)) expires_.store(false, std::memory_order_relaxed);
    }

    /// Files open for writing here; a read-only remount finds them busy.
    std::atomic<u32> writers{0};

    void last_reference_dropped();

    // ---- links of MountTable; "both" are its two locks ----
    ListNode hash_node;    // both
    ListNode list_node;    // mount_lock: of all mounts
    ListNode sibling_node; // both: among the children of the parent
    ListNode peer_node;    // mount_lock: among the members of its group
    ListNode work_node;    // mount_lock: in the list of one operation

private:
    friend class MountCopies;
    friend class MountTable;
    friend class PeerGroup;
    friend class Unmount;
    Mount() = default;
    ~Mount() = default;
    bool is_below(const Mount& ancestor) const;
    bool is_shared() const;
    NullableRefPtr<SuperBlock> superblock_;
    NullableRefPtr<Dentry> root_;
    // The place, both locks: null for the root of the tree, and for what has been taken out of it.
    NullableRefPtr<Mount> parent_;
    NullableRefPtr<Dentry> mountpoint_;
    IntrusiveList<Mount, &Mount::sibling_node> children_; // both
    u32 child_count_ = 0;                                 // both
    bool attached_ = false;                               // both
    std::atomic<bool> expires_{false};
    std::atomic<u64> flags_{0};
    u32 id_ = 0;

    // ---- guarded by mount_lock ----
    PeerGroup* group_ = nullptr; // null: private
    bool unbindable_ = false;
    enum class Fate : u8 { Stays, Chosen, Follows };
    Fate fate_ = Fate::Stays;    // while something is being unmounted
    bool has_followers_ = false; // whoever hears of that has been found already
    // For the operation that is being done:
    bool newly_shared_ = false;
    Mount* copy_ = nullptr;   // what a copy of a tree has made of this
    Mount* target_ = nullptr; // where the root of a copied tree is to be mounted
    Path old_place_;          // references to be released without locks

    static constexpr usize max_source = 128;
    u16 source_length_ = 0;
    char source_[max_source];
};

class MountTable {
public:
    /// Mounts the first file system as the root of the tree.
    static Result<RefPtr<Mount>> mount_root(RefPtr<SuperBlock> superblock, std::string_view source);
    static RefPtr<Mount> root();
    /// What is mounted at exactly this place, or null. `place.dentry` is a mountpoint.
    static NullableRefPtr<Mount> mounted_at(const Path& place);
    /// Replaces `path` by the root of what is mounted on it, as often as needed.
    static void cross_down(Path& path);
    /// When `path` is the root of its mount: replaces it by the mountpoint. False at the root of the tree.
    static bool cross_up(Path& path);

    // Changes. Each is done in all mounts that hear of it or, with an error, in none: ENOMEM, ENOSPC beyond
    // most_mounts.

    /// Makes `mount` visible at `place`, covering what was there.
    static Result<void> attach(Mount& mount, const Path& place);
    /// umount2(2): EBUSY while in use unless lazily, EINVAL when not a mount's root, EAGAIN by MNT_EXPIRE.
    static Result<void> detach(const Path& mount_root, u32 flags);
    /// MS_MOVE. EINVAL from below a shared mount, and to one when something is unbindable; ELOOP into itself.
    static Result<void> move(const Path& from, const Path& to);
    /// MS_BIND, with MS_REC in `flags` or without. EINVAL when unbindable; what is so further below is left out.
    static Result<void> bind(const Path& from, const Path& to, u64 flags);
    static Result<void> pivot_root(const Path& new_root, const Path& put_old);

    enum class Extent : u8 { One, Tree };
    /// EINVAL when `mount_root` isn't one, ENOMEM.
    static Result<void> set_propagation(const Path& mount_root, Propagation kind, Extent extent);

    /// Every mount of the tree in the order of their making, with its parent (null: none) and the dentry it covers.
    struct Entry {
        Mount& mount;
        Mount* parent;
        Dentry* mountpoint;
        u32 shared_group; // the numbers of peer groups, 0 for none: its own …
        u32 master_group; // … and the one that it is a slave of
        bool is_unbindable;
    };
    static void for_each(FunctionRef<void(const Entry&)> visit);
    /// The nearest group above that tells this mount something and has a member that can be seen from `root`; 0: none.
    /// Only within for_each().
    static u32 visible_master(const Entry& entry, const Path& root);

    /// fs.mount-max.
    static std::atomic<u64> most_mounts;

private:
    friend class MountCopies;
    friend class Unmount;
    enum class Below : u8 { Visit, Skip };
    static Mount* next_within(Mount& at, const Mount& top, Below below = Below::Visit);
    static Mount* child_at(const Mount& parent, const Dentry& place);
    static void link_locked(Mount& mount, Path place);
    static Path unlink_locked(Mount& mount);
    static void enlist(Mount& mount);
    static void relocate(Mount& mount, const Path& place);
    static bool has_unbindable(Mount& top);
    static Result<void> may_pivot(const Path& old_root, const Path& new_root, const Path& put_old);
    static Result<void> expire(Mount& mount, u32 flags);
};

} // namespace linnet::vfs
