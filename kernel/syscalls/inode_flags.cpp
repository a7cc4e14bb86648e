// The two forms in which programs see inodes' flags: FS_*_FL, and FS_XFLAG_* among other fields.
#include "inode_flags.hpp"

#include "growing_structure.hpp"
#include "path_argument.hpp"

#include <abi/linux/fcntl.hpp>
#include <abi/linux/fs.hpp>
#include <syscalls/path.hpp>
#include <vfs/operations.hpp>

namespace linnet::syscalls {

using abi::file_attr;
using abi::fsxattr;
using mm::UserString;
using process::Thread;

namespace {

struct FlagPair {
    u32 flag, extended;
};
constexpr FlagPair pairs[] = {
    {abi::FS_SYNC_FL, abi::FS_XFLAG_SYNC},       {abi::FS_IMMUTABLE_FL, abi::FS_XFLAG_IMMUTABLE},
    {abi::FS_APPEND_FL, abi::FS_XFLAG_APPEND},   {abi::FS_NODUMP_FL, abi::FS_XFLAG_NODUMP},
    {abi::FS_NOATIME_FL, abi::FS_XFLAG_NOATIME},
};

/// Both structures in which programs see the extended flags.
struct Extended {
    u64 flags;
    u32 project, extent_size, copied_extent_size;
};

/// An inode's flags as a program that knows only the extended ones wants them: the others stay.
Result<u32> with_extended(u32 old, const Extended& wanted, const vfs::Inode& inode) {
    u64 rest = wanted.flags;
    for (const FlagPair& pair : pairs) {
        old = rest & pair.extended ? old | pair.flag : old & ~pair.flag;
        rest &= ~u64{pair.extended};
    }
    if ((rest & abi::FS_XFLAG_EXTSIZE) && !inode.is_regular()) return error(Errno::EINVAL);
    if ((rest & abi::FS_XFLAG_EXTSZINHERIT) && !inode.is_directory()) return error(Errno::EINVAL);
    // Hints without a size are none, and two are only said.
    constexpr u32 ignored =
        abi::FS_XFLAG_EXTSIZE | abi::FS_XFLAG_COWEXTSIZE | abi::FS_XFLAG_PREALLOC | abi::FS_XFLAG_HASATTR;
    // The others are XFS's, or are about projects, which are for quotas.
    if ((rest & ~u64{ignored}) || wanted.project || wanted.extent_size || wanted.copied_extent_size)
        return error(Errno::EOPNOTSUPP);
    return old;
}

u32 extended_of(u32 flags) {
    u32 result = 0;
    for (const FlagPair& pair : pairs)
        if (flags & pair.flag) result |= pair.extended;
    return result;
}

Result<void> set_extended(const vfs::Path& path, const Extended& wanted) {
    return vfs::change_flags(path, [&](u32 old) { return with_extended(old, wanted, *path.inode()); });
}

Result<long> get_extended(vfs::File& file, VirtAddr to) {
    fsxattr result{};
    result.fsx_xflags = extended_of(TRY(file.inode().kept_flags()));
    TRY((mm::UserPtr<mm::Out, fsxattr>(to).copy_out(result)));
    return 0;
}

Result<long> set_extended(vfs::File& file, VirtAddr from) {
    const fsxattr wanted = TRY((mm::UserPtr<mm::In, fsxattr>(from).copy_in()));
    TRY(set_extended(file.path(), {wanted.fsx_xflags, wanted.fsx_projid, wanted.fsx_extsize, wanted.fsx_cowextsize}));
    return 0;
}

/// What is opened of a device or a FIFO is not the file, and has no flags; symlinks neither.
bool may_have_flags(const vfs::Path& path) {
    return !path.is_empty() && (path.inode()->is_regular() || path.inode()->is_directory());
}

/// What ioctl(2) calls ENOTTY.
template <typename T>
Result<T> as_unsupported(Result<T> result) {
    if (!result && result.error() == Errno::ENOTTY) return error(Errno::EOPNOTSUPP);
    return result;
}

Result<long> get(vfs::File& file, VirtAddr to) {
    const u32 flags = TRY(file.inode().kept_flags());
    TRY((mm::UserPtr<mm::Out, u32>(to).copy_out(flags)));
    return 0;
}

Result<long> set(vfs::File& file, VirtAddr from) {
    const u32 wanted = TRY((mm::UserPtr<mm::In, u32>(from).copy_in()));
    TRY(vfs::change_flags(file.path(), [&](u32) -> Result<u32> { return wanted; }));
    return 0;
}

Result<long> get_generation(vfs::File& file, VirtAddr to) {
    const auto generation = file.inode().generation();
    if (!generation) return error(Errno::ENOTTY);
    TRY((mm::UserPtr<mm::Out, u32>(to).copy_out(*generation)));
    return 0;
}

} // namespace

std::optional<Result<long>> inode_flags_ioctl(vfs::File& file, u32 command, VirtAddr argument) {
    const auto answer = [&](Result<long> (*act)(vfs::File&, VirtAddr)) -> Result<long> {
        if (!may_have_flags(file.path())) return error(Errno::ENOTTY);
        return act(file, argument);
    };
    switch (command) {
    case abi::FS_IOC_GETFLAGS:
        return answer(get);
    case abi::FS_IOC_SETFLAGS:
        return answer(set);
    case abi::FS_IOC_FSGETXATTR:
        return answer(get_extended);
    case abi::FS_IOC_FSSETXATTR:
        return answer(set_extended);
    case abi::FS_IOC_GETVERSION:
        return answer(get_generation);
    default:
        return std::nullopt;
    }
}

Result<long> sys_file_getattr(Thread& thread, int directory, UserString path, VirtAddr to, u64 size, u32 at_flags) {
    if (at_flags & ~(abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH)) return error(Errno::EINVAL);
    TRY(check_growing_size(size, sizeof(file_attr)));
    const vfs::Path named = TRY(named_object(thread, directory, path, at_flags));
    if (!may_have_flags(named)) return error(Errno::EOPNOTSUPP);
    file_attr result{};
    result.fa_xflags = extended_of(TRY(as_unsupported(named.inode()->kept_flags())));
    TRY(copy_out_growing(to, size, result));
    return 0;
}

Result<long> sys_file_setattr(Thread& thread, int directory, UserString path, VirtAddr from, u64 size, u32 at_flags) {
    if (at_flags & ~(abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH)) return error(Errno::EINVAL);
    const auto wanted = TRY(copy_in_growing<file_attr>(from, size));
    if (wanted.fa_xflags & ~abi::FS_XFLAGS_KNOWN) return error(Errno::EINVAL);
    const vfs::Path named = TRY(named_object(thread, directory, path, at_flags));
    if (!may_have_flags(named)) return error(Errno::EOPNOTSUPP);
    TRY(as_unsupported(
        set_extended(named, {wanted.fa_xflags, wanted.fa_projid, wanted.fa_extsize, wanted.fa_cowextsize})));
    return 0;
}

} // namespace linnet::syscalls
