// Start-up of the room, the internal file system of anonymous files, and mount(2).
#include "walk.hpp"

#include <abi/linux/fs.hpp>
#include <vfs/inotify.hpp>
#include <vfs/operations.hpp>

namespace linnet::vfs {

namespace {

/// Holds the inodes that have no name: pipes, sockets, eventfds. Never mounted in the tree.
class AnonymousType final : public FileSystemType {
public:
    const char* name() const override { return "anon_inodefs"; }
    Result<RefPtr<SuperBlock>> mount(const MountSource&) override { return error(Errno::EINVAL); }
};

class AnonymousSuperBlock final : public SuperBlock {
public:
    explicit AnonymousSuperBlock(FileSystemType& type) : SuperBlock(type, allocate_anonymous_device()) {}
    Result<FileSystemStatistics> statistics() override {
        FileSystemStatistics result;
        result.magic = abi::ANON_INODE_FS_MAGIC;
        result.block_size = arch::page_size;
        return result;
    }
};

class AnonymousInode final : public Inode {
public:
    AnonymousInode(SuperBlock& superblock, u64 number, u32 mode, const Credentials& owner)
        : Inode(superblock, number, mode, owner.fsuid, owner.fsgid) {}
};

[[clang::no_destroy]] constinit AnonymousType anonymous_type;
constinit AnonymousSuperBlock* anonymous_superblock = nullptr;
constinit Inode* shared_inode = nullptr;
constinit std::atomic<u64> last_number{0};
constinit FsContext* first_context = nullptr;

} // namespace

RefPtr<Inode> anonymous_inode() { return RefPtr<Inode>(*shared_inode); }

Result<RefPtr<Inode>> create_anonymous_inode(u32 mode) {
    u64 number = last_number.fetch_add(1, std::memory_order_relaxed) + 1;
    auto* inode = new (std::nothrow) AnonymousInode(*anonymous_superblock, number, mode, current_credentials());
    if (!inode) return error(Errno::ENOMEM);
    return RefPtr<Inode>(adopt_ref(*inode));
}

Result<void> initialise() {
    TRY(DentryCache::initialise());
    set_inotify_limits();
    anonymous_superblock = new (std::nothrow) AnonymousSuperBlock(anonymous_type);
    if (!anonymous_superblock) return error(Errno::ENOMEM);
    u64 number = last_number.fetch_add(1, std::memory_order_relaxed) + 1;
    shared_inode = new (std::nothrow) AnonymousInode(*anonymous_superblock, number, 0600, kernel_credentials());
    if (!shared_inode) return error(Errno::ENOMEM);
    return {};
}

Result<void> mount_root(std::string_view type) {
    FileSystemType* root_type = find_file_system(type);
    if (!root_type) return error(Errno::ENODEV);
    auto superblock = TRY(root_type->mount({type, {}, 0}));
    auto mount = TRY(MountTable::mount_root(std::move(superblock), type));
    Path root(mount, RefPtr<Dentry>(mount->root()));
    first_context = TRY(FsContext::create(root)).release();
    return {};
}

RefPtr<FsContext> initial_fs() { return RefPtr<FsContext>(*first_context); }

namespace {

constexpr u64 mount_flags_kept = abi::MS_RDONLY | abi::MS_NOSUID | abi::MS_NODEV | abi::MS_NOEXEC | abi::MS_NOATIME |
                                 abi::MS_NODIRATIME | abi::MS_RELATIME | abi::MS_NOSYMFOLLOW | abi::MS_STRICTATIME;
constexpr u64 propagation_flags = abi::MS_SHARED | abi::MS_PRIVATE | abi::MS_SLAVE | abi::MS_UNBINDABLE;

/// relatime is what one gets unless another rule is asked for.
u64 with_access_time_rule(u64 flags) {
    flags &= mount_flags_kept;
    if (!(flags & (abi::MS_NOATIME | abi::MS_STRICTATIME))) flags |= abi::MS_RELATIME;
    return flags & ~abi::MS_STRICTATIME;
}

Result<void> remount(const Path& place, u64 flags, std::string_view options) {
    Mount& mount = *place.mount;
    if (place.dentry != &mount.root()) return error(Errno::EINVAL);
    bool read_only = (flags & abi::MS_RDONLY) != 0;
    if (read_only && !mount.is_read_only() && mount.writers.load() != 0) return error(Errno::EBUSY);
    u64 wanted = with_access_time_rule(flags);
    if (!(flags & (abi::MS_NOATIME | abi::MS_NODIRATIME | abi::MS_RELATIME | abi::MS_STRICTATIME)))
        wanted =
            (wanted & ~abi::MS_RELATIME) | (mount.flags() & (abi::MS_NOATIME | abi::MS_NODIRATIME | abi::MS_RELATIME));
    if (!(flags & abi::MS_BIND)) {
        TRY(mount.superblock().remount(options, read_only));
        mount.superblock().set_read_only(read_only);
    }
    mount.set_flags(wanted);
    return {};
}

/// EINVAL for more than one kind, and for other flags beside it.
Result<Propagation> propagation_of(u64 flags) {
    switch (flags & ~(abi::MS_REC | abi::MS_SILENT)) {
    case abi::MS_SHARED:
        return Propagation::Shared;
    case abi::MS_SLAVE:
        return Propagation::Slave;
    case abi::MS_PRIVATE:
        return Propagation::Private;
    case abi::MS_UNBINDABLE:
        return Propagation::Unbindable;
    default:
        return error(Errno::EINVAL);
    }
}

} // namespace

Result<void> mount(std::string_view source, const Path& place, std::string_view type, u64 flags,
                   std::string_view options) {
    if ((flags & abi::MS_MGC_MSK) == abi::MS_MGC_VAL) flags &= ~abi::MS_MGC_MSK;
    if ((flags & abi::MS_REMOUNT)) return remount(place, flags, options);
    if (flags & abi::MS_BIND) {
        if (source.empty()) return error(Errno::EINVAL);
        Path from = TRY(lookup(source));
        return MountTable::bind(from, place, flags);
    }
    if (flags & propagation_flags) {
        const auto kind = TRY(propagation_of(flags));
        const auto extent = (flags & abi::MS_REC) ? MountTable::Extent::Tree : MountTable::Extent::One;
        return MountTable::set_propagation(place, kind, extent);
    }
    if (flags & abi::MS_MOVE) {
        if (source.empty()) return error(Errno::EINVAL);
        return MountTable::move(TRY(lookup(source)), place);
    }

    FileSystemType* wanted = find_file_system(type);
    if (!wanted) return error(Errno::ENODEV);
    auto superblock = TRY(wanted->mount({source, options, flags}));
    auto root = superblock->root_reference();
    auto mount = TRY(Mount::create(std::move(superblock), std::move(root), source, with_access_time_rule(flags)));
    return MountTable::attach(mount, place);
}

} // namespace linnet::vfs
