// File: defaults, and the generic part of read(2) and write(2).
#include "attribute_rules.hpp"
#include "file_position.hpp"
#include "write_access.hpp"
#include <vfs/file_locks.hpp>
#include <vfs/watches.hpp>

#include <abi/linux/fs.hpp>
#include <abi/linux/poll.hpp>
#include <mm/vm_object.hpp>
#include <vfs/current.hpp>
#include <vfs/mount.hpp>

namespace linnet::vfs {

namespace {

/// What F_GETFL reports: creation flags have done their work.
constexpr u32 kept_flags(u32 flags) {
    return flags & ~(abi::O_CREAT | abi::O_EXCL | abi::O_NOCTTY | abi::O_TRUNC | abi::O_CLOEXEC);
}
constexpr bool allows_reading(u32 flags) {
    u32 mode = flags & abi::O_ACCMODE;
    return !(flags & abi::O_PATH) && (mode == abi::O_RDONLY || mode == abi::O_RDWR);
}
constexpr bool allows_writing(u32 flags) {
    u32 mode = flags & abi::O_ACCMODE;
    return !(flags & abi::O_PATH) && (mode == abi::O_WRONLY || mode == abi::O_RDWR);
}

} // namespace

File::File(const Path& path, u32 flags, Positioning positioning)
    : path_(path), inode_(*path.inode()), flags_(kept_flags(flags)), readable_(allows_reading(flags)),
      writable_(allows_writing(flags)), seekable_(positioning == Positioning::Seekable) {}

File::File(RefPtr<Inode> inode, u32 flags, Positioning positioning)
    : inode_(std::move(inode)), flags_(kept_flags(flags)), readable_(allows_reading(flags)),
      writable_(allows_writing(flags)), seekable_(positioning == Positioning::Seekable) {}

File::~File() {
    if (FileLocks* locks = inode_->existing_file_locks()) {
        locks->unset_whole(this);
        locks->release_owner(this);
    }
    if (counts_writer_) WriteAccess::give_back(*inode_, path_);
    if (counts_reader_) inode_->remove_reader();
}

Result<usize> File::read(IoBuffer&, u64) { return error(Errno::EINVAL); }
Result<usize> File::write(IoBuffer&, u64) { return error(Errno::EINVAL); }
Result<usize> File::append(IoBuffer& from, u64& offset) {
    offset = inode().size();
    return write(from, offset);
}
Result<long> File::ioctl(u32, u64) { return error(Errno::ENOTTY); }
u32 File::poll() { return abi::POLLIN | abi::POLLOUT | abi::POLLRDNORM | abi::POLLWRNORM; }
Result<RefPtr<mm::VmObject>> File::mmap(const MapFileRequest&) { return error(Errno::ENODEV); }
Result<void> File::read_directory(u64&, DirectorySink) { return error(Errno::ENOTDIR); }
Result<void> File::truncate(u64) { return error(Errno::EINVAL); }
Result<void> File::allocate_range(u32, u64, u64) {
    if (inode().is_directory()) return error(Errno::EISDIR);
    return error(abi::S_ISFIFO(inode().mode()) ? Errno::ESPIPE : Errno::ENODEV);
}
Result<void> File::sync(SyncKind) {
    if (inode().is_regular() || inode().is_directory()) return inode().sync();
    return error(Errno::EINVAL);
}
Result<void> File::on_status_flags_changing(u32 new_flags) {
    return (new_flags & abi::O_DIRECT) && !accepts_direct() ? error(Errno::EINVAL) : Result<void>{};
}
mm::VmObject* File::page_cache() { return inode().pages(); }
Result<long> File::fcntl(u32, u64) { return error(Errno::EINVAL); }
Result<Attributes> File::attributes() { return inode().attributes(); }
void File::describe(TextSink sink) const { sink("anon_inode:[file]"); }

Result<u64> File::seek(u64 position, i64 offset, u32 whence) {
    if (!seekable_) return error(Errno::ESPIPE);
    i64 base = 0;
    switch (whence) {
    case abi::SEEK_SET:
        break;
    case abi::SEEK_CUR:
        base = static_cast<i64>(position);
        break;
    case abi::SEEK_END:
        base = static_cast<i64>(inode().size());
        break;
    case abi::SEEK_DATA:
        if (offset < 0) return error(Errno::ENXIO);
        return inode().seek_data(static_cast<u64>(offset));
    case abi::SEEK_HOLE:
        if (offset < 0) return error(Errno::ENXIO);
        return inode().seek_hole(static_cast<u64>(offset));
    default:
        return error(Errno::EINVAL);
    }
    i64 result;
    if (__builtin_add_overflow(base, offset, &result)) return error(Errno::EOVERFLOW);
    if (result < 0 || static_cast<u64>(result) > inode().superblock().max_file_size()) return error(Errno::EINVAL);
    return static_cast<u64>(result);
}

void File::format_name(TextSink sink) const {
    if (path_.is_empty()) return describe(sink);
    if (auto text = PathText::of(path_)) sink(text->text());
}
u64 File::device_number() const { return inode_->superblock().device().encoded(); }
bool File::is_unlinked() const { return path_.is_empty() || inode_->link_count() == 0; }
bool File::is_executable() const { return (inode_->mode() & 0111) != 0; }

Result<usize> read(File& file, IoBuffer& to, std::optional<u64> offset) {
    if (!file.is_readable()) return error(Errno::EBADF);
    if (offset && !file.is_seekable()) return error(Errno::ESPIPE);
    usize cut = to.limit_to(abi::MAX_RW_COUNT);
    auto result = at_position(file, offset, [&](u64& at) { return file.read(to, at); });
    to.grow_back(cut);
    if (result && *result > 0) tell_watches(file, abi::IN_ACCESS);
    return result;
}

Result<usize> write(File& file, IoBuffer& from, std::optional<u64> offset) {
    if (!file.is_writable()) return error(Errno::EBADF);
    if (offset && !file.is_seekable()) return error(Errno::ESPIPE);
    usize cut = from.limit_to(abi::MAX_RW_COUNT);
    auto result = at_position(file, offset, [&](u64& at) -> Result<usize> {
        if (file.is_append() && file.is_seekable()) return file.append(from, at);
        return file.write(from, at);
    });
    from.grow_back(cut);
    if (result && *result > 0) tell_watches(file, abi::IN_MODIFY);
    if (!result || *result == 0) return result;
    if ((file.status_flags() & abi::O_SYNC_BIT) || file.inode().has_flag(abi::FS_SYNC_FL))
        TRY(file.sync(File::SyncKind::All));
    else if (file.status_flags() & abi::O_DSYNC)
        TRY(file.sync(File::SyncKind::DataOnly));
    return result;
}

} // namespace linnet::vfs
