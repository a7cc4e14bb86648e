// Names: making, removing, linking, renaming; the working directory.
#include "path_argument.hpp"

#include <abi/linux/fs.hpp>
#include <algorithm>
#include <cstring>
#include <syscalls/path.hpp>
#include <vfs/fs_context.hpp>
#include <vfs/operations.hpp>

namespace linnet::syscalls {

using process::Thread;

Result<long> sys_mkdirat(Thread& thread, int directory, UserString path, u32 mode) {
    PathArgument argument;
    TRY(argument.get(thread, directory, path));
    TRY(vfs::make_directory(argument.start(), argument.text(), mode));
    return 0;
}
Result<long> sys_mkdir(Thread& thread, UserString path, u32 mode) {
    return sys_mkdirat(thread, abi::AT_FDCWD, path, mode);
}

Result<long> sys_mknodat(Thread& thread, int directory, UserString path, u32 mode, u32 device) {
    PathArgument argument;
    TRY(argument.get(thread, directory, path));
    TRY(vfs::make_node(argument.start(), argument.text(), mode, vfs::DeviceNumber::decode(device)));
    return 0;
}
Result<long> sys_mknod(Thread& thread, UserString path, u32 mode, u32 device) {
    return sys_mknodat(thread, abi::AT_FDCWD, path, mode, device);
}

Result<long> sys_unlinkat(Thread& thread, int directory, UserString path, u32 flags) {
    if (flags & ~abi::AT_REMOVEDIR) return error(Errno::EINVAL);
    PathArgument argument;
    TRY(argument.get(thread, directory, path));
    if (flags & abi::AT_REMOVEDIR)
        TRY(vfs::remove_directory(argument.start(), argument.text()));
    else
        TRY(vfs::unlink(argument.start(), argument.text()));
    return 0;
}
Result<long> sys_unlink(Thread& thread, UserString path) { return sys_unlinkat(thread, abi::AT_FDCWD, path, 0); }
Result<long> sys_rmdir(Thread& thread, UserString path) {
    return sys_unlinkat(thread, abi::AT_FDCWD, path, abi::AT_REMOVEDIR);
}

Result<long> sys_symlinkat(Thread& thread, UserString target, int directory, UserString path) {
    UserPath text;
    TRY(text.copy_in(target));
    PathArgument argument;
    TRY(argument.get(thread, directory, path));
    TRY(vfs::make_symlink(text.text(), argument.start(), argument.text()));
    return 0;
}
Result<long> sys_symlink(Thread& thread, UserString target, UserString path) {
    return sys_symlinkat(thread, target, abi::AT_FDCWD, path);
}

Result<long> sys_linkat(Thread& thread, int from_directory, UserString from, int to_directory, UserString to,
                        u32 flags) {
    if (flags & ~(abi::AT_SYMLINK_FOLLOW | abi::AT_EMPTY_PATH)) return error(Errno::EINVAL);
    u32 lookup_flags = (flags & abi::AT_SYMLINK_FOLLOW) ? vfs::lookup_default : vfs::lookup_no_follow;
    PathArgument existing, fresh;
    TRY(existing.get(thread, from_directory, from));
    if (flags & abi::AT_EMPTY_PATH) {
        if (existing.text().empty() && !vfs::current_credentials().has(vfs::Capability::DacReadSearch))
            return error(Errno::ENOENT);
        lookup_flags |= vfs::lookup_empty_path;
    }
    vfs::Path target = TRY(existing.lookup(lookup_flags));
    TRY(fresh.get(thread, to_directory, to));
    TRY(vfs::link(target, fresh.start(), fresh.text()));
    return 0;
}
Result<long> sys_link(Thread& thread, UserString from, UserString to) {
    return sys_linkat(thread, abi::AT_FDCWD, from, abi::AT_FDCWD, to, 0);
}

Result<long> sys_renameat2(Thread& thread, int from_directory, UserString from, int to_directory, UserString to,
                           u32 flags) {
    constexpr u32 not_for_exchanges = abi::RENAME_NOREPLACE | abi::RENAME_WHITEOUT;
    if (flags & ~(not_for_exchanges | abi::RENAME_EXCHANGE)) return error(Errno::EINVAL);
    if ((flags & not_for_exchanges) && (flags & abi::RENAME_EXCHANGE)) return error(Errno::EINVAL);
    PathArgument old_name, new_name;
    TRY(old_name.get(thread, from_directory, from));
    TRY(new_name.get(thread, to_directory, to));
    TRY(vfs::rename(old_name.start(), old_name.text(), new_name.start(), new_name.text(), flags));
    return 0;
}
Result<long> sys_renameat(Thread& thread, int from_directory, UserString from, int to_directory, UserString to) {
    return sys_renameat2(thread, from_directory, from, to_directory, to, 0);
}
Result<long> sys_rename(Thread& thread, UserString from, UserString to) {
    return sys_renameat2(thread, abi::AT_FDCWD, from, abi::AT_FDCWD, to, 0);
}

Result<long> sys_readlinkat(Thread& thread, int directory, UserString path, VirtAddr buffer, i32 size) {
    if (size <= 0) return error(Errno::EINVAL);
    PathArgument argument;
    TRY(argument.get(thread, directory, path));
    vfs::Path link = TRY(argument.lookup(vfs::lookup_no_follow | vfs::lookup_empty_path));
    if (!link.inode()->is_symlink()) return error(argument.text().empty() ? Errno::ENOENT : Errno::EINVAL);
    vfs::LinkTarget target = TRY(link.inode()->read_link());
    vfs::note_access(link);
    usize length = std::min<usize>(target.text.size(), static_cast<usize>(size));
    TRY(mm::copy_to_user(buffer, target.text.data(), length));
    return static_cast<long>(length);
}
Result<long> sys_readlink(Thread& thread, UserString path, VirtAddr buffer, i32 size) {
    return sys_readlinkat(thread, abi::AT_FDCWD, path, buffer, size);
}

namespace {

Result<void> enter_directory(Thread& thread, vfs::Path path) {
    TRY(vfs::check_access(path, vfs::may_execute, vfs::current_credentials()));
    thread.own_fs().set_working_directory(std::move(path));
    return {};
}

} // namespace

Result<long> sys_chdir(Thread& thread, UserString path) {
    PathArgument argument;
    TRY(argument.get(thread, abi::AT_FDCWD, path));
    TRY(enter_directory(thread, TRY(argument.lookup(vfs::lookup_directory))));
    return 0;
}

Result<long> sys_fchdir(Thread& thread, int fd) {
    auto file = TRY(thread.own_files().use_any(fd));
    if (file->path().is_empty() || !file->inode().is_directory()) return error(Errno::ENOTDIR);
    TRY(enter_directory(thread, file->path()));
    return 0;
}

Result<long> sys_chroot(Thread& thread, UserString path) {
    PathArgument argument;
    TRY(argument.get(thread, abi::AT_FDCWD, path));
    vfs::Path root = TRY(argument.lookup(vfs::lookup_directory));
    TRY(vfs::check_access(root, vfs::may_execute, vfs::current_credentials()));
    if (!vfs::current_credentials().has(vfs::Capability::SysChroot)) return error(Errno::EPERM);
    thread.own_fs().set_root(std::move(root));
    return 0;
}

Result<long> sys_getcwd(Thread& thread, VirtAddr buffer, u64 size) {
    constexpr std::string_view unreachable = "(unreachable)";
    vfs::Path directory = thread.own_fs().working_directory();
    auto path = TRY(vfs::PathText::of(directory, thread.own_fs().root()));
    if (path.is_deleted()) return error(Errno::ENOENT);
    usize prefix = path.is_reachable() ? 0 : unreachable.size();
    usize length = prefix + path.text().size() + 1;
    if (length > size) return error(Errno::ERANGE);
    TRY(mm::copy_to_user(buffer, unreachable.data(), prefix));
    TRY(mm::copy_to_user(buffer + prefix, path.text().data(), path.text().size()));
    TRY(mm::copy_to_user(buffer + (length - 1), "", 1));
    return static_cast<long>(length);
}

Result<long> sys_umask(Thread& thread, u32 mask) { return thread.own_fs().set_umask(mask); }

} // namespace linnet::syscalls
