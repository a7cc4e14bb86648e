// mount(2), umount2(2), pivot_root(2).
#include "path_argument.hpp"

#include <abi/linux/fs.hpp>
#include <syscalls/mount.hpp>
#include <vfs/mount.hpp>
#include <vfs/operations.hpp>

namespace linnet::syscalls {

using process::Thread;

namespace {

Result<void> may_mount() {
    if (!vfs::current_credentials().has(vfs::Capability::SysAdmin)) return error(Errno::EPERM);
    return {};
}

/// A string that may be absent.
Result<mm::OwnedString> optional_string(UserString from) {
    if (from.is_null()) return mm::OwnedString();
    return from.copy_in(abi::PATH_MAX);
}
std::string_view text_of(UserString from, const mm::OwnedString& copy) {
    return from.is_null() ? std::string_view{} : copy.view();
}

} // namespace

Result<long> sys_mount(Thread& thread, UserString source, UserString target, UserString type, u64 flags,
                       UserString data) {
    mm::OwnedString type_copy = TRY(optional_string(type));
    mm::OwnedString source_copy = TRY(optional_string(source));
    mm::OwnedString data_copy = TRY(optional_string(data));
    PathArgument argument;
    TRY(argument.get(thread, abi::AT_FDCWD, target));
    vfs::Path place = TRY(argument.lookup());
    TRY(may_mount());
    constexpr u64 without_type = abi::MS_REMOUNT | abi::MS_BIND | abi::MS_MOVE | abi::MS_SHARED | abi::MS_PRIVATE |
                                 abi::MS_SLAVE | abi::MS_UNBINDABLE;
    if (!(flags & without_type) && type.is_null()) return error(Errno::EINVAL);
    TRY(vfs::mount(text_of(source, source_copy), place, text_of(type, type_copy), flags, text_of(data, data_copy)));
    return 0;
}

Result<long> sys_umount2(Thread& thread, UserString target, u32 flags) {
    if (flags & ~(abi::MNT_FORCE | abi::MNT_DETACH | abi::MNT_EXPIRE | abi::UMOUNT_NOFOLLOW))
        return error(Errno::EINVAL);
    PathArgument argument;
    TRY(argument.get(thread, abi::AT_FDCWD, target));
    u32 lookup_flags = vfs::lookup_no_use;
    if (flags & abi::UMOUNT_NOFOLLOW) lookup_flags |= vfs::lookup_no_follow;
    vfs::Path place = TRY(argument.lookup(lookup_flags));
    TRY(may_mount());
    RefPtr<vfs::SuperBlock> superblock(place.mount->superblock());
    TRY(vfs::MountTable::detach(place, flags));
    (void)superblock->sync(); // umount2(2) doesn't report it
    return 0;
}

Result<long> sys_pivot_root(Thread& thread, UserString new_root, UserString put_old) {
    TRY(may_mount());
    PathArgument fresh, old;
    TRY(fresh.get(thread, abi::AT_FDCWD, new_root));
    TRY(old.get(thread, abi::AT_FDCWD, put_old));
    vfs::Path root = TRY(fresh.lookup(vfs::lookup_directory));
    vfs::Path old_place = TRY(old.lookup(vfs::lookup_directory));
    TRY(vfs::MountTable::pivot_root(root, old_place));
    return 0;
}

} // namespace linnet::syscalls
