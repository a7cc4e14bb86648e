// getdents64(2) and its predecessor getdents(2).
#include <abi/linux/fs.hpp>
#include <cstring>
#include <syscalls/stat.hpp>
#include <vfs/fd_table.hpp>

namespace linnet::syscalls {

using process::Thread;

namespace {

/// Where the name lies in each form, and what comes behind it.
enum class Format : u8 { Dirent64, OldDirent };
constexpr usize name_offset_64 = 19;
constexpr usize name_offset_old = 18;

/// Writes records into user memory, one copy each.
class RecordWriter {
public:
    RecordWriter(VirtAddr buffer, usize size, Format format) : buffer_(buffer), size_(size), format_(format) {}

    bool add(const vfs::DirectoryEntry& entry) {
        u8 record[name_offset_64 + abi::NAME_MAX + 16] = {};
        usize name_offset = format_ == Format::Dirent64 ? name_offset_64 : name_offset_old;
        if (entry.name.size() > abi::NAME_MAX) return fail(Errno::EIO);
        // The old form keeps the type in the last byte.
        usize tail = format_ == Format::Dirent64 ? 1 : 2;
        usize length = align_up(name_offset + entry.name.size() + tail, 8);
        if (length > size_ - used_) return fail(Errno::EINVAL);
        abi::dirent64 head{};
        head.d_ino = entry.inode;
        head.d_off = static_cast<i64>(entry.next_position);
        head.d_reclen = static_cast<u16>(length);
        head.d_type = entry.type;
        std::memcpy(record, &head, name_offset);
        std::memcpy(record + name_offset, entry.name.data(), entry.name.size());
        if (format_ == Format::OldDirent) record[length - 1] = entry.type;
        if (!mm::copy_to_user(buffer_ + used_, record, length)) return fail(Errno::EFAULT);
        used_ += length;
        return true;
    }
    /// Bytes written; the error only if there are none.
    Result<long> result() const {
        if (used_ == 0 && failure_) return error(*failure_);
        return static_cast<long>(used_);
    }

private:
    bool fail(Errno why) {
        failure_ = why;
        return false;
    }
    VirtAddr buffer_;
    usize size_;
    usize used_ = 0;
    Format format_;
    std::optional<Errno> failure_;
};

Result<long> list(Thread& thread, int fd, VirtAddr buffer, u32 size, Format format) {
    auto file = TRY(thread.own_files().use(fd));
    RecordWriter writer(buffer, size, format);
    core::MutexGuard guard(file->position_lock);
    TRY(file->read_directory(file->position, [&](const vfs::DirectoryEntry& entry) { return writer.add(entry); }));
    return writer.result();
}

} // namespace

Result<long> sys_getdents64(Thread& thread, int fd, VirtAddr buffer, u32 size) {
    return list(thread, fd, buffer, size, Format::Dirent64);
}
Result<long> sys_getdents(Thread& thread, int fd, VirtAddr buffer, u32 size) {
    return list(thread, fd, buffer, size, Format::OldDirent);
}

} // namespace linnet::syscalls
