// Making names: mkdir, mknod, symlink, link; and the rules for new inodes.
#include "attribute_rules.hpp"
#include "name_rules.hpp"

#include <abi/linux/fs.hpp>
#include <vfs/mount.hpp>
#include <vfs/watches.hpp>

namespace linnet::vfs {

Result<void> check_name_length(const Path& directory, std::string_view name) {
    if (name.size() > directory.dentry->superblock().max_name_length()) return error(Errno::ENAMETOOLONG);
    return {};
}

Result<void> may_create(const Path& directory, const Credentials& who) {
    if (directory.dentry->superblock().knows_all_names()) return error(Errno::ENOENT);
    TRY(check_writable(directory));
    if (directory.dentry->is_unlinked()) return error(Errno::ENOENT);
    return directory.inode()->check_permission(may_write | may_execute, who);
}

CreateRequest plan_whiteout(Inode& directory, const Credentials& who) {
    CreateRequest request;
    request.mode = abi::S_IFCHR;
    request.uid = who.fsuid;
    request.gid = directory.mode() & abi::S_ISGID ? directory.gid() : who.fsgid;
    return request;
}

Result<NewInode> plan_inode(Inode& directory, u32 mode, const Credentials& who) {
    NewInode plan;
    CreateRequest& request = plan.request;
    request.mode = mode;
    if (!abi::S_ISLNK(mode)) {
        AccessControlList::Pointer inherited = TRY(default_acl(directory));
        if (inherited) {
            // Its list stands in for the umask.
            RefPtr<AccessControlList> access = TRY(inherited->copy());
            request.mode = (mode & ~u32{abi::S_IRWXUGO}) | access->limit_to(mode & abi::S_IRWXUGO);
            if (!access->is_mode()) plan.access = std::move(access);
            if (abi::S_ISDIR(mode)) plan.fallback = std::move(inherited);
        } else {
            request.mode &= ~current_fs().umask() | abi::S_IFMT | (abi::S_IALLUGO & ~abi::S_IRWXUGO);
        }
    }
    request.uid = who.fsuid;
    request.gid = who.fsgid;
    // A set-group-ID directory hands its group down, and to directories the bit too (inode(7)).
    if (directory.mode() & abi::S_ISGID) {
        request.gid = directory.gid();
        if (abi::S_ISDIR(mode))
            request.mode |= abi::S_ISGID;
        else if ((mode & (abi::S_ISGID | abi::S_IXGRP)) == (abi::S_ISGID | abi::S_IXGRP) &&
                 !who.is_in_group(request.gid) && !who.has(Capability::Fsetid))
            request.mode &= ~abi::S_ISGID;
    }
    return plan;
}

Result<RefPtr<Inode>> make_inode(Inode& directory, std::string_view name, NewInode plan) {
    RefPtr<Inode> fresh = TRY(directory.create(name, plan.request));
    if (!plan.access && !plan.fallback) return fresh;
    core::WriteGuard guard(fresh->lock);
    auto begun = begin_with_acls(*fresh, std::move(plan.access), plan.fallback.get());
    if (begun) return fresh;
    // Without its lists it is not to be.
    if (fresh->is_directory())
        (void)directory.remove_directory(name, *fresh);
    else
        (void)directory.unlink(name, *fresh);
    return error(begun.error());
}

namespace {

enum class NodeKind : u8 { Directory, Other };

/// The common part: the last component must be a new name; `make` turns the request into an inode in the
/// directory, which is locked.
template <typename Make>
Result<Path> create_name(LookupStart start, std::string_view path, NodeKind kind, Make make) {
    const Credentials& who = current_credentials();
    ParentPath parent = TRY(lookup_parent(start, path));
    if (parent.kind != LastComponent::Name) return error(Errno::EEXIST);
    TRY(check_name_length(parent.directory, parent.name));
    Inode& directory = *parent.directory.inode();
    core::WriteGuard guard(directory.lock);
    auto dentry =
        TRY(DentryCache::find_or_load_locked(*parent.directory.dentry, parent.name, NameHash::of(parent.name)));
    if (dentry->inode()) return error(Errno::EEXIST);
    if (parent.trailing_slash && kind != NodeKind::Directory) return error(Errno::ENOENT);
    TRY(may_create(parent.directory, who));
    DentryCache::instantiate(dentry, TRY(make(parent.directory, parent.name, who)));
    tell_watches(directory,
                 {.bits = abi::IN_CREATE, .is_about_directory = dentry->inode()->is_directory(), .name = parent.name});
    return Path(RefPtr<Mount>(*parent.directory.mount), std::move(dentry));
}

} // namespace

Result<void> make_directory(LookupStart start, std::string_view path, u32 mode) {
    TRY(create_name(start, path, NodeKind::Directory,
                    [&](const Path& directory, std::string_view name, const Credentials& who) -> Result<RefPtr<Inode>> {
                        u32 wanted = abi::S_IFDIR | (mode & (abi::S_IRWXUGO | abi::S_ISVTX));
                        Inode& parent = *directory.inode();
                        return make_inode(parent, name, TRY(plan_inode(parent, wanted, who)));
                    }));
    return {};
}

Result<Path> create_at(LookupStart start, std::string_view path, u32 mode, DeviceNumber device) {
    return create_name(
        start, path, NodeKind::Other,
        [&](const Path& directory, std::string_view name, const Credentials& who) -> Result<RefPtr<Inode>> {
            NewInode plan = TRY(plan_inode(*directory.inode(), mode, who));
            plan.request.device = device;
            return make_inode(*directory.inode(), name, std::move(plan));
        });
}

Result<void> make_node(LookupStart start, std::string_view path, u32 mode, DeviceNumber device) {
    u32 type = mode & abi::S_IFMT;
    mode &= abi::S_IALLUGO;
    switch (type) {
    case 0:
        type = abi::S_IFREG;
        [[fallthrough]];
    case abi::S_IFREG:
    case abi::S_IFIFO:
    case abi::S_IFSOCK:
        device = {};
        break;
    case abi::S_IFCHR:
    case abi::S_IFBLK:
        // A character device 0:0 is overlayfs's whiteout, which anybody may make.
        if (!(type == abi::S_IFCHR && device == DeviceNumber{}) && !current_credentials().has(Capability::Mknod))
            return error(Errno::EPERM);
        break;
    case abi::S_IFDIR:
        return error(Errno::EPERM);
    default:
        return error(Errno::EINVAL);
    }
    TRY(create_at(start, path, type | mode, device));
    return {};
}

Result<void> make_symlink(std::string_view target, LookupStart start, std::string_view path) {
    if (target.empty()) return error(Errno::ENOENT);
    TRY(create_name(start, path, NodeKind::Other,
                    [&](const Path& directory, std::string_view name, const Credentials& who) -> Result<RefPtr<Inode>> {
                        NewInode plan = TRY(plan_inode(*directory.inode(), abi::S_IFLNK | abi::S_IRWXUGO, who));
                        plan.request.link_target = target;
                        return make_inode(*directory.inode(), name, std::move(plan));
                    }));
    return {};
}

Result<void> link(const Path& existing, LookupStart start, std::string_view path) {
    RefPtr<Inode> target(*existing.inode());
    TRY(create_name(start, path, NodeKind::Other,
                    [&](const Path& directory, std::string_view name, const Credentials&) -> Result<RefPtr<Inode>> {
                        if (directory.mount != existing.mount) return error(Errno::EXDEV);
                        if (target->is_protected()) return error(Errno::EPERM);
                        if (target->is_directory()) return error(Errno::EPERM);
                        core::WriteGuard guard(target->lock);
                        // A removed file stays removed; one opened with O_TMPFILE may get its first name.
                        if (target->link_count() == 0 && !existing.dentry->is_root()) return error(Errno::ENOENT);
                        TRY(directory.inode()->link(name, *target));
                        tell_watches(*target, abi::IN_ATTRIB); // its number of links
                        return target;
                    }));
    return {};
}

} // namespace linnet::vfs
