// SuperBlock: one instance of a file system; FileSystemType: how one is made, registered by name for mount(2).
//
// A superblock lives as long as a mount refers to it; its destruction drops the cached dentries and then the root.
// Inodes refer to it without a count: whoever holds an inode holds a mount too, or a superblock that is never
// destroyed.
#pragma once

#include <arch/page.hpp>
#include <lib/format.hpp>
#include <lib/intrusive_list.hpp>
#include <vfs/dentry.hpp>
#include <vfs/file_handle.hpp>
#include <vfs/watches.hpp>

namespace linnet::vfs {

class FileSystemType;

enum class DentryPolicy : u8 {
    Cache,      // names change only through vfs: cached dentries are the truth
    Revalidate, // names change by themselves (/proc): ask Inode::still_leads_to(), keep no negative dentries
};

struct FileSystemStatistics {
    u32 magic = 0;
    u64 block_size = 0;
    u64 blocks = 0;
    u64 blocks_free = 0;
    u64 blocks_available = 0;
    u64 files = 0;
    u64 files_free = 0;
    u64 id = 0; // f_fsid; 0: made from the device number
};

class SuperBlock : public RefCounted<SuperBlock> {
public:
    virtual ~SuperBlock();

    FileSystemType& type() const { return type_; }
    DeviceNumber device() const { return device_; }
    u64 max_file_size() const { return max_file_size_; }
    usize max_name_length() const { return max_name_length_; }
    u32 block_size() const { return block_size_; }
    DentryPolicy dentry_policy() const { return dentry_policy_; }
    /// Whether names come from the file system alone, which says of any other that there is none (ENOENT), to who wants
    /// to make it too: /proc.
    bool knows_all_names() const { return knows_all_names_; }
    /// Whether access control lists can be stored with its inodes, as extended attributes.
    bool keeps_acls() const { return keeps_acls_; }
    /// How many file systems lie over one another here: one more than the deepest below it, 0 where there is none.
    u32 stack_depth() const { return stack_depth_; }
    bool is_read_only() const { return read_only_.load(std::memory_order_relaxed); }
    /// The directory that a mount of the whole shows.
    Dentry& root() const { return *root_; }
    RefPtr<Dentry> root_reference() const { return RefPtr<Dentry>(*root_); }

    virtual Result<FileSystemStatistics> statistics() = 0;
    virtual Result<void> sync() { return {}; }
    /// mount -o remount with the file system's own options; whether it is to be read-only. EROFS when it can't be
    /// written.
    virtual Result<void> remount(std::string_view options, bool read_only);
    /// The file system's options for /proc/mounts, each with a leading comma.
    virtual void show_options(TextSink sink);

    /// What leads to one of its inodes without a name, at later mounts too. EOPNOTSUPP where nothing does.
    virtual Result<FileHandle> handle_of(Inode& inode);
    /// The inode that a handle leads to, of which nothing is known but that a program gave it. ESTALE: to none, or
    /// none any more; ENOMEM. May sleep.
    virtual Result<RefPtr<Inode>> inode_of(const FileHandle& handle);

    /// Drops the cached dentries and the root, then deletes.
    void last_reference_dropped();

    /// Held by renames that move a directory, so that no loop can be made.
    core::Mutex rename_lock;
    Watch::OfSuperBlock watches; // on its inodes; the lock of all watches
    ListNode shrink_node;        // DentryCache's list of those that it may shrink, its lock

    /// Makes the file system read-only or writable; the mounts' own flags are apart.
    void set_read_only(bool read_only) { read_only_.store(read_only, std::memory_order_relaxed); }

protected:
    SuperBlock(FileSystemType& type, DeviceNumber device);
    /// To be called once by create(), before the superblock is handed out. ENOMEM.
    Result<void> set_root(RefPtr<Inode> inode);

    u64 max_file_size_ = ~u64{0} >> 1;
    usize max_name_length_ = 255;
    u32 block_size_ = arch::page_size; // as stat(2) tells: of files without blocks, as those of pipes and sockets
    DentryPolicy dentry_policy_ = DentryPolicy::Cache;
    bool knows_all_names_ = false;
    bool keeps_acls_ = false;
    u32 stack_depth_ = 0;

private:
    friend class DentryCache;
    friend class DentryShrinker;
    FileSystemType& type_;
    DeviceNumber device_;
    std::atomic<bool> read_only_{false};
    NullableRefPtr<Dentry> root_;
    core::SpinLock dentries_lock_;
    IntrusiveList<Dentry, &Dentry::cache_node> dentries_; // in the hash table, oldest first
    std::atomic<usize> dentry_count_{0};
    std::atomic<usize> shrink_at_{0}; // the count at which unused ones are dropped; 0: the usual limit
};

struct MountSource {
    std::string_view source;  // mount(2)'s first argument: a device path or a word
    std::string_view options; // its data argument
    u64 flags = 0;            // MS_*
};

class FileSystemType {
public:
    virtual const char* name() const = 0;
    /// Whether it lives on a block device ("nodev" in /proc/filesystems otherwise).
    virtual bool needs_device() const { return false; }
    /// A new instance, or a further reference to the only one.
    virtual Result<RefPtr<SuperBlock>> mount(const MountSource& source) = 0;

    ListNode list_node;

protected:
    ~FileSystemType() = default;
};

/// `type` must live for ever. EBUSY when the name is taken.
Result<void> register_file_system(FileSystemType& type);
/// Null when unknown.
FileSystemType* find_file_system(std::string_view name);
/// For /proc/filesystems.
void for_each_file_system(FunctionRef<void(FileSystemType&)> visit);

} // namespace linnet::vfs
