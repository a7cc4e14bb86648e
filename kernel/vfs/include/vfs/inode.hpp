// Inode: a file system object (file, directory, symlink, device node, FIFO, socket) and what can be done with it. A
// file system derives from Inode and overrides what it supports; the defaults answer the errno that POSIX wants.
//
// The generic code (operations.cpp) has checked permissions, mount flags, name rules and existence before it calls an
// operation here, and holds the locks named below; a file system only does the work.
//
// Lock order:
//   rename_lock of the superblock (directory renames)
//     Inode::lock of a directory, ancestors first
//       Inode::lock of a non-directory (by address where two are taken)
//         the address space's lock (user copies happen under an Inode's lock, page faults never take one)
//           dentry hash bucket, Dentry::lock, Inode::attribute_lock (spinlocks, never nested in one another)
#pragma once

#include <abi/linux/fs.hpp>
#include <abi/linux/stat.hpp>
#include <atomic>
#include <core/mutex.hpp>
#include <lib/array_list.hpp>
#include <lib/function_ref.hpp>
#include <lib/own_ptr.hpp>
#include <lib/ref_ptr.hpp>
#include <lib/result.hpp>
#include <optional>
#include <string_view>
#include <vfs/access_control_list.hpp>
#include <vfs/credentials.hpp>
#include <vfs/device.hpp>

namespace linnet::mm {
class VmObject;
}

namespace linnet::vfs {

class Dentry;
class File;
class FileLocks;
class InodeWatches;
class IoBuffer;
class Leases;
class SuperBlock;
struct Path;

/// A point of CLOCK_REALTIME as files store it.
struct Timestamp {
    i64 seconds = 0;
    u32 nanoseconds = 0;
    static Timestamp now();
    constexpr auto operator<=>(const Timestamp&) const = default;
};

/// Everything stat and statx report about an inode.
struct Attributes {
    u64 device = 0; // encoded, of the file system
    u64 inode = 0;
    u32 mode = 0;
    u32 uid = 0;
    u32 gid = 0;
    u64 link_count = 0;
    u64 special_device = 0; // encoded, of a device node
    u64 size = 0;
    u32 block_size = 0;
    u64 blocks = 0; // of 512 bytes
    Timestamp access_time, modify_time, change_time, birth_time;
    u64 attribute_flags = 0;       // STATX_ATTR_*
    u64 known_attribute_flags = 0; // which of them the file system could say
    std::optional<DirectAlignment> direct{};
};

/// What set_attributes() changes; absent means leave alone.
struct AttributeChange {
    std::optional<u32> mode; // permission bits, S_ISUID, S_ISGID, S_ISVTX
    std::optional<u32> uid;
    std::optional<u32> gid;
    std::optional<Timestamp> access_time;
    std::optional<Timestamp> modify_time;
};

/// What a new inode is to be.
struct CreateRequest {
    u32 mode = 0; // type and permissions, umask applied
    u32 uid = 0;
    u32 gid = 0;
    DeviceNumber device{};          // device nodes
    std::string_view link_target{}; // symlinks
};

struct DirectoryEntry {
    std::string_view name;
    u64 inode = 0;
    u8 type = abi::DT_UNKNOWN;
    u64 next_position = 0; // where a later read_directory() goes on behind this entry
};
/// Takes one entry; false when it has no room for it, which ends the listing.
using DirectorySink = FunctionRef<bool(const DirectoryEntry&)>;

/// The target text of a symlink: borrowed from the inode, or made for this call.
struct LinkTarget {
    std::string_view text;
    OwnPtr<char[]> storage;
};

/// Something that another room hangs on an inode: the pipe of a FIFO, the socket bound to a path, record locks.
class InodeAttachment : public RefCounted<InodeAttachment> {
public:
    virtual ~InodeAttachment() = default;
};

/// Bits of a permission check, as in access(2).
inline constexpr u32 may_execute = 1, may_write = 2, may_read = 4;

class Inode : public RefCounted<Inode> {
public:
    virtual ~Inode();

    SuperBlock& superblock() const { return superblock_; }
    u64 number() const { return number_; }
    u32 mode() const { return mode_.load(std::memory_order_relaxed); }
    u32 type() const { return mode() & abi::S_IFMT; }
    u32 uid() const { return uid_.load(std::memory_order_relaxed); }
    u32 gid() const { return gid_.load(std::memory_order_relaxed); }
    u64 size() const { return size_.load(std::memory_order_acquire); }
    u32 link_count() const { return link_count_.load(std::memory_order_relaxed); }
    DeviceNumber special_device() const { return special_device_; }
    bool is_directory() const { return abi::S_ISDIR(mode()); }
    bool is_regular() const { return abi::S_ISREG(mode()); }
    bool is_symlink() const { return abi::S_ISLNK(mode()); }

    // ---- any inode ----

    /// Default: from the fields below.
    virtual Result<Attributes> attributes();
    /// Stores the change (already allowed) and the change time. lock held. Default: the fields below.
    virtual Result<void> set_attributes(const AttributeChange& change);
    /// Default: mode bits, access control list, owner, groups and capabilities; EPERM to write what is immutable.
    /// `mask` of may_*. EACCES. Path walks don't ask for search permission where the mode has all three execute bits
    /// and there is no list.
    virtual Result<void> check_permission(u32 mask, const Credentials& who);
    /// Makes the open file; permissions are checked, `flags` those of open(2). Default by type: directory, page-cached
    /// regular file, device, FIFO; ENXIO for a socket.
    virtual Result<RefPtr<File>> open(const Path& path, u32 flags);
    /// For superblocks with DentryPolicy::Revalidate: whether what it shows is still there.
    virtual bool is_still_valid() { return true; }

    /// Extended attributes. EOPNOTSUPP by default. `name` includes its prefix. get and list return the size; a buffer
    /// of size 0 only asks for it, ERANGE when it is too small. lock held shared (get, list) or exclusive.
    virtual Result<usize> get_extended_attribute(std::string_view name, std::span<u8> value);
    virtual Result<void> set_extended_attribute(std::string_view name, std::span<const u8> value, u32 flags);
    virtual Result<usize> list_extended_attributes(std::span<char> names);
    virtual Result<void> remove_extended_attribute(std::string_view name);

    /// Access control lists are attributes, too, where the superblock keeps them. What set_acl_state() has said to be
    /// Unknown is asked for here, once. No lock is held.
    struct KeptAcls {
        AccessControlList::Pointer access;
        bool has_default = false;
    };
    virtual Result<KeptAcls> load_acls() { return KeptAcls{}; }

    // ---- symlinks ----

    /// EINVAL when it is no symlink.
    virtual Result<LinkTarget> read_link();
    /// A magic link (/proc/PID/fd/N) leads to an object, not to a name; nullopt: follow read_link()'s text.
    virtual Result<std::optional<Path>> follow_link();

    // ---- directories; this->lock is held: shared by read_directory, else exclusive ----

    /// ENOENT when there is no such name.
    virtual Result<RefPtr<Inode>> lookup(std::string_view name);
    /// For superblocks with DentryPolicy::Revalidate: whether the cached name still leads to `inode`. Called with and
    /// without the lock. Default: what `inode` itself says.
    virtual bool still_leads_to(std::string_view name, Inode& inode);
    /// Makes a file, directory, symlink or node of a name that doesn't exist. Where nothing can be made EACCES for a
    /// file, as Linux has it, and EPERM for everything else.
    virtual Result<RefPtr<Inode>> create(std::string_view name, const CreateRequest& request);
    /// An unnamed regular file of this directory's file system (O_TMPFILE).
    virtual Result<RefPtr<Inode>> create_unnamed(const CreateRequest& request);
    /// A further name for `target` (its lock is held too).
    virtual Result<void> link(std::string_view name, Inode& target);
    /// Removes a name of a non-directory / of an empty directory (ENOTEMPTY). The victim's lock is held too.
    virtual Result<void> unlink(std::string_view name, Inode& victim);
    virtual Result<void> remove_directory(std::string_view name, Inode& victim);

    struct RenameRequest {
        std::string_view old_name;
        Inode& moved;
        Inode& new_directory;
        std::string_view new_name;
        Inode* replaced;               // what new_name is now, or null
        u32 flags;                     // RENAME_*
        const CreateRequest* whiteout; // what is to stand for old_name with RENAME_WHITEOUT, else null
    };
    /// Both directories' locks are held, and those of `moved` and `replaced` where they are not directories. EINVAL:
    /// flags that the file system doesn't know.
    virtual Result<void> rename(const RenameRequest& request);
    /// Lists from `position`, which is 2 at the start ("." and ".." are the caller's); next_position values are greater
    /// than 2 and stay valid while entries come and go.
    virtual Result<void> read_directory(u64 position, DirectorySink sink);
    /// The directory above, of one that a handle has led to; itself for the root. No lock is held. ESTALE when there is
    /// none any more.
    virtual Result<RefPtr<Inode>> parent_directory() { return error(Errno::ESTALE); }

    // ---- regular files with a page cache ----

    /// The pages of the file, shared by read, write and mmap; null when it has none.
    virtual mm::VmObject* pages() { return nullptr; }
    /// Makes room before [offset, +length) is written through pages(). lock held. ENOSPC, EFBIG.
    virtual Result<void> prepare_write(u64 offset, usize length);
    /// Of O_DIRECT, which is refused (EINVAL) where there is none.
    virtual std::optional<DirectAlignment> direct_alignment() { return {}; }
    /// Reads past the pages, from `offset` on, which is before the end; all is aligned, `to` is user memory. lock held
    /// shared. What was read before something failed counts. EFAULT, EIO, ENOMEM.
    virtual Result<usize> read_direct(IoBuffer& to, u64 offset);
    /// Writes `wanted` bytes past the pages, and lets the file grow. lock held. EOPNOTSUPP: these have to go through
    /// the pages; else as prepare_write() and read_direct().
    virtual Result<usize> write_direct(IoBuffer& from, u64 offset, usize wanted);
    /// Changes the size: frees or zeroes what is cut. lock held.
    virtual Result<void> truncate(u64 size);
    /// fallocate(2), `mode` checked for known bits. lock held.
    virtual Result<void> allocate_range(u32 mode, u64 offset, u64 length);
    /// SEEK_DATA and SEEK_HOLE. Default: all data, one hole at the end.
    virtual Result<u64> seek_data(u64 offset);
    virtual Result<u64> seek_hole(u64 offset);
    virtual Result<void> sync() { return {}; }
    /// The times or other attributes have changed, and are to be stored some time. Must not sleep.
    virtual void attributes_changed() {}

    /// Records a new size. lock held; the pages are the caller's business.
    void set_size(u64 size) { size_.store(size, std::memory_order_release); }

    /// Seals (F_SEAL_*) of a file whose file system keeps them; others have `seals_unsupported`. Added to, under
    /// `lock`.
    static constexpr u32 seals_unsupported = ~0u;
    std::atomic<u32> seals{seals_unsupported};
    bool has_seal(u32 seal) const {
        u32 now = seals.load(std::memory_order_relaxed);
        return now != seals_unsupported && (now & seal) != 0;
    }

    /// Whether the inode is marked (chattr(1)) with one of these flags, FS_*_FL.
    bool has_flag(u32 flags) const { return (flags_.load(std::memory_order_relaxed) & flags) != 0; }
    /// Nothing of it changes, whoever asks; or it only grows at its end, and a directory by names. The callers of the
    /// operations above heed them, EPERM.
    bool is_immutable() const { return has_flag(abi::FS_IMMUTABLE_FL); }
    bool is_append_only() const { return has_flag(abi::FS_APPEND_FL); }
    bool is_protected() const { return has_flag(abi::FS_IMMUTABLE_FL | abi::FS_APPEND_FL); }
    /// All flags that programs see. ENOTTY: the file system keeps none.
    virtual Result<u32> kept_flags() { return error(Errno::ENOTTY); }
    /// Makes them what is wanted; what nobody can change stays. lock held. EOPNOTSUPP: one that can't be had; EROFS,
    /// EIO.
    virtual Result<void> change_flags(u32) { return error(Errno::ENOTTY); }
    /// What tells the file from a later one with its number (FS_IOC_GETVERSION), where that is kept.
    virtual std::optional<u32> generation() { return {}; }

    /// The access list, or null. Errors of load_acls().
    Result<AccessControlList::Pointer> access_acl();
    /// Whether it has no list of either kind, for sure.
    bool has_no_acl() const { return acl_state_.load(std::memory_order_acquire) == AclState::None; }
    /// A list of either kind was stored or removed; `access` is the one that counts now. lock held.
    void acl_changed(AccessControlList::Pointer access);
    void default_acl_changed();

    // ---- shared state, generic ----

    /// RWH_WRITE_LIFE_* (fcntl(2), F_SET_RW_HINT).
    std::atomic<u8> write_hint{0};

    /// Serialises changes of a directory's entries; of a file's size, data writes and attributes.
    core::RwMutex lock;

    /// Sets the times named, to now.
    void touch_modified(); // modify and change time
    void touch_changed();  // change time
    void touch_accessed();
    Timestamp access_time() const { return access_time_.load(); }
    Timestamp modify_time() const { return modify_time_.load(); }
    Timestamp change_time() const { return change_time_.load(); }
    Timestamp birth_time() const { return birth_time_; }

    /// Counts opens for writing against executions: ETXTBSY.
    Result<void> get_write_access();
    void put_write_access() { writers_.fetch_sub(1, std::memory_order_release); }
    Result<void> deny_write_access();
    void allow_write_access() { writers_.fetch_add(1, std::memory_order_release); }
    /// Counts opens of a regular file for reading alone, for leases.
    void add_reader() { readers_.fetch_add(1, std::memory_order_seq_cst); }
    void remove_reader() { readers_.fetch_sub(1, std::memory_order_release); }
    struct Users {
        i32 writers; // negative: executions
        i32 readers;
    };
    [[nodiscard]] Users users() const { return {writers_.load(), readers_.load()}; }

    /// The attachment, made by `make` when there is none yet.
    Result<RefPtr<InodeAttachment>> attachment(FunctionRef<Result<RefPtr<InodeAttachment>>()> make);
    NullableRefPtr<InodeAttachment> attachment();
    /// Record and flock locks on this inode; made at first use.
    Result<FileLocks*> file_locks();
    FileLocks* existing_file_locks() const { return file_locks_.load(std::memory_order_acquire); }
    /// Leases on this inode (leases.hpp); made at first use.
    Result<Leases*> leases();
    Leases* existing_leases() const { return leases_.load(std::memory_order_seq_cst); }
    /// Who wants to hear of what happens to it (watches.hpp); made at first use.
    Result<InodeWatches*> watches();
    InodeWatches* existing_watches() const { return watches_.load(std::memory_order_acquire); }

protected:
    /// `number` is unique within the superblock; times are set to now.
    Inode(SuperBlock& superblock, u64 number, u32 mode, u32 uid, u32 gid, DeviceNumber device = {});

    /// A timestamp read without a lock; a reader may see the parts of two writes, as on Linux.
    struct AtomicTimestamp {
        std::atomic<i64> seconds{0};
        std::atomic<u32> nanoseconds{0};
        Timestamp load() const {
            return {seconds.load(std::memory_order_relaxed), nanoseconds.load(std::memory_order_relaxed)};
        }
        void store(Timestamp time) {
            seconds.store(time.seconds, std::memory_order_relaxed);
            nanoseconds.store(time.nanoseconds, std::memory_order_relaxed);
        }
    };
    void set_link_count(u32 count) { link_count_.store(count, std::memory_order_relaxed); }
    void set_mode(u32 mode) { mode_.store(mode, std::memory_order_relaxed); }
    void set_owner(u32 uid, u32 gid) {
        uid_.store(uid, std::memory_order_relaxed);
        gid_.store(gid, std::memory_order_relaxed);
    }
    /// lock held, or before anybody else knows the inode.
    void set_flags(u32 flags) { flags_.store(flags, std::memory_order_relaxed); }
    u32 flags() const { return flags_.load(std::memory_order_relaxed); }

    /// Before anybody else knows the inode; None at first.
    void set_acl_state(AclState state) { acl_state_.store(state, std::memory_order_relaxed); }

    AtomicTimestamp access_time_, modify_time_, change_time_;
    Timestamp birth_time_;

private:
    friend class Dentry;
    SuperBlock& superblock_;
    const u64 number_;
    std::atomic<u32> flags_{0};
    std::atomic<AclState> acl_state_{AclState::None};
    std::atomic<u32> mode_;
    std::atomic<u32> uid_;
    std::atomic<u32> gid_;
    std::atomic<u32> link_count_{1};
    std::atomic<u64> size_{0};
    DeviceNumber special_device_;
    std::atomic<i32> writers_{0};    // > 0 opens for writing, < 0 executions
    std::atomic<i32> readers_{0};    // opens for reading alone
    core::SpinLock attachment_lock_; // a leaf
    NullableRefPtr<InodeAttachment> attachment_;
    Dentry* names_ = nullptr;               // those in memory, none of them counted; attachment_lock_
    AccessControlList::Pointer access_acl_; // under attachment_lock_
    std::atomic<FileLocks*> file_locks_{nullptr};
    std::atomic<Leases*> leases_{nullptr};
    std::atomic<InodeWatches*> watches_{nullptr};
};

} // namespace linnet::vfs
