// Dentry: one name in one directory, cached. A hash table (parent, name) → dentry makes path walks fast; a dentry
// without an inode is negative: the name is known not to exist.
//
// The table holds one reference to each dentry in it, a dentry one to its parent and its inode. A dentry's inode
// changes once, from null, under the directory's lock; its name and parent only in rename, while it is out of the
// table.
//
// Lock order: Inode::lock of the directory → bucket lock → Dentry::lock.
#pragma once

#include <core/spinlock.hpp>
#include <lib/intrusive_list.hpp>
#include <vfs/inode.hpp>

namespace linnet::vfs {

/// Hash of a name, made once while the path is split.
struct NameHash {
    u32 value = 0;
    static NameHash of(std::string_view name);
};

class Dentry : public RefCounted<Dentry> {
public:
    /// The root of a file system, or a name that is in no directory (unnamed files). `name` for display.
    static Result<RefPtr<Dentry>> create_root(SuperBlock& superblock, RefPtr<Inode> inode, std::string_view name = "/");

    /// Null when negative.
    Inode* inode() const { return inode_.load(std::memory_order_acquire); }
    SuperBlock& superblock() const { return superblock_; }
    bool is_root() const { return is_root_; }
    /// Whether something is mounted here in some place.
    bool is_mountpoint() const { return mount_count_.load(std::memory_order_relaxed) != 0; }
    /// Removed from its directory (unlink, rmdir) or never in one.
    bool is_unlinked() const { return unlinked_.load(std::memory_order_acquire); }
    /// The directory that holds the name; itself for a root.
    RefPtr<Dentry> parent() const;
    /// Copies the name as it is now.
    usize copy_name(std::span<char> out) const;
    /// Both of one moment; `length` of the name, as far as `name` takes it.
    RefPtr<Dentry> parent_and_name(std::span<char> name, usize& length) const;
    /// Only where no rename can come in between: the directory's lock or the superblock's rename lock held.
    std::string_view name_stable() const { return {name_, name_length_}; }
    bool is_same_or_below(const Dentry& ancestor) const;

    /// A name of the inode that somebody uses or the cache has, rather one with a place in the tree than one without;
    /// null when there is none.
    static NullableRefPtr<Dentry> any_of(Inode& inode);
    /// Whether the way from here leads up to the root of the file system.
    bool is_connected() const;

    void last_reference_dropped();

    // ---- links of DentryCache ----
    ListNode hash_node;    // bucket lock
    ListNode cache_node;   // the superblock's list of dentries, its lock
    ListNode sibling_node; // the parent's list of cached children, the parent's lock_

private:
    friend class DentryCache;
    friend class MountTable;
    Dentry(SuperBlock& superblock, Dentry* parent);
    ~Dentry();
    static constexpr usize inline_name_size = 40;
    bool assign_name(std::string_view name);
    void set_inode(RefPtr<Inode> inode);

    Dentry* parent_;   // counted, but for a root; guarded by lock_ and the rename rules above
    const char* name_; // inline_name_ or heap
    u32 hash_ = 0;
    u16 name_length_ = 0;
    bool is_root_ = false;
    bool hashed_ = false; // bucket lock
    std::atomic<bool> recently_used_{false};
    std::atomic<bool> unlinked_{false};
    std::atomic<u32> mount_count_{0};
    std::atomic<Inode*> inode_{nullptr}; // counted
    // The other names of the inode, its attachment_lock_.
    Dentry* next_name_ = nullptr;
    Dentry** name_link_ = nullptr; // what leads here
    SuperBlock& superblock_;
    mutable core::SpinLock lock_;                           // name, parent, children
    IntrusiveList<Dentry, &Dentry::sibling_node> children_; // those in the table
    char inline_name_[inline_name_size];
};

/// The cache. All functions may be called from any thread; those that say "directory locked" want Inode::lock of the
/// parent's inode held exclusively.
class DentryCache {
public:
    static Result<void> initialise();
    /// The cached dentry, positive or negative, or null.
    static NullableRefPtr<Dentry> find(Dentry& parent, std::string_view name, NameHash hash);
    /// The cached dentry, or a new one from the file system's lookup(). Takes the directory's lock when it must.
    static Result<RefPtr<Dentry>> find_or_load(Dentry& parent, std::string_view name, NameHash hash);
    /// The same with the directory's lock held.
    static Result<RefPtr<Dentry>> find_or_load_locked(Dentry& parent, std::string_view name, NameHash hash);
    /// Makes a negative dentry positive. Directory locked.
    static void instantiate(Dentry& dentry, RefPtr<Inode> inode);
    /// Takes a removed name out of the table. Directory locked.
    static void forget_removed(Dentry& dentry);
    /// After the file system's rename: `moved` gets the name and place of `target`, which is removed (or, for an
    /// exchange, gets those of `moved`). Both directories locked.
    static void rename(Dentry& moved, Dentry& target, u32 flags);
    /// Drops a cached dentry that is no longer true (Revalidate file systems), and what is below it.
    static void invalidate(Dentry& dentry);
    /// Drops unused dentries of a superblock: all (unmount) or about `count`. Returns how many went.
    static usize shrink(SuperBlock& superblock, usize count);

    /// A superblock's dentries may be dropped when memory is short, from when its root is there until it dies.
    static void add_superblock(SuperBlock& superblock);
    static void remove_superblock(SuperBlock& superblock);

private:
    enum class RemoveWhen : u8 { Always, IfUnused };
    static void insert(Dentry& dentry, u32 key);
    static bool remove(Dentry& dentry, RemoveWhen when);
    enum class Names : u8 { Exchange, KeepSecond };
    static void swap_places(Dentry& first, Dentry& second, Names names);
    static void limit_cached(SuperBlock& superblock);
    static void prune_below(Dentry& top);
    static NullableRefPtr<Dentry> rotate(SuperBlock& superblock);
};

} // namespace linnet::vfs
