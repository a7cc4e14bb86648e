// open(2), openat2(2) and what the kernel opens itself.
#include "attribute_rules.hpp"
#include "name_rules.hpp"
#include "path_file.hpp"
#include "walk.hpp"
#include "write_access.hpp"

#include <abi/linux/fs.hpp>
#include <vfs/leases.hpp>
#include <vfs/watches.hpp>

namespace linnet::vfs {

namespace {

enum class Created : u8 { No, Yes };

/// Permissions that the access mode asks for; access mode 3 means both (open(2), "File access mode").
u32 access_mask(u32 flags) {
    constexpr u32 by_mode[] = {may_read, may_write, may_read | may_write, may_read | may_write};
    u32 mask = by_mode[flags & abi::O_ACCMODE];
    if (flags & abi::O_TRUNC) mask |= may_write;
    return mask;
}

/// What watches are to be told.
Result<u32> empty_file(Inode& inode, const Credentials& who) {
    core::WriteGuard guard(inode.lock);
    TRY(check_size_seals(inode, 0));
    const u32 lost = TRY(drop_privilege_bits(inode, who));
    TRY(inode.truncate(0));
    inode.touch_modified();
    return abi::IN_MODIFY | lost;
}

/// Opens what a walk found. A file just created needs no permission.
Result<RefPtr<File>> open_found(const Path& path, u32 flags, const Credentials& who, Created created) {
    Inode& inode = *path.inode();
    if (flags & abi::O_PATH) return PathFile::create(path, flags);
    u32 mask = access_mask(flags);
    if (inode.is_symlink()) return error(Errno::ELOOP);
    if (inode.is_directory() && (mask & may_write)) return error(Errno::EISDIR);
    if (created == Created::No) TRY(check_access(path, mask, who));
    const bool only_appends = (flags & abi::O_APPEND) && !(flags & abi::O_TRUNC);
    if ((mask & may_write) && inode.is_append_only() && !only_appends) return error(Errno::EPERM);
    if ((flags & abi::O_NOATIME) && !may_act_as_owner(inode, who)) return error(Errno::EPERM);

    WriteAccess access;
    ReadAccess reading;
    if (inode.is_regular()) {
        if (mask & may_write)
            access = TRY(WriteAccess::claim(path));
        else
            reading = ReadAccess::claim(inode);
        const auto use = (flags & abi::O_ACCMODE) == abi::O_RDONLY ? Leases::Use::Read : Leases::Use::Write;
        TRY(make_leases_give_way(inode, use, flags & abi::O_NONBLOCK ? Blocking::Refuse : Blocking::Wait));
    }
    auto file = TRY(inode.open(path, flags));
    if ((flags & abi::O_DIRECT) && !file->accepts_direct()) return error(Errno::EINVAL);
    tell_watches(*file, abi::IN_OPEN);
    if ((flags & abi::O_TRUNC) && inode.is_regular() && created == Created::No)
        tell_watches(*file, TRY(empty_file(inode, who)));
    if (file->is_writable()) access.hand_to(file);
    reading.hand_to(file);
    return file;
}

Result<RefPtr<File>> open_unnamed(const OpenRequest& request, u32 lookup_flags, const Credentials& who) {
    u32 mode = request.flags & abi::O_ACCMODE;
    if (!(request.flags & abi::O_DIRECTORY) || mode == abi::O_RDONLY) return error(Errno::EINVAL);
    Path directory = TRY(lookup(request.start, request.path, lookup_flags | lookup_directory, who));
    TRY(check_writable(directory));
    Inode& parent = *directory.inode();
    TRY(parent.check_permission(may_write | may_execute, who));
    NewInode plan;
    {
        core::ReadGuard guard(parent.lock);
        plan = TRY(plan_inode(parent, abi::S_IFREG | (request.mode & abi::S_IALLUGO), who));
    }
    RefPtr<Inode> inode = TRY(parent.create_unnamed(plan.request));
    {
        core::WriteGuard guard(inode->lock);
        TRY(begin_with_acls(*inode, std::move(plan.access), nullptr));
    }
    char name[24];
    auto dentry = TRY(Dentry::create_root(parent.superblock(), inode, format_into(name, "#{}", inode->number())));
    return open_found(Path(RefPtr<Mount>(*directory.mount), std::move(dentry)),
                      request.flags & ~(abi::O_TMPFILE_BIT | abi::O_DIRECTORY), who, Created::Yes);
}

/// Makes the last name of the walk unless it exists: the dentry, positive, and whether it is new.
struct FoundOrCreated {
    RefPtr<Dentry> dentry;
    Created created;
};
Result<FoundOrCreated> find_or_create(Walk& walk, const OpenRequest& request, const Credentials& who) {
    const Path& directory = walk.current();
    TRY(check_name_length(directory, walk.last()));
    bool cached_truth = directory.dentry->superblock().dentry_policy() == DentryPolicy::Cache;
    if (auto cached = DentryCache::find(*directory.dentry, walk.last(), walk.last_hash()))
        if (cached->inode() && cached_truth) return FoundOrCreated{RefPtr<Dentry>(std::move(cached)), Created::No};
    Inode& parent = *directory.inode();
    core::WriteGuard guard(parent.lock);
    auto dentry = TRY(DentryCache::find_or_load_locked(*directory.dentry, walk.last(), walk.last_hash()));
    if (dentry->inode()) return FoundOrCreated{std::move(dentry), Created::No};
    TRY(may_create(directory, who));
    NewInode plan = TRY(plan_inode(parent, abi::S_IFREG | (request.mode & abi::S_IALLUGO), who));
    DentryCache::instantiate(dentry, TRY(make_inode(parent, walk.last(), std::move(plan))));
    tell_watches(parent, {.bits = abi::IN_CREATE, .name = walk.last()});
    return FoundOrCreated{std::move(dentry), Created::Yes};
}

Result<RefPtr<File>> open_or_create(const OpenRequest& request, u32 lookup_flags, const Credentials& who) {
    bool exclusive = (request.flags & abi::O_EXCL) != 0;
    Walk walk(lookup_flags, who);
    TRY(walk.begin(request.start, request.path));
    for (;;) {
        TRY(walk.to_parent());
        if (walk.last_kind() != LastComponent::Name) return error(exclusive ? Errno::EEXIST : Errno::EISDIR);
        if (walk.trailing_slash()) return error(Errno::EISDIR);
        auto [dentry, created] = TRY(find_or_create(walk, request, who));
        Path found(RefPtr<Mount>(*walk.current().mount), std::move(dentry));
        if (created == Created::Yes) return open_found(found, request.flags, who, created);
        if (exclusive) return error(Errno::EEXIST);
        bool covered = found.dentry->is_mountpoint();
        if (covered) {
            MountTable::cross_down(found);
            found.mount->note_use();
            if ((lookup_flags & lookup_no_cross_mount) && found.mount != walk.current().mount)
                return error(Errno::EXDEV);
        }
        if (found.inode()->is_symlink() && !covered) {
            if (request.flags & abi::O_NOFOLLOW) return error(Errno::ELOOP);
            if (TRY(walk.follow(found))) continue;
            found = walk.current();
        }
        if (found.inode()->is_directory()) return error(Errno::EISDIR);
        return open_found(found, request.flags, who, Created::No);
    }
}

} // namespace

Result<RefPtr<File>> open(const OpenRequest& request, const Credentials& who) {
    u32 flags = request.flags;
    if (flags & abi::O_PATH) flags &= abi::O_PATH | abi::O_DIRECTORY | abi::O_NOFOLLOW | abi::O_CLOEXEC;
    u32 lookup_flags = request.lookup_flags;
    if (flags & abi::O_NOFOLLOW) lookup_flags |= lookup_no_follow;
    if (flags & abi::O_TMPFILE_BIT) return open_unnamed(request, lookup_flags, who);
    if (flags & abi::O_CREAT) {
        if (flags & abi::O_DIRECTORY) return error(Errno::EINVAL);
        return open_or_create(request, lookup_flags, who);
    }
    if (flags & abi::O_DIRECTORY) lookup_flags |= lookup_directory;
    Path path = TRY(lookup(request.start, request.path, lookup_flags, who));
    return open_found(path, flags, who, Created::No);
}

Result<RefPtr<File>> open_path(const Path& path, u32 flags, const Credentials& who) {
    return open_found(path, flags, who, Created::No);
}

Result<Path> place_of(File& file) {
    if (!file.path().is_empty()) return file.path();
    SuperBlock& superblock = file.inode().superblock();
    RefPtr<Dentry> dentry = TRY(Dentry::create_root(superblock, RefPtr<Inode>(file.inode())));
    RefPtr<Mount> mount = TRY(Mount::create(RefPtr<SuperBlock>(superblock), dentry, "none", 0));
    return Path(std::move(mount), std::move(dentry));
}

Result<RefPtr<File>> open_executable(LookupStart start, std::string_view path, u32 lookup_flags) {
    const Credentials& who = current_credentials();
    Path found = TRY(lookup(start, path, lookup_flags, who));
    if (found.inode()->is_symlink()) return error(Errno::ELOOP);
    if (!found.inode()->is_regular()) return error(Errno::EACCES);
    TRY(check_access(found, may_execute, who));
    TRY(make_leases_give_way(*found.inode(), Leases::Use::Read, Blocking::Wait));
    auto file = TRY(found.inode()->open(found, abi::O_RDONLY));
    tell_watches(*file, abi::IN_OPEN);
    return file;
}

Result<ArrayList<u8>> read_file(std::string_view path, usize limit) {
    auto file = TRY(open(path, abi::O_RDONLY));
    ArrayList<u8> bytes;
    constexpr usize first_step = 4096;
    for (usize done = 0;;) {
        usize size = std::max<usize>(first_step, done * 2);
        TRY(bytes.try_resize(size));
        IoBuffer buffer = IoBuffer::kernel(bytes.span().subspan(done));
        usize count = TRY(read(file, buffer));
        done += count;
        if (done > limit) return error(Errno::EFBIG);
        if (count == 0) {
            TRY(bytes.try_resize(done));
            return bytes;
        }
    }
}

} // namespace linnet::vfs
