// Extended attributes (xattr(7)): names, who may, sizes. The values are kept by the file systems.
#include "growing_structure.hpp"
#include "path_argument.hpp"

#include <abi/linux/fs.hpp>
#include <algorithm>
#include <cstring>
#include <syscalls/mount.hpp>
#include <vfs/mount.hpp>
#include <vfs/operations.hpp>
#include <vfs/watches.hpp>

namespace linnet::syscalls {

using process::Thread;

namespace {

enum class Intent : u8 { Read, Write };

class AttributeName {
public:
    Result<void> copy_in(UserString from) {
        auto text = from.copy_in(std::span<char>(buffer_));
        if (!text) return error(text.error() == Errno::ENAMETOOLONG ? Errno::ERANGE : text.error());
        if (text->empty()) return error(Errno::ERANGE);
        text_ = *text;
        return {};
    }
    std::string_view text() const { return text_; }

private:
    char buffer_[abi::XATTR_NAME_MAX + 1];
    std::string_view text_;
};

/// Pipes, sockets, event descriptors: what has no place keeps none, and refuses in the words that fit its kind.
Result<void> check_place(const vfs::Path& path, std::string_view name, Intent intent) {
    if (!path.is_empty()) return {};
    if (!name.starts_with("user.")) return error(Errno::EOPNOTSUPP);
    return error(intent == Intent::Write ? Errno::EPERM : Errno::ENODATA);
}

/// The rules of the name spaces. What may not be seen reads as absent.
Result<void> check_rights(const vfs::Path& path, std::string_view name, Intent intent) {
    vfs::Inode& inode = *path.inode();
    const vfs::Credentials& who = vfs::current_credentials();
    Errno refused = intent == Intent::Write ? Errno::EPERM : Errno::ENODATA;
    if (intent == Intent::Write && path.mount && path.mount->is_read_only()) return error(Errno::EROFS);
    if (intent == Intent::Write && inode.is_protected()) return error(Errno::EPERM);
    if (name.starts_with("security.")) {
        if (intent == Intent::Read || who.has(vfs::Capability::SysAdmin)) return {};
        if (name == "security.capability" && who.has(vfs::Capability::Setfcap)) return {};
        return error(Errno::EPERM);
    }
    if (name.starts_with("trusted.")) {
        if (!who.has(vfs::Capability::SysAdmin)) return error(refused);
        return {};
    }
    if (vfs::acl_kind(name)) {
        if (!inode.superblock().keeps_acls() || inode.is_symlink()) return error(Errno::EOPNOTSUPP);
        return {}; // who may change one, set_acl() says
    }
    if (!name.starts_with("user.")) return error(Errno::EOPNOTSUPP);
    if (!inode.is_regular() && !inode.is_directory()) return error(refused);
    if (inode.is_directory() && (inode.mode() & abi::S_ISVTX) && intent == Intent::Write && who.fsuid != inode.uid() &&
        !who.has(vfs::Capability::Fowner))
        return error(Errno::EPERM);
    return inode.check_permission(intent == Intent::Write ? vfs::may_write : vfs::may_read, who);
}

Result<long> get(const vfs::Path& path, UserString name, VirtAddr value, u64 size) {
    AttributeName attribute;
    TRY(attribute.copy_in(name));
    size = std::min<u64>(size, abi::XATTR_SIZE_MAX);
    TRY(check_place(path, attribute.text(), Intent::Read));
    ArrayList<u8> bytes;
    TRY(bytes.try_resize(size));
    TRY(check_rights(path, attribute.text(), Intent::Read));
    vfs::Inode& inode = *path.inode();
    core::ReadGuard guard(inode.lock);
    usize length = TRY(inode.get_extended_attribute(attribute.text(), bytes.span()));
    guard.unlock();
    if (size) TRY(mm::copy_to_user(value, bytes.begin(), length));
    return static_cast<long>(length);
}

Result<long> set(const vfs::Path& path, UserString name, VirtAddr value, u64 size, u32 flags) {
    if (flags & ~(abi::XATTR_CREATE | abi::XATTR_REPLACE)) return error(Errno::EINVAL);
    if (size > abi::XATTR_SIZE_MAX) return error(Errno::E2BIG);
    AttributeName attribute;
    TRY(attribute.copy_in(name));
    ArrayList<u8> bytes;
    TRY(bytes.try_resize(size));
    TRY(mm::copy_from_user(bytes.begin(), value, size));
    TRY(check_place(path, attribute.text(), Intent::Write));
    vfs::Inode& inode = *path.inode();
    core::WriteGuard guard(inode.lock);
    TRY(check_rights(path, attribute.text(), Intent::Write));
    if (const auto kind = vfs::acl_kind(attribute.text()))
        TRY(vfs::set_acl(inode, *kind, bytes.span()));
    else
        TRY(inode.set_extended_attribute(attribute.text(), bytes.span(), flags));
    vfs::tell_watches(*path.dentry, abi::IN_ATTRIB);
    return 0;
}

/// trusted.* is only for those who may read it.
usize hide_trusted(std::span<char> names) {
    usize kept = 0;
    for (usize at = 0; at < names.size();) {
        std::string_view name(&names[at]);
        if (!name.starts_with("trusted.")) {
            std::memmove(&names[kept], &names[at], name.size() + 1);
            kept += name.size() + 1;
        }
        at += name.size() + 1;
    }
    return kept;
}

Result<long> list(const vfs::Path& path, VirtAddr buffer, u64 size) {
    if (path.is_empty()) return 0;
    vfs::Inode& inode = *path.inode();
    ArrayList<char> names;
    {
        core::ReadGuard guard(inode.lock);
        usize needed = TRY(inode.list_extended_attributes({}));
        TRY(names.try_resize(needed));
        if (needed) TRY(inode.list_extended_attributes(names.span()));
    }
    usize length = names.size();
    if (!vfs::current_credentials().has(vfs::Capability::SysAdmin)) length = hide_trusted(names.span());
    if (size == 0) return static_cast<long>(length);
    if (length > size) return error(Errno::ERANGE);
    TRY(mm::copy_to_user(buffer, names.begin(), length));
    return static_cast<long>(length);
}

Result<long> remove(const vfs::Path& path, UserString name) {
    AttributeName attribute;
    TRY(attribute.copy_in(name));
    TRY(check_place(path, attribute.text(), Intent::Write));
    vfs::Inode& inode = *path.inode();
    core::WriteGuard guard(inode.lock);
    TRY(check_rights(path, attribute.text(), Intent::Write));
    if (const auto kind = vfs::acl_kind(attribute.text()))
        TRY(vfs::set_acl(inode, *kind, {}));
    else
        TRY(inode.remove_extended_attribute(attribute.text()));
    vfs::tell_watches(*path.dentry, abi::IN_ATTRIB);
    return 0;
}

template <typename Call>
Result<long> by_path(Thread& thread, UserString path, u32 lookup_flags, Call call) {
    PathArgument argument;
    TRY(argument.get(thread, abi::AT_FDCWD, path));
    return call(TRY(argument.lookup(lookup_flags)));
}
template <typename Call>
Result<long> by_descriptor(Thread& thread, int fd, Call call) {
    auto file = TRY(thread.own_files().use(fd));
    return call(file->path());
}

} // namespace

Result<long> sys_getxattr(Thread& thread, UserString path, UserString name, VirtAddr value, u64 size) {
    return by_path(thread, path, vfs::lookup_default, [&](const vfs::Path& p) { return get(p, name, value, size); });
}
Result<long> sys_lgetxattr(Thread& thread, UserString path, UserString name, VirtAddr value, u64 size) {
    return by_path(thread, path, vfs::lookup_no_follow, [&](const vfs::Path& p) { return get(p, name, value, size); });
}
Result<long> sys_fgetxattr(Thread& thread, int fd, UserString name, VirtAddr value, u64 size) {
    return by_descriptor(thread, fd, [&](const vfs::Path& p) { return get(p, name, value, size); });
}
Result<long> sys_setxattr(Thread& thread, UserString path, UserString name, VirtAddr value, u64 size, u32 flags) {
    return by_path(thread, path, vfs::lookup_default,
                   [&](const vfs::Path& p) { return set(p, name, value, size, flags); });
}
Result<long> sys_lsetxattr(Thread& thread, UserString path, UserString name, VirtAddr value, u64 size, u32 flags) {
    return by_path(thread, path, vfs::lookup_no_follow,
                   [&](const vfs::Path& p) { return set(p, name, value, size, flags); });
}
Result<long> sys_fsetxattr(Thread& thread, int fd, UserString name, VirtAddr value, u64 size, u32 flags) {
    return by_descriptor(thread, fd, [&](const vfs::Path& p) { return set(p, name, value, size, flags); });
}
Result<long> sys_listxattr(Thread& thread, UserString path, VirtAddr buffer, u64 size) {
    return by_path(thread, path, vfs::lookup_default, [&](const vfs::Path& p) { return list(p, buffer, size); });
}
Result<long> sys_llistxattr(Thread& thread, UserString path, VirtAddr buffer, u64 size) {
    return by_path(thread, path, vfs::lookup_no_follow, [&](const vfs::Path& p) { return list(p, buffer, size); });
}
Result<long> sys_flistxattr(Thread& thread, int fd, VirtAddr buffer, u64 size) {
    return by_descriptor(thread, fd, [&](const vfs::Path& p) { return list(p, buffer, size); });
}
Result<long> sys_removexattr(Thread& thread, UserString path, UserString name) {
    return by_path(thread, path, vfs::lookup_default, [&](const vfs::Path& p) { return remove(p, name); });
}
Result<long> sys_lremovexattr(Thread& thread, UserString path, UserString name) {
    return by_path(thread, path, vfs::lookup_no_follow, [&](const vfs::Path& p) { return remove(p, name); });
}
Result<long> sys_fremovexattr(Thread& thread, int fd, UserString name) {
    return by_descriptor(thread, fd, [&](const vfs::Path& p) { return remove(p, name); });
}

Result<long> sys_getxattrat(Thread& thread, int directory, UserString path, u32 at_flags, UserString name,
                            VirtAddr arguments, u64 size) {
    const auto asked = TRY(copy_in_growing<abi::xattr_args>(arguments, size));
    if (asked.flags) return error(Errno::EINVAL);
    return get(TRY(named_object(thread, directory, path, at_flags)), name, {asked.value}, asked.size);
}
Result<long> sys_setxattrat(Thread& thread, int directory, UserString path, u32 at_flags, UserString name,
                            VirtAddr arguments, u64 size) {
    const auto asked = TRY(copy_in_growing<abi::xattr_args>(arguments, size));
    return set(TRY(named_object(thread, directory, path, at_flags)), name, {asked.value}, asked.size, asked.flags);
}
Result<long> sys_listxattrat(Thread& thread, int directory, UserString path, u32 at_flags, VirtAddr buffer, u64 size) {
    return list(TRY(named_object(thread, directory, path, at_flags)), buffer, size);
}
Result<long> sys_removexattrat(Thread& thread, int directory, UserString path, u32 at_flags, UserString name) {
    return remove(TRY(named_object(thread, directory, path, at_flags)), name);
}

} // namespace linnet::syscalls
