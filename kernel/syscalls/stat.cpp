// stat(2), statx(2), statfs(2).
#include "path_argument.hpp"

#include <abi/linux/fcntl.hpp>
#include <syscalls/stat.hpp>
#include <vfs/mount.hpp>

namespace linnet::syscalls {

using process::Thread;

namespace {

abi::stat to_stat(const vfs::Attributes& from) {
    abi::stat to{};
    to.st_dev = from.device;
    to.st_ino = from.inode;
    to.st_nlink = static_cast<decltype(to.st_nlink)>(from.link_count);
    to.st_mode = from.mode;
    to.st_uid = from.uid;
    to.st_gid = from.gid;
    to.st_rdev = from.special_device;
    to.st_size = static_cast<i64>(from.size);
    to.st_blksize = static_cast<decltype(to.st_blksize)>(from.block_size);
    to.st_blocks = static_cast<i64>(from.blocks);
    to.st_atime_sec = from.access_time.seconds;
    to.st_atime_nsec = from.access_time.nanoseconds;
    to.st_mtime_sec = from.modify_time.seconds;
    to.st_mtime_nsec = from.modify_time.nanoseconds;
    to.st_ctime_sec = from.change_time.seconds;
    to.st_ctime_nsec = from.change_time.nanoseconds;
    return to;
}

} // namespace

Result<long> sys_newfstatat(Thread& thread, int directory, mm::UserString path, StatOut out, u32 flags) {
    constexpr u32 known = abi::AT_SYMLINK_NOFOLLOW | abi::AT_NO_AUTOMOUNT | abi::AT_EMPTY_PATH;
    if (flags & abi::AT_EMPTY_PATH) {
        if (flags & ~known) return error(Errno::EINVAL);
        if (TRY(names_descriptor(directory, path, flags))) return sys_fstat(thread, directory, out);
    }
    u32 lookup_flags = TRY(lookup_flags_of(flags, known));
    PathArgument argument;
    TRY(argument.get(thread, directory, path));
    vfs::Path found = TRY(argument.lookup(lookup_flags));
    TRY(out.copy_out(to_stat(TRY(found.inode()->attributes()))));
    return 0;
}
Result<long> sys_stat(Thread& thread, mm::UserString path, StatOut out) {
    return sys_newfstatat(thread, abi::AT_FDCWD, path, out, 0);
}
Result<long> sys_lstat(Thread& thread, mm::UserString path, StatOut out) {
    return sys_newfstatat(thread, abi::AT_FDCWD, path, out, abi::AT_SYMLINK_NOFOLLOW);
}
Result<long> sys_fstat(Thread& thread, int fd, StatOut out) {
    auto file = TRY(thread.own_files().use_any(fd));
    TRY(out.copy_out(to_stat(TRY(file->attributes()))));
    return 0;
}

namespace {

abi::statx_timestamp to_statx(const vfs::Timestamp& time) { return {time.seconds, time.nanoseconds, 0}; }

/// Like Linux's file systems it answers when a file was made only if asked (`wanted`), and all the rest in any case.
abi::statx to_statx(const vfs::Attributes& from, const vfs::Path& path, u32 wanted) {
    abi::statx to{};
    to.stx_mask = abi::STATX_BASIC_STATS;
    to.stx_blksize = from.block_size;
    to.stx_attributes = from.attribute_flags;
    to.stx_attributes_mask = abi::STATX_ATTR_AUTOMOUNT | abi::STATX_ATTR_MOUNT_ROOT | from.known_attribute_flags;
    to.stx_nlink = static_cast<u32>(from.link_count);
    to.stx_uid = from.uid;
    to.stx_gid = from.gid;
    to.stx_mode = static_cast<u16>(from.mode);
    to.stx_ino = from.inode;
    to.stx_size = from.size;
    to.stx_blocks = from.blocks;
    to.stx_atime = to_statx(from.access_time);
    to.stx_ctime = to_statx(from.change_time);
    to.stx_mtime = to_statx(from.modify_time);
    to.stx_rdev_major = abi::device_major(from.special_device);
    to.stx_rdev_minor = abi::device_minor(from.special_device);
    to.stx_dev_major = abi::device_major(from.device);
    to.stx_dev_minor = abi::device_minor(from.device);
    if (wanted & abi::STATX_BTIME) {
        to.stx_mask |= abi::STATX_BTIME;
        to.stx_btime = to_statx(from.birth_time);
    }
    if (wanted & abi::STATX_DIOALIGN) {
        const auto direct = abi::S_ISBLK(from.mode)
                                ? vfs::direct_alignment_of_block_device(vfs::DeviceNumber::decode(from.special_device))
                                : from.direct;
        if (direct) {
            to.stx_mask |= abi::STATX_DIOALIGN;
            to.stx_dio_mem_align = direct->memory;
            to.stx_dio_offset_align = direct->offset;
        }
    }
    if (path.mount) {
        to.stx_mask |= abi::STATX_MNT_ID;
        to.stx_mnt_id = path.mount->id();
        if (path.dentry == &path.mount->root()) to.stx_attributes |= abi::STATX_ATTR_MOUNT_ROOT;
    }
    return to;
}

} // namespace

Result<long> sys_statx(Thread& thread, int directory, mm::UserString path, u32 flags, u32 mask,
                       mm::UserPtr<mm::Out, abi::statx> out) {
    if (mask & abi::STATX_RESERVED) return error(Errno::EINVAL);
    if ((flags & abi::AT_STATX_SYNC_TYPE) == abi::AT_STATX_SYNC_TYPE) return error(Errno::EINVAL);
    constexpr u32 known =
        abi::AT_SYMLINK_NOFOLLOW | abi::AT_NO_AUTOMOUNT | abi::AT_EMPTY_PATH | abi::AT_STATX_SYNC_TYPE;
    u32 lookup_flags = TRY(lookup_flags_of(flags, known));
    if (TRY(names_descriptor(directory, path, flags))) {
        auto file = TRY(thread.own_files().use_any(directory));
        TRY(out.copy_out(to_statx(TRY(file->attributes()), file->path(), mask)));
        return 0;
    }
    PathArgument argument;
    TRY(argument.get(thread, directory, path));
    vfs::Path found = TRY(argument.lookup(lookup_flags));
    TRY(out.copy_out(to_statx(TRY(found.inode()->attributes()), found, mask)));
    return 0;
}

namespace {

u64 statfs_flags(const vfs::Mount& mount) {
    u64 from = mount.flags();
    u64 to = abi::ST_VALID;
    if (mount.is_read_only()) to |= abi::ST_RDONLY;
    if (from & abi::MS_NOSUID) to |= abi::ST_NOSUID;
    if (from & abi::MS_NODEV) to |= abi::ST_NODEV;
    if (from & abi::MS_NOEXEC) to |= abi::ST_NOEXEC;
    if (from & abi::MS_NOATIME) to |= abi::ST_NOATIME;
    if (from & abi::MS_NODIRATIME) to |= abi::ST_NODIRATIME;
    if (from & abi::MS_RELATIME) to |= abi::ST_RELATIME;
    return to;
}

Result<long> report(vfs::SuperBlock& superblock, const vfs::Mount* mount, StatfsOut out) {
    auto statistics = TRY(superblock.statistics());
    abi::statfs result{};
    result.f_type = statistics.magic;
    result.f_bsize = result.f_frsize = static_cast<i64>(statistics.block_size);
    result.f_blocks = statistics.blocks;
    result.f_bfree = statistics.blocks_free;
    result.f_bavail = statistics.blocks_available;
    result.f_files = statistics.files;
    result.f_ffree = statistics.files_free;
    const u64 id = statistics.id ? statistics.id : superblock.device().encoded();
    result.f_fsid = {{static_cast<i32>(id), static_cast<i32>(id >> 32)}};
    result.f_namelen = static_cast<i64>(superblock.max_name_length());
    result.f_flags = static_cast<i64>(mount ? statfs_flags(*mount) : abi::ST_VALID);
    TRY(out.copy_out(result));
    return 0;
}

} // namespace

Result<long> sys_statfs(Thread& thread, mm::UserString path, StatfsOut out) {
    PathArgument argument;
    TRY(argument.get(thread, abi::AT_FDCWD, path));
    vfs::Path found = TRY(argument.lookup());
    return report(found.mount->superblock(), found.mount.get(), out);
}
Result<long> sys_fstatfs(Thread& thread, int fd, StatfsOut out) {
    auto file = TRY(thread.own_files().use_any(fd));
    return report(file->inode().superblock(), file->path().mount.get(), out);
}

} // namespace linnet::syscalls
