// getdents64(2) and its predecessor getdents(2).
#include <abi/linux/fs.hpp>
#include <cstring>
#include <syscalls/stat.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/watches.hpp>

namespace linnet::syscalls {

using process::Thread;

namespace {

/// Where the name lies in each form, and what comes behind it.
enum class Format : u8 { Dirent64, OldDirent };
constexpr usize name_offset_64 = 19;
constexpr usize name_offset_old = 18;

/// Builds records in a kernel buffer. That goes to user memory between two listings: never amid one, whose locks must
/// not be held when a fault on a file of the same file system wants them.
class RecordWriter {
public:
    /// Whoever begins a listing anew may have to read and sort a whole block of names: so mostly one is enough.
    static constexpr usize most_buffered = 32 << 10, least_buffered = 2048;

    RecordWriter(VirtAddr target, usize size, Format format, std::span<u8> buffer, u64 position)
        : target_(target), room_(size), format_(format), buffer_(buffer), position_(position) {}

    bool add(const vfs::DirectoryEntry& entry) {
        usize name_offset = format_ == Format::Dirent64 ? name_offset_64 : name_offset_old;
        if (entry.name.size() > abi::NAME_MAX) return fail(Errno::EIO);
        // The old form keeps the type in the last byte.
        usize tail = format_ == Format::Dirent64 ? 1 : 2;
        usize length = align_up(name_offset + entry.name.size() + tail, 8);
        if (length > room_ - used_) return fail(Errno::EINVAL);
        if (length > buffer_.size() - used_) {
            wants_flush_ = true;
            return false;
        }
        u8* record = buffer_.data() + used_;
        auto reclen = static_cast<u16>(length);
        std::memset(record + length - 8, 0, 8);
        std::memcpy(record, &entry.inode, sizeof entry.inode);
        std::memcpy(record + 8, &entry.next_position, sizeof entry.next_position);
        std::memcpy(record + 16, &reclen, sizeof reclen);
        if (format_ == Format::Dirent64) record[18] = entry.type;
        std::memcpy(record + name_offset, entry.name.data(), entry.name.size());
        if (format_ == Format::OldDirent) record[length - 1] = entry.type;
        used_ += length;
        pending_position_ = entry.next_position;
        return true;
    }
    /// Copies out what was built; false on a fault, after which position() is before what could not be copied. No
    /// file system's locks are held.
    bool flush() {
        wants_flush_ = false;
        if (used_ == 0) return true;
        if (!mm::copy_to_user(target_, buffer_.data(), used_)) return fail(Errno::EFAULT);
        target_ += used_;
        room_ -= used_;
        written_ += used_;
        used_ = 0;
        position_ = pending_position_;
        return true;
    }
    /// Whether the last listing ended because the buffer was full: behind flush() there is room for more.
    bool wants_flush() const { return wants_flush_; }
    /// Where the directory's next listing goes on.
    u64 position() const { return position_; }
    /// Bytes written; the error only if there are none.
    Result<long> result() const {
        if (written_ == 0 && failure_) return error(*failure_);
        return static_cast<long>(written_);
    }

private:
    bool fail(Errno why) {
        failure_ = why;
        return false;
    }
    VirtAddr target_;
    usize room_; // left in user memory, for what is in the buffer too
    Format format_;
    std::span<u8> buffer_;
    usize used_ = 0;
    bool wants_flush_ = false;
    usize written_ = 0;
    u64 position_;
    u64 pending_position_ = 0;
    std::optional<Errno> failure_;
};

Result<long> list(Thread& thread, int fd, VirtAddr target, u32 size, Format format) {
    auto file = TRY(thread.own_files().use(fd));
    usize buffered = std::clamp<usize>(size, RecordWriter::least_buffered, RecordWriter::most_buffered);
    OwnPtr<u8[]> buffer(new (std::nothrow) u8[buffered]);
    if (!buffer) buffer.reset(new (std::nothrow) u8[buffered = RecordWriter::least_buffered]);
    if (!buffer) return error(Errno::ENOMEM);
    core::MutexGuard guard(file->position_lock);
    RecordWriter writer(target, size, format, {buffer.get(), buffered}, file->position);
    u64 position = file->position;
    Result<void> listed;
    do {
        listed = file->read_directory(position, [&](const vfs::DirectoryEntry& entry) { return writer.add(entry); });
    } while (writer.wants_flush() && writer.flush() && listed);
    writer.flush();
    if (listed) vfs::tell_watches(*file, abi::IN_ACCESS);
    file->position = writer.position();
    Result<long> result = writer.result();
    if (!listed && result && *result == 0) return error(listed.error());
    return result;
}

} // namespace

Result<long> sys_getdents64(Thread& thread, int fd, VirtAddr buffer, u32 size) {
    return list(thread, fd, buffer, size, Format::Dirent64);
}
Result<long> sys_getdents(Thread& thread, int fd, VirtAddr buffer, u32 size) {
    return list(thread, fd, buffer, size, Format::OldDirent);
}

} // namespace linnet::syscalls
