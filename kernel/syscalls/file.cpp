// Opening, closing, duplicating; reading and writing.
#include "growing_structure.hpp"
#include "inode_flags.hpp"
#include "io_vectors.hpp"
#include "path_argument.hpp"

#include <abi/linux/fs.hpp>
#include <abi/linux/mman.hpp>
#include <algorithm>
#include <fs/hugetlbfs.hpp>
#include <fs/tmpfs.hpp>
#include <syscalls/file.hpp>
#include <vfs/file_owner.hpp>
#include <vfs/operations.hpp>

namespace linnet::syscalls {

using process::Thread;

namespace {

Result<long> open_at(Thread& thread, int directory, UserString path, u32 flags, u32 mode, u32 lookup_flags) {
    PathArgument argument;
    TRY(argument.get(thread, directory, path,
                     lookup_flags & vfs::lookup_in_root ? PathArgument::Directory::Always
                                                        : PathArgument::Directory::ForRelativePaths));
    vfs::FdTable& files = thread.own_files();
    auto reservation = TRY(vfs::FdReservation::create(files));
    if (!(flags & abi::O_PATH)) flags |= abi::O_LARGEFILE;
    auto file = TRY(vfs::open({argument.start(), argument.text(), flags, mode, lookup_flags}));
    return reservation.install(std::move(file), vfs::close_on_exec(flags));
}

} // namespace

Result<long> sys_openat(Thread& thread, int directory, UserString path, u32 flags, u32 mode) {
    // openat ignores what it doesn't know, and modes where nothing is created (open(2)).
    return open_at(thread, directory, path, flags & abi::O_VALID, mode & abi::S_IALLUGO, vfs::lookup_default);
}
Result<long> sys_open(Thread& thread, UserString path, u32 flags, u32 mode) {
    return sys_openat(thread, abi::AT_FDCWD, path, flags, mode);
}
Result<long> sys_creat(Thread& thread, UserString path, u32 mode) {
    return sys_openat(thread, abi::AT_FDCWD, path, abi::O_CREAT | abi::O_WRONLY | abi::O_TRUNC, mode);
}

namespace {

Result<u32> lookup_flags_of_resolve(u64 resolve) {
    constexpr u64 known = abi::RESOLVE_NO_XDEV | abi::RESOLVE_NO_MAGICLINKS | abi::RESOLVE_NO_SYMLINKS |
                          abi::RESOLVE_BENEATH | abi::RESOLVE_IN_ROOT | abi::RESOLVE_CACHED;
    if (resolve & ~known) return error(Errno::EINVAL);
    if ((resolve & abi::RESOLVE_BENEATH) && (resolve & abi::RESOLVE_IN_ROOT)) return error(Errno::EINVAL);
    u32 flags = vfs::lookup_default;
    if (resolve & abi::RESOLVE_NO_XDEV) flags |= vfs::lookup_no_cross_mount;
    if (resolve & abi::RESOLVE_NO_MAGICLINKS) flags |= vfs::lookup_no_magic_links;
    if (resolve & abi::RESOLVE_NO_SYMLINKS) flags |= vfs::lookup_no_symlinks;
    if (resolve & abi::RESOLVE_BENEATH) flags |= vfs::lookup_beneath;
    if (resolve & abi::RESOLVE_IN_ROOT) flags |= vfs::lookup_in_root;
    if (resolve & abi::RESOLVE_CACHED) flags |= vfs::lookup_cached;
    return flags;
}

} // namespace

Result<long> sys_openat2(Thread& thread, int directory, UserString path, VirtAddr how_address, u64 size) {
    const auto how = TRY(copy_in_growing<abi::open_how>(how_address, size));
    if (how.flags & ~u64{abi::O_VALID}) return error(Errno::EINVAL);
    auto flags = static_cast<u32>(how.flags);
    bool creates = (flags & (abi::O_CREAT | abi::O_TMPFILE_BIT)) != 0;
    if (how.mode & ~u64{abi::S_IALLUGO} || (how.mode && !creates)) return error(Errno::EINVAL);
    constexpr u32 with_path = abi::O_PATH | abi::O_DIRECTORY | abi::O_NOFOLLOW | abi::O_CLOEXEC;
    if ((flags & abi::O_PATH) && (flags & ~with_path)) return error(Errno::EINVAL);
    u32 lookup_flags = TRY(lookup_flags_of_resolve(how.resolve));
    if ((lookup_flags & vfs::lookup_cached) && (flags & (abi::O_TRUNC | abi::O_CREAT | abi::O_TMPFILE_BIT)))
        return error(Errno::EAGAIN);
    return open_at(thread, directory, path, flags, static_cast<u32>(how.mode), lookup_flags);
}

Result<long> sys_memfd_create(Thread& thread, UserString name, u32 flags) {
    constexpr u32 MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_HUGETLB = 4, MFD_NOEXEC_SEAL = 8, MFD_EXEC = 16;
    constexpr u32 huge_size = 0x3fu << 26;
    u32 known = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_NOEXEC_SEAL | MFD_EXEC;
    if (flags & MFD_HUGETLB) known |= huge_size;
    if (flags & ~known) return error(Errno::EINVAL);
    if ((flags & MFD_EXEC) && (flags & MFD_NOEXEC_SEAL)) return error(Errno::EINVAL);
    char buffer[250];
    auto text = name.copy_in(std::span<char>(buffer));
    if (!text) return error(text.error() == Errno::ENAMETOOLONG ? Errno::EINVAL : text.error());
    const u32 named_shift = (flags & huge_size) >> abi::MAP_HUGE_SHIFT;
    if (named_shift != 0 && named_shift != arch::huge_page_shift) return error(Errno::ENODEV);
    constexpr u32 open_flags = abi::O_RDWR | abi::O_LARGEFILE;
    auto file = TRY(flags & MFD_HUGETLB ? fs::create_huge_memory_file(*text, open_flags)
                                        : fs::create_memory_file(*text, open_flags));
    vfs::Inode& inode = file->inode();
    if (flags & MFD_NOEXEC_SEAL) {
        core::WriteGuard guard(inode.lock);
        vfs::AttributeChange change;
        change.mode = 0666;
        TRY(inode.set_attributes(change));
        inode.seals.store(abi::F_SEAL_EXEC);
    } else if (flags & MFD_ALLOW_SEALING) {
        inode.seals.store(0);
    }
    return TRY(
        thread.own_files().add(std::move(file), flags & MFD_CLOEXEC ? vfs::CloseOnExec::Yes : vfs::CloseOnExec::No));
}

Result<long> sys_close(Thread& thread, int fd) {
    TRY(thread.own_files().close(fd));
    return 0;
}

Result<long> sys_close_range(Thread& thread, u32 first, u32 last, u32 flags) {
    if (flags & ~(abi::CLOSE_RANGE_UNSHARE | abi::CLOSE_RANGE_CLOEXEC)) return error(Errno::EINVAL);
    if (first > last) return error(Errno::EINVAL);
    if ((flags & abi::CLOSE_RANGE_UNSHARE) && thread.own_files().ref_count() > 1) {
        NullableRefPtr<vfs::FdTable> mine = TRY(thread.own_files().clone());
        thread.exchange_files(std::move(mine));
    }
    if (flags & abi::CLOSE_RANGE_CLOEXEC)
        thread.own_files().set_close_on_exec_range(first, last);
    else
        thread.own_files().close_range(first, last);
    return 0;
}

Result<long> sys_dup(Thread& thread, int fd) {
    auto file = TRY(thread.own_files().get(fd));
    return TRY(thread.own_files().add(std::move(file), vfs::CloseOnExec::No));
}

Result<long> sys_dup3(Thread& thread, int from, int to, u32 flags) {
    if (flags & ~abi::O_CLOEXEC || from == to) return error(Errno::EINVAL);
    auto file = TRY(thread.own_files().get(from));
    TRY(thread.own_files().replace(to, std::move(file), vfs::close_on_exec(flags)));
    return to;
}

Result<long> sys_dup2(Thread& thread, int from, int to) {
    if (from != to) return sys_dup3(thread, from, to, 0);
    TRY(thread.own_files().use_any(from));
    return to;
}

namespace {

Result<long> finish_read(Thread& thread, vfs::File& file, vfs::IoBuffer& buffer, std::optional<u64> offset = {}) {
    usize count = TRY(vfs::read(file, buffer, offset));
    thread.read_bytes.store(thread.read_bytes.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
    return static_cast<long>(count);
}
Result<long> finish_write(Thread& thread, vfs::File& file, vfs::IoBuffer& buffer, std::optional<u64> offset = {}) {
    usize count = TRY(vfs::write(file, buffer, offset));
    thread.written_bytes.store(thread.written_bytes.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
    return static_cast<long>(count);
}

} // namespace

Result<long> sys_read(Thread& thread, int fd, VirtAddr address, u64 count) {
    auto file = TRY(thread.own_files().use(fd));
    if (!file->is_readable()) return error(Errno::EBADF);
    auto buffer = TRY(import_range(address, count));
    return finish_read(thread, *file, buffer);
}
Result<long> sys_write(Thread& thread, int fd, VirtAddr address, u64 count) {
    auto file = TRY(thread.own_files().use(fd));
    if (!file->is_writable()) return error(Errno::EBADF);
    auto buffer = TRY(import_range(address, count));
    return finish_write(thread, *file, buffer);
}

Result<long> sys_pread64(Thread& thread, int fd, VirtAddr address, u64 count, i64 offset) {
    if (offset < 0) return error(Errno::EINVAL);
    auto file = TRY(thread.own_files().use(fd));
    auto buffer = TRY(import_range(address, count));
    return finish_read(thread, *file, buffer, static_cast<u64>(offset));
}
Result<long> sys_pwrite64(Thread& thread, int fd, VirtAddr address, u64 count, i64 offset) {
    if (offset < 0) return error(Errno::EINVAL);
    auto file = TRY(thread.own_files().use(fd));
    auto buffer = TRY(import_range(address, count));
    return finish_write(thread, *file, buffer, static_cast<u64>(offset));
}

Result<long> sys_readv(Thread& thread, int fd, IovecArgument vectors, u64 count) {
    auto file = TRY(thread.own_files().use(fd));
    IoVectors copy;
    auto buffer = TRY(copy.import(vectors, count));
    return finish_read(thread, *file, buffer);
}
Result<long> sys_writev(Thread& thread, int fd, IovecArgument vectors, u64 count) {
    auto file = TRY(thread.own_files().use(fd));
    IoVectors copy;
    auto buffer = TRY(copy.import(vectors, count));
    return finish_write(thread, *file, buffer);
}

Result<long> sys_preadv(Thread& thread, int fd, IovecArgument vectors, u64 count, i64 offset) {
    if (offset < 0) return error(Errno::EINVAL);
    auto file = TRY(thread.own_files().use(fd));
    IoVectors copy;
    auto buffer = TRY(copy.import(vectors, count));
    return finish_read(thread, *file, buffer, static_cast<u64>(offset));
}
Result<long> sys_pwritev(Thread& thread, int fd, IovecArgument vectors, u64 count, i64 offset) {
    if (offset < 0) return error(Errno::EINVAL);
    auto file = TRY(thread.own_files().use(fd));
    IoVectors copy;
    auto buffer = TRY(copy.import(vectors, count));
    return finish_write(thread, *file, buffer, static_cast<u64>(offset));
}

Result<long> sys_preadv2(Thread& thread, int fd, IovecArgument vectors, u64 count, i64 offset, u64, u32 flags) {
    if (flags & ~abi::RWF_HIPRI) return error(Errno::EOPNOTSUPP);
    if (offset == -1) return sys_readv(thread, fd, vectors, count);
    return sys_preadv(thread, fd, vectors, count, offset);
}

Result<long> sys_pwritev2(Thread& thread, int fd, IovecArgument vectors, u64 count, i64 offset, u64, u32 flags) {
    if (flags & ~(abi::RWF_HIPRI | abi::RWF_DSYNC | abi::RWF_SYNC | abi::RWF_APPEND)) return error(Errno::EOPNOTSUPP);
    if (offset < -1) return error(Errno::EINVAL);
    auto file = TRY(thread.own_files().use(fd));
    if (!file->is_writable()) return error(Errno::EBADF);
    IoVectors copy;
    auto buffer = TRY(copy.import(vectors, count));
    long written;
    if ((flags & abi::RWF_APPEND) && file->is_seekable()) {
        u64 at = 0;
        written = static_cast<long>(TRY(file->append(buffer, at)));
        if (offset == -1) {
            core::MutexGuard guard(file->position_lock);
            file->position = at + static_cast<u64>(written);
        }
    } else {
        std::optional<u64> at;
        if (offset >= 0) at = static_cast<u64>(offset);
        written = TRY(finish_write(thread, *file, buffer, at));
    }
    if (written > 0 && (flags & (abi::RWF_DSYNC | abi::RWF_SYNC)))
        TRY(file->sync((flags & abi::RWF_SYNC) ? vfs::File::SyncKind::All : vfs::File::SyncKind::DataOnly));
    return written;
}

Result<long> sys_lseek(Thread& thread, int fd, i64 offset, u32 whence) {
    auto file = TRY(thread.own_files().use(fd));
    if (whence > abi::SEEK_HOLE) return error(Errno::EINVAL);
    core::MutexGuard guard(file->position_lock);
    u64 position = TRY(file->seek(file->position, offset, whence));
    file->position = position;
    return static_cast<long>(position);
}

Result<long> sys_ioctl(Thread& thread, int fd, u32 command, u64 argument) {
    constexpr u32 FIOCLEX = 0x5451, FIONCLEX = 0x5450, FIONBIO = 0x5421, FIONREAD = 0x541b, FIOASYNC = 0x5452;
    vfs::FdTable& files = thread.own_files();
    auto file = TRY(files.use(fd));
    switch (command) {
    case FIOCLEX:
        TRY(files.set_close_on_exec(fd, vfs::CloseOnExec::Yes));
        return 0;
    case FIONCLEX:
        TRY(files.set_close_on_exec(fd, vfs::CloseOnExec::No));
        return 0;
    case FIONBIO: {
        i32 on = TRY((mm::UserPtr<mm::In, i32>(VirtAddr{argument}).copy_in()));
        u32 flags = file->status_flags();
        file->set_status_flags(on ? flags | abi::O_NONBLOCK : flags & ~abi::O_NONBLOCK);
        return 0;
    }
    case FIOASYNC: {
        i32 on = TRY((mm::UserPtr<mm::In, i32>(VirtAddr{argument}).copy_in()));
        const u32 flags = file->status_flags();
        const u32 fresh = on ? flags | abi::O_ASYNC : flags & ~abi::O_ASYNC;
        if (fresh != flags) TRY(vfs::set_async(*file, on != 0, fd));
        file->set_status_flags(fresh);
        return 0;
    }
    case FIONREAD:
        if (!file->inode().is_regular()) break;
        {
            u64 left = file->inode().size() - std::min(file->position, file->inode().size());
            TRY((mm::UserPtr<mm::Out, i32>(VirtAddr{argument}).copy_out(static_cast<i32>(left))));
        }
        return 0;
    default:
        break;
    }
    if (auto answer = inode_flags_ioctl(*file, command, VirtAddr{argument})) return *answer;
    return file->ioctl(command, argument);
}

} // namespace linnet::syscalls
