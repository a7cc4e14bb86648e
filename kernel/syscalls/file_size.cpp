// Sizes, space, synchronisation, and copying between files.
#include "path_argument.hpp"

#include <abi/linux/fs.hpp>
#include <algorithm>
#include <block/disk.hpp>
#include <mm/vm_object.hpp>
#include <syscalls/file.hpp>
#include <vfs/mount.hpp>
#include <vfs/operations.hpp>
#include <vfs/splice.hpp>
#include <vfs/watches.hpp>

namespace linnet::syscalls {

using process::Thread;

Result<long> sys_truncate(Thread& thread, UserString path, i64 size) {
    if (size < 0) return error(Errno::EINVAL);
    PathArgument argument;
    TRY(argument.get(thread, abi::AT_FDCWD, path));
    TRY(vfs::truncate(TRY(argument.lookup()), static_cast<u64>(size)));
    return 0;
}

Result<long> sys_ftruncate(Thread& thread, int fd, i64 size) {
    if (size < 0) return error(Errno::EINVAL);
    auto file = TRY(thread.own_files().use(fd));
    if (!file->is_writable() || file->inode().is_directory()) return error(Errno::EINVAL);
    if (file->inode().is_append_only()) return error(Errno::EPERM);
    TRY(file->truncate(static_cast<u64>(size)));
    return 0;
}

Result<long> sys_fallocate(Thread& thread, int fd, u32 mode, i64 offset, i64 length) {
    constexpr u32 known = abi::FALLOC_FL_KEEP_SIZE | abi::FALLOC_FL_PUNCH_HOLE | abi::FALLOC_FL_COLLAPSE_RANGE |
                          abi::FALLOC_FL_ZERO_RANGE | abi::FALLOC_FL_INSERT_RANGE | abi::FALLOC_FL_UNSHARE_RANGE;
    auto file = TRY(thread.own_files().use(fd));
    if (offset < 0 || length <= 0) return error(Errno::EINVAL);
    if (mode & ~known) return error(Errno::EOPNOTSUPP);
    constexpr u32 punch = abi::FALLOC_FL_PUNCH_HOLE, zero = abi::FALLOC_FL_ZERO_RANGE;
    if ((mode & punch) && (mode & zero)) return error(Errno::EOPNOTSUPP);
    if ((mode & punch) && !(mode & abi::FALLOC_FL_KEEP_SIZE)) return error(Errno::EOPNOTSUPP);
    for (u32 alone : {abi::FALLOC_FL_COLLAPSE_RANGE, abi::FALLOC_FL_INSERT_RANGE})
        if ((mode & alone) && mode != alone) return error(Errno::EINVAL);
    if (!file->is_writable()) return error(Errno::EBADF);
    if (file->inode().is_append_only() && (mode & ~abi::FALLOC_FL_KEEP_SIZE)) return error(Errno::EPERM);
    if (file->inode().is_immutable()) return error(Errno::EPERM);
    i64 end;
    if (__builtin_add_overflow(offset, length, &end)) return error(Errno::EFBIG);
    TRY(file->allocate_range(mode, static_cast<u64>(offset), static_cast<u64>(length)));
    vfs::tell_watches(*file, abi::IN_MODIFY);
    return 0;
}

Result<long> sys_fsync(Thread& thread, int fd) {
    auto file = TRY(thread.own_files().use(fd));
    TRY(file->sync(vfs::File::SyncKind::All));
    return 0;
}

Result<long> sys_fdatasync(Thread& thread, int fd) {
    auto file = TRY(thread.own_files().use(fd));
    TRY(file->sync(vfs::File::SyncKind::DataOnly));
    return 0;
}

Result<long> sys_sync(Thread&) {
    // Collected first: sync() may sleep long, and the tree of mounts stays usable meanwhile.
    ArrayList<RefPtr<vfs::SuperBlock>> all;
    vfs::MountTable::for_each([&](const vfs::MountTable::Entry& entry) {
        (void)all.try_push(RefPtr<vfs::SuperBlock>(entry.mount.superblock())); // short of memory: those it could list
    });
    for (RefPtr<vfs::SuperBlock>& superblock : all) (void)superblock->sync(); // sync(2) reports nothing
    block::sync_devices();
    return 0;
}

Result<long> sys_syncfs(Thread& thread, int fd) {
    auto file = TRY(thread.own_files().use(fd));
    TRY(file->inode().superblock().sync());
    return 0;
}

Result<long> sys_sync_file_range(Thread& thread, int fd, i64 offset, i64 length, u32 flags) {
    constexpr u32 known = 7;
    auto file = TRY(thread.own_files().use(fd));
    i64 end;
    if (flags & ~known || offset < 0 || length < 0 || __builtin_add_overflow(offset, length, &end))
        return error(Errno::EINVAL);
    u32 type = file->inode().type();
    if (type != abi::S_IFREG && type != abi::S_IFDIR && type != abi::S_IFBLK && type != abi::S_IFLNK)
        return error(Errno::ESPIPE);
    if (flags) TRY(file->sync(vfs::File::SyncKind::DataOnly));
    return 0;
}

namespace {

constexpr usize bounce_size = 64 * 1024;

/// One side of a copy: at an offset of the caller's, or at the file's position.
struct CopyEnd {
    vfs::File& file;
    std::optional<u64> offset;
    void advance(usize count) {
        if (offset) *offset += count;
    }
};

/// Copies through a buffer. Stops at the end of the input, at what the output doesn't take, or at an error
/// once something was copied. What was read but not taken is put back by moving the position.
Result<usize> copy_between(CopyEnd from, CopyEnd to, u64 count) {
    count = std::min<u64>(count, abi::MAX_RW_COUNT);
    usize size = std::min<u64>(count, bounce_size);
    OwnPtr<u8[]> bounce(new (std::nothrow) u8[size ? size : 1]);
    if (!bounce) return error(Errno::ENOMEM);
    usize done = 0;
    while (done < count) {
        if (core::current_thread().has_fatal_signal()) {
            if (done == 0) return error(Errno::EINTR);
            break;
        }
        std::span<u8> piece(bounce.get(), std::min<u64>(size, count - done));
        vfs::IoBuffer in = vfs::IoBuffer::kernel(piece);
        auto got = vfs::read(from.file, in, from.offset);
        if (!got && done == 0) return error(got.error());
        if (!got || *got == 0) break;
        vfs::IoBuffer out = vfs::IoBuffer::kernel(std::span<const u8>(piece.first(*got)));
        auto put = vfs::write(to.file, out, to.offset);
        usize taken = put.value_or(0);
        if (!from.offset && taken < *got) from.file.position -= *got - taken;
        from.advance(taken);
        to.advance(taken);
        done += taken;
        if (!put && done == 0) return error(put.error());
        if (taken < *got) break;
    }
    return done;
}

using OffsetPtr = mm::UserPtr<mm::InOut, i64>;

Result<std::optional<u64>> copy_in_offset(OffsetPtr pointer) {
    if (pointer.is_null()) return std::optional<u64>{};
    i64 offset = TRY(pointer.copy_in());
    if (offset < 0) return error(Errno::EINVAL);
    return std::optional<u64>{static_cast<u64>(offset)};
}
Result<void> copy_out_offset(OffsetPtr pointer, std::optional<u64> offset, usize count) {
    if (!offset) return {};
    return pointer.copy_out(static_cast<i64>(*offset + count));
}

} // namespace

Result<long> sys_sendfile(Thread& thread, int out, int in, OffsetPtr offset_pointer, u64 count) {
    auto offset = TRY(copy_in_offset(offset_pointer));
    auto from = TRY(thread.own_files().use(in));
    auto to = TRY(thread.own_files().use(out));
    if (!from->is_readable() || !to->is_writable()) return error(Errno::EBADF);
    if (offset && !from->is_seekable()) return error(Errno::ESPIPE);
    if (vfs::Pipe* pipe = to->as_pipe(); pipe && !from->as_pipe()) {
        const auto blocking = to->is_nonblocking() ? vfs::Blocking::Refuse : vfs::Blocking::Wait;
        const usize most = std::min<u64>(count, abi::MAX_RW_COUNT);
        const usize moved = most ? TRY(vfs::splice_from_file(*from, offset, *pipe, most, blocking)) : 0;
        TRY(copy_out_offset(offset_pointer, offset, moved));
        return static_cast<long>(moved);
    }
    if (!from->is_seekable()) return error(Errno::EINVAL);
    if (from->inode().is_directory() || to->is_append()) return error(Errno::EINVAL);
    usize done = TRY(copy_between({*from, offset}, {*to, {}}, count));
    TRY(copy_out_offset(offset_pointer, offset, done));
    return static_cast<long>(done);
}

Result<long> sys_copy_file_range(Thread& thread, int in, OffsetPtr in_pointer, int out, OffsetPtr out_pointer,
                                 u64 count, u32 flags) {
    auto from = TRY(thread.own_files().use(in));
    auto to = TRY(thread.own_files().use(out));
    auto in_offset = TRY(copy_in_offset(in_pointer));
    auto out_offset = TRY(copy_in_offset(out_pointer));
    if (flags) return error(Errno::EINVAL);
    vfs::Inode& source = from->inode();
    vfs::Inode& target = to->inode();
    if (source.is_directory() || target.is_directory()) return error(Errno::EISDIR);
    if (!source.is_regular() || !target.is_regular()) return error(Errno::EINVAL);
    if (!from->is_readable() || !to->is_writable() || to->is_append()) return error(Errno::EBADF);
    if (&source.superblock().type() != &target.superblock().type()) return error(Errno::EXDEV);
    u64 begin = in_offset.value_or(from->position);
    u64 target_begin = out_offset.value_or(to->position);
    count = std::min<u64>(count, abi::MAX_RW_COUNT);
    if (begin + count < begin || target_begin + count < target_begin) return error(Errno::EOVERFLOW);
    if (&source == &target && begin < target_begin + count && target_begin < begin + count) return error(Errno::EINVAL);
    usize done = TRY(copy_between({*from, in_offset}, {*to, out_offset}, count));
    TRY(copy_out_offset(in_pointer, in_offset, done));
    TRY(copy_out_offset(out_pointer, out_offset, done));
    return static_cast<long>(done);
}

} // namespace linnet::syscalls
