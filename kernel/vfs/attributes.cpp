// chmod, chown, utimensat, truncate and access checks: who may, and what else changes with it.
#include "attribute_rules.hpp"

#include "paged_file.hpp"
#include "write_access.hpp"

#include <abi/linux/fs.hpp>
#include <vfs/leases.hpp>
#include <vfs/operations.hpp>
#include <vfs/watches.hpp>

namespace linnet::vfs {

bool may_act_as_owner(const Inode& inode, const Credentials& who) {
    return who.fsuid == inode.uid() || who.has(Capability::Fowner);
}

Result<void> check_writable(const Path& path) {
    if (path.mount && path.mount->is_read_only()) return error(Errno::EROFS);
    return {};
}

Result<u32> drop_privilege_bits(Inode& inode, const Credentials& who) {
    u32 mode = inode.mode();
    if (!(mode & (abi::S_ISUID | abi::S_ISGID)) || !inode.is_regular()) return 0;
    u32 drop = mode & abi::S_ISUID;
    if ((mode & abi::S_ISGID) && (mode & abi::S_IXGRP)) drop |= abi::S_ISGID;
    if (!drop || who.has(Capability::Fsetid)) return 0;
    AttributeChange change;
    change.mode = mode & ~drop & abi::S_IALLUGO;
    TRY(inode.set_attributes(change));
    return abi::IN_ATTRIB;
}

Result<void> check_size_seals(const Inode& inode, u64 size) {
    if (size < inode.size() && inode.has_seal(abi::F_SEAL_SHRINK)) return error(Errno::EPERM);
    if (size > inode.size() && inode.has_seal(abi::F_SEAL_GROW)) return error(Errno::EPERM);
    return {};
}

Result<void> check_access(const Path& path, u32 mask, const Credentials& who) {
    Inode& inode = *path.inode();
    if (mask & may_write) {
        u32 type = inode.type();
        bool on_disk = type == abi::S_IFREG || type == abi::S_IFDIR || type == abi::S_IFLNK;
        if (on_disk) TRY(check_writable(path));
    }
    if ((mask & may_execute) && inode.is_regular() && (path.mount->flags() & abi::MS_NOEXEC))
        return error(Errno::EACCES);
    return inode.check_permission(mask, who);
}

Result<void> change_mode(const Path& path, u32 mode) {
    TRY(check_writable(path));
    Inode& inode = *path.inode();
    if (inode.is_symlink()) return error(Errno::EOPNOTSUPP);
    const Credentials& who = current_credentials();
    core::WriteGuard guard(inode.lock);
    if (inode.is_protected() || !may_act_as_owner(inode, who)) return error(Errno::EPERM);
    if (inode.has_seal(abi::F_SEAL_EXEC) && ((inode.mode() ^ mode) & abi::S_IXUGO)) return error(Errno::EPERM);
    AttributeChange change;
    change.mode = mode & abi::S_IALLUGO;
    if (!who.is_in_group(inode.gid()) && !who.has(Capability::Fsetid)) *change.mode &= ~abi::S_ISGID;
    TRY(change_acl_mode(inode, *change.mode));
    TRY(inode.set_attributes(change));
    tell_watches(*path.dentry, abi::IN_ATTRIB);
    return {};
}

Result<void> change_owner(const Path& path, std::optional<u32> uid, std::optional<u32> gid) {
    TRY(check_writable(path));
    Inode& inode = *path.inode();
    const Credentials& who = current_credentials();
    core::WriteGuard guard(inode.lock);
    if (inode.is_protected()) return error(Errno::EPERM);
    if (!who.has(Capability::Chown)) {
        bool owner = who.fsuid == inode.uid();
        if (uid && !(owner && *uid == inode.uid())) return error(Errno::EPERM);
        if (gid && !(owner && (*gid == inode.gid() || who.is_in_group(*gid)))) return error(Errno::EPERM);
    }
    AttributeChange change;
    change.uid = uid;
    change.gid = gid;
    u32 mode = inode.mode();
    if (!abi::S_ISDIR(mode)) {
        u32 drop = mode & abi::S_ISUID;
        if (mode & abi::S_IXGRP) drop |= mode & abi::S_ISGID;
        if (drop) change.mode = mode & ~drop & abi::S_IALLUGO;
    }
    TRY(inode.set_attributes(change));
    tell_watches(*path.dentry, abi::IN_ATTRIB);
    return {};
}

Result<void> change_times(const Path& path, TimeChange access, TimeChange modify) {
    using Kind = TimeChange::Kind;
    if (access.kind == Kind::Omit && modify.kind == Kind::Omit) return {};
    TRY(check_writable(path));
    Inode& inode = *path.inode();
    const Credentials& who = current_credentials();
    core::WriteGuard guard(inode.lock);
    const bool is_both_now = access.kind == Kind::Now && modify.kind == Kind::Now;
    if (is_both_now ? inode.is_immutable() : inode.is_protected()) return error(Errno::EPERM);
    if (!may_act_as_owner(inode, who)) {
        // Without being the owner only "both to now" is allowed, and that with write permission.
        if (!is_both_now) return error(Errno::EPERM);
        TRY(inode.check_permission(may_write, who));
    }
    Timestamp now = Timestamp::now();
    AttributeChange change;
    if (access.kind != Kind::Omit) change.access_time = access.kind == Kind::Now ? now : access.time;
    if (modify.kind != Kind::Omit) change.modify_time = modify.kind == Kind::Now ? now : modify.time;
    TRY(inode.set_attributes(change));
    // One time alone is what reading or writing would have changed.
    const bool has_both = change.access_time && change.modify_time;
    tell_watches(*path.dentry, has_both ? abi::IN_ATTRIB : change.access_time ? abi::IN_ACCESS : abi::IN_MODIFY);
    return {};
}

Result<void> truncate(const Path& path, u64 size) {
    Inode& inode = *path.inode();
    if (inode.is_directory()) return error(Errno::EISDIR);
    if (!inode.is_regular()) return error(Errno::EINVAL);
    TRY(check_access(path, may_write, current_credentials()));
    if (inode.is_append_only()) return error(Errno::EPERM);
    auto access = TRY(WriteAccess::claim(path));
    TRY(make_leases_give_way(inode, Leases::Use::Write, Blocking::Wait));
    if (size > inode.superblock().max_file_size()) return error(Errno::EFBIG);
    if (size > inode.size() && size > current_file_size_limit()) {
        file_size_limit_exceeded();
        return error(Errno::EFBIG);
    }
    core::WriteGuard guard(inode.lock);
    TRY(check_size_seals(inode, size));
    const u32 lost = TRY(drop_privilege_bits(inode, current_credentials()));
    TRY(inode.truncate(size));
    inode.touch_modified();
    tell_watches(*path.dentry, abi::IN_MODIFY | lost);
    return {};
}

} // namespace linnet::vfs
