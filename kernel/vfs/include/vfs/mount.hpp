// Mount: a file system (or a part of it) visible at a place of the tree; MountTable: all of them.
//
// Lock order: mount_lock (sleeping, changes of the tree) → table spinlock (look-ups). A path walk takes only the
// latter, and only at a dentry that is_mountpoint().
#pragma once

#include <vfs/path.hpp>
#include <vfs/superblock.hpp>

namespace linnet::vfs {

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

    /// Files open for writing here; a read-only remount finds them busy.
    std::atomic<u32> writers{0};

    void last_reference_dropped();

    // ---- links of MountTable ----
    ListNode hash_node; // table spinlock
    ListNode list_node; // mount_lock

private:
    friend class MountTable;
    Mount() = default;
    ~Mount() = default;
    bool is_below(const Mount& ancestor) const;
    NullableRefPtr<SuperBlock> superblock_;
    NullableRefPtr<Dentry> root_;
    NullableRefPtr<Mount> parent_; // null: the root of the tree, or detached
    NullableRefPtr<Dentry> mountpoint_;
    std::atomic<u64> flags_{0};
    u32 id_ = 0;
    u32 child_count_ = 0;
    bool attached_ = false;
    bool marked_ = false;   // mount_lock: for one pass of unlink_tree
    Mount* copy_ = nullptr; // mount_lock: during a recursive bind
    static constexpr usize max_source = 128;
    u16 source_length_ = 0;
    char source_[max_source];
};

class MountTable {
public:
    /// Mounts the first file system as the root of the tree.
    static Result<RefPtr<Mount>> mount_root(RefPtr<SuperBlock> superblock, std::string_view source);
    static RefPtr<Mount> root();
    /// Makes `mount` visible at `place`, covering what was there.
    static Result<void> attach(Mount& mount, const Path& place);
    /// What is mounted at exactly this place, or null. `place.dentry` is a mountpoint.
    static NullableRefPtr<Mount> mounted_at(const Path& place);
    /// Replaces `path` by the root of what is mounted on it, as often as needed.
    static void cross_down(Path& path);
    /// When `path` is the root of its mount: replaces it by the mountpoint. False at the root of the tree.
    static bool cross_up(Path& path);
    /// umount2(2): EBUSY while in use unless lazily, EINVAL when not a mount's root.
    static Result<void> detach(const Path& mount_root, u32 flags);
    static Result<void> move(const Path& from, const Path& to);
    static Result<void> bind(const Path& from, const Path& to, u64 flags);
    static Result<void> pivot_root(const Path& new_root, const Path& put_old);
    /// Every mount of the tree, parents first, with its parent (null: none) and the dentry it covers.
    struct Entry {
        Mount& mount;
        Mount* parent;
        Dentry* mountpoint;
    };
    static void for_each(FunctionRef<void(const Entry&)> visit);

private:
    static Result<void> link(Mount& mount, const Path& place);
    static void relink(Mount& mount, const Path& place);
    static Path unlink_locked(Mount& mount);
    static void unlink_tree(Mount& top, IntrusiveList<Mount, &Mount::list_node>& out);
    static Result<void> copy_submount(Mount& mount, Mount& new_parent);
};

} // namespace linnet::vfs
