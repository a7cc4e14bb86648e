// The two forms in which programs see inodes' flags: FS_*_FL, and FS_XFLAG_* among other fields.
#include "inode_flags.hpp"

#include <abi/linux/fs.hpp>
#include <mm/usercopy.hpp>
#include <vfs/operations.hpp>

namespace linnet::syscalls {

using abi::fsxattr;

namespace {

struct FlagPair {
    u32 flag, extended;
};
constexpr FlagPair pairs[] = {
    {abi::FS_SYNC_FL, abi::FS_XFLAG_SYNC},       {abi::FS_IMMUTABLE_FL, abi::FS_XFLAG_IMMUTABLE},
    {abi::FS_APPEND_FL, abi::FS_XFLAG_APPEND},   {abi::FS_NODUMP_FL, abi::FS_XFLAG_NODUMP},
    {abi::FS_NOATIME_FL, abi::FS_XFLAG_NOATIME},
};

/// An inode's flags as a program that knows only the extended ones wants them: the others stay.
Result<u32> with_extended(u32 old, const fsxattr& wanted, const vfs::Inode& inode) {
    u32 rest = wanted.fsx_xflags;
    for (const FlagPair& pair : pairs) {
        old = rest & pair.extended ? old | pair.flag : old & ~pair.flag;
        rest &= ~pair.extended;
    }
    if ((rest & abi::FS_XFLAG_EXTSIZE) && !inode.is_regular()) return error(Errno::EINVAL);
    if ((rest & abi::FS_XFLAG_EXTSZINHERIT) && !inode.is_directory()) return error(Errno::EINVAL);
    // Hints of XFS, and projects, which are for quotas.
    if (rest || wanted.fsx_projid || wanted.fsx_extsize || wanted.fsx_cowextsize) return error(Errno::EOPNOTSUPP);
    return old;
}

Result<long> get_extended(vfs::File& file, VirtAddr to) {
    const u32 flags = TRY(file.inode().kept_flags());
    fsxattr result{};
    for (const FlagPair& pair : pairs)
        if (flags & pair.flag) result.fsx_xflags |= pair.extended;
    TRY((mm::UserPtr<mm::Out, fsxattr>(to).copy_out(result)));
    return 0;
}

Result<long> set_extended(vfs::File& file, VirtAddr from) {
    const fsxattr wanted = TRY((mm::UserPtr<mm::In, fsxattr>(from).copy_in()));
    TRY(vfs::change_flags(file.path(), [&](u32 old) { return with_extended(old, wanted, file.inode()); }));
    return 0;
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
    // What is opened of a device or a FIFO is not the file.
    const bool is_own_file = file.inode().is_regular() || file.inode().is_directory();
    const auto answer = [&](Result<long> (*act)(vfs::File&, VirtAddr)) -> Result<long> {
        if (!is_own_file || file.path().is_empty()) return error(Errno::ENOTTY);
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

} // namespace linnet::syscalls
