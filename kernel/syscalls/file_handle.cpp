// File handles: name_to_handle_at(2), open_by_handle_at(2).
#include "path_argument.hpp"

#include <abi/linux/fs.hpp>
#include <algorithm>
#include <syscalls/path.hpp>
#include <vfs/file_handle.hpp>
#include <vfs/mount.hpp>
#include <vfs/operations.hpp>

namespace linnet::syscalls {

using process::Thread;

namespace {

constexpr u32 word_size = sizeof(u32);

/// What a handle is to be made for: the object, and the mount through which it was named, which a pipe has none of.
struct Named {
    RefPtr<vfs::Inode> inode;
    NullableRefPtr<vfs::Mount> mount;
};
Result<Named> find(Thread& thread, int directory, UserString path, u32 at_flags) {
    PathArgument argument;
    TRY(argument.get(thread, directory, path, PathArgument::Directory::ForRelativePaths));
    u32 lookup_flags = at_flags & abi::AT_SYMLINK_FOLLOW ? vfs::lookup_default : vfs::lookup_no_follow;
    if (at_flags & abi::AT_EMPTY_PATH) lookup_flags |= vfs::lookup_empty_path;
    const vfs::Path place = TRY(argument.lookup(lookup_flags));
    return Named{RefPtr<vfs::Inode>(*place.inode()), place.mount};
}

/// Of a file without a place, too.
Result<Named> find_open(Thread& thread, int fd) {
    const auto file = TRY(thread.own_files().use_any(fd));
    return Named{RefPtr<vfs::Inode>(file->inode()), file->path().mount};
}

} // namespace

Result<long> sys_name_to_handle_at(Thread& thread, int directory, UserString path, VirtAddr handle,
                                   mm::UserPtr<mm::Out, i32> mount_id, u32 at_flags) {
    if (at_flags & ~(abi::AT_SYMLINK_FOLLOW | abi::AT_EMPTY_PATH | abi::AT_HANDLE_FID)) return error(Errno::EINVAL);
    const bool is_open = !path.is_null() && TRY(names_descriptor(directory, path, at_flags));
    const Named named = is_open ? TRY(find_open(thread, directory)) : TRY(find(thread, directory, path, at_flags));
    auto made = named.inode->superblock().handle_of(*named.inode);
    if (!made && made.error() == Errno::EOPNOTSUPP && (at_flags & abi::AT_HANDLE_FID))
        made = vfs::identity_of(*named.inode);
    const vfs::FileHandle found = TRY(std::move(made));

    abi::file_handle header;
    TRY(mm::copy_from_user(&header, handle, sizeof header));
    if (header.handle_bytes > abi::MAX_HANDLE_SZ) return error(Errno::EINVAL);
    const u32 needed = static_cast<u32>(found.word_count) * word_size;
    const bool fits = header.handle_bytes / word_size >= found.word_count;
    header = {needed, fits ? found.type : abi::FILEID_INVALID};
    TRY(mount_id.copy_out(named.mount ? static_cast<i32>(named.mount->id()) : 0));
    TRY(mm::copy_to_user(handle, &header, sizeof header));
    if (!fits) return error(Errno::EOVERFLOW);
    TRY(mm::copy_to_user(handle + sizeof header, found.words, needed));
    return 0;
}

namespace {

Result<vfs::FileHandle> copy_in_handle(VirtAddr from) {
    abi::file_handle header;
    TRY(mm::copy_from_user(&header, from, sizeof header));
    if (header.handle_bytes == 0 || header.handle_bytes > abi::MAX_HANDLE_SZ) return error(Errno::EINVAL);
    if (header.handle_type < 0) return error(Errno::EINVAL);
    u32 words[abi::MAX_HANDLE_SZ / word_size] = {};
    TRY(mm::copy_from_user(words, from + sizeof header, header.handle_bytes));
    vfs::FileHandle handle{header.handle_type, header.handle_bytes / word_size, {}};
    std::copy_n(words, vfs::FileHandle::most_words, handle.words);
    return handle;
}

/// The mount that a descriptor stands for. Null: one of which no handle is known.
Result<NullableRefPtr<vfs::Mount>> mount_of(Thread& thread, int fd) {
    if (fd == abi::AT_FDCWD) return thread.own_fs().working_directory().mount;
    return TRY(thread.own_files().use(fd))->path().mount;
}

} // namespace

Result<long> sys_open_by_handle_at(Thread& thread, int mount_fd, VirtAddr from, u32 flags) {
    const vfs::FileHandle handle = TRY(copy_in_handle(from));
    const auto mount = TRY(mount_of(thread, mount_fd));
    if (!vfs::current_credentials().has(vfs::Capability::DacReadSearch)) return error(Errno::EPERM);
    if (!mount) return error(Errno::ESTALE);
    const vfs::Path found = TRY(vfs::find_by_handle(*mount, handle));
    flags &= abi::O_VALID;
    if (!(flags & abi::O_PATH)) flags |= abi::O_LARGEFILE;
    auto reservation = TRY(vfs::FdReservation::create(thread.own_files()));
    if ((flags & abi::O_CREAT) && !(flags & abi::O_PATH)) {
        if (flags & abi::O_DIRECTORY) return error(Errno::EINVAL);
        if (flags & abi::O_EXCL) return error(Errno::EEXIST);
        if (found.inode()->is_directory()) return error(Errno::EISDIR);
        flags &= ~abi::O_CREAT;
    }
    auto file = TRY(vfs::open({&found, "", flags, 0, vfs::lookup_empty_path}));
    return reservation.install(std::move(file), vfs::close_on_exec(flags));
}

} // namespace linnet::syscalls
