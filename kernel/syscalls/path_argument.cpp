// Copying in paths.
#include "path_argument.hpp"

#include <abi/linux/fcntl.hpp>
#include <abi/linux/fs.hpp>

namespace linnet::syscalls {

Result<void> UserPath::copy_in(mm::UserString from) {
    auto text = from.copy_in(std::span<char>(small_));
    if (!text && text.error() == Errno::ENAMETOOLONG) {
        large_.reset(new (std::nothrow) char[abi::PATH_MAX]);
        if (!large_) return error(Errno::ENOMEM);
        text = from.copy_in(std::span<char>(large_.get(), abi::PATH_MAX));
    }
    text_ = TRY(text);
    return {};
}

Result<void> PathArgument::get(process::Thread& thread, int directory_fd, mm::UserString path, Directory directory) {
    TRY(path_.copy_in(path));
    if (directory_fd == abi::AT_FDCWD) return {};
    if (text().starts_with('/') && directory == Directory::ForRelativePaths) return {};
    auto file = TRY(thread.own_files().use_any(directory_fd));
    if (file->path().is_empty()) return error(Errno::ENOTDIR);
    start_ = file->path();
    return {};
}

Result<u32> lookup_flags_of(u32 at_flags, u32 known) {
    if (at_flags & ~known) return error(Errno::EINVAL);
    u32 flags = vfs::lookup_default;
    if (at_flags & abi::AT_SYMLINK_NOFOLLOW) flags |= vfs::lookup_no_follow;
    if (at_flags & abi::AT_EMPTY_PATH) flags |= vfs::lookup_empty_path;
    return flags;
}

Result<bool> names_descriptor(int directory_fd, mm::UserString path, u32 at_flags) {
    if (!(at_flags & abi::AT_EMPTY_PATH) || directory_fd < 0) return false;
    if (path.is_null()) return true;
    char first;
    TRY(mm::copy_from_user(&first, path.address(), 1));
    return first == '\0';
}

Result<vfs::Path> named_object(process::Thread& thread, int directory_fd, mm::UserString path, u32 at_flags) {
    const u32 lookup_flags = TRY(lookup_flags_of(at_flags, abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH));
    if (TRY(names_descriptor(directory_fd, path, at_flags))) return TRY(thread.own_files().use(directory_fd))->path();
    PathArgument argument;
    TRY(argument.get(thread, directory_fd, path));
    return argument.lookup(lookup_flags);
}

} // namespace linnet::syscalls
