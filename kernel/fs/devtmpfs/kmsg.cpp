// /dev/kmsg: the kernel's log, a record a read; what is written becomes a record.
//
// The log announces nothing when it grows: it is written from contexts that may not wake anybody (the scheduler's, an
// interrupt's, a panic's). Readers that wait look again every poll_interval_ns.
#include "memory_devices.hpp"

#include <algorithm>
#include <core/log.hpp>
#include <core/mutex.hpp>

namespace linnet::fs {

namespace {

using namespace abi;

constexpr u64 poll_interval_ns = 100'000'000;
constexpr usize longest_line = 980; // as on Linux, LOG_LINE_MAX

class KernelLogFile final : public vfs::File {
public:
    KernelLogFile(const vfs::Path& path, u32 flags)
        : File(path, flags, Positioning::Seekable), next_(core::oldest_log_sequence()) {}
    Result<usize> read(vfs::IoBuffer& to, u64) override;
    Result<usize> write(vfs::IoBuffer& from, u64) override;
    // A record is a read.
    bool feeds_pipes() const override { return false; }
    bool takes_from_pipes() const override { return false; }
    Result<usize> append(vfs::IoBuffer& from, u64&) override { return write(from, 0); }
    Result<u64> seek(u64 position, i64 offset, u32 whence) override;
    u32 poll() override;
    vfs::EventSource* event_source() override { return &never_notified_; }

private:
    Result<usize> read_record(vfs::IoBuffer& to);

    core::Mutex lock_; // next_
    u64 next_;
    vfs::EventSource never_notified_;
};

/// "priority,sequence,microseconds,flag;text" with control characters escaped (Documentation/ABI/testing/dev-kmsg).
std::string_view format_record(std::span<char> buffer, const core::LogRecord& record) {
    usize used =
        format_into(buffer, "{},{},{},-;", static_cast<u32>(record.level), record.sequence, record.time_ns / 1000)
            .size();
    std::string_view text(record.text, record.length);
    while (text.ends_with('\n')) text.remove_suffix(1);
    for (char c : text) {
        if (used + 6 > buffer.size()) break;
        const u8 byte = static_cast<u8>(c);
        if (byte < 0x20 || byte >= 0x7f || c == '\\')
            used += format_into(buffer.subspan(used), "\\x{02x}", u32{byte}).size();
        else
            buffer[used++] = c;
    }
    buffer[used++] = '\n';
    return {buffer.data(), used};
}

[[gnu::noinline]] Result<usize> KernelLogFile::read_record(vfs::IoBuffer& to) {
    core::MutexGuard guard(lock_);
    if (next_ < core::oldest_log_sequence()) {
        next_ = core::oldest_log_sequence();
        return error(Errno::EPIPE); // records were lost
    }
    core::LogRecord record;
    if (!core::read_log_record(next_, record)) return error(Errno::EAGAIN);
    char buffer[656];
    const std::string_view text = format_record(buffer, record);
    if (text.size() > to.remaining()) return error(Errno::EINVAL);
    const usize moved = TRY(to.copy_out({reinterpret_cast<const u8*>(text.data()), text.size()}));
    next_ = record.sequence + 1;
    return moved;
}

Result<usize> KernelLogFile::read(vfs::IoBuffer& to, u64) {
    for (;;) {
        Result<usize> result = read_record(to);
        if (result || result.error() != Errno::EAGAIN || is_nonblocking()) return result;
        vfs::EventWait wait;
        if (wait.sleep(core::Sleep::Interruptible, core::Deadline::after(poll_interval_ns)) ==
            core::WaitResult::Interrupted)
            return error(Errno::RestartIfRequested);
    }
}

/// "<N>" in front gives the priority; without it, that of a user's notice.
Result<usize> KernelLogFile::write(vfs::IoBuffer& from, u64) {
    const usize size = from.remaining();
    if (size > longest_line) return error(Errno::EINVAL);
    char text[longest_line];
    if (TRY(from.copy_in({reinterpret_cast<u8*>(text), size})) != size) return error(Errno::EFAULT);
    std::string_view line(text, size);
    u32 priority = static_cast<u32>(core::LogLevel::Warning);
    if (line.starts_with('<')) {
        usize at = 1;
        u32 number = 0;
        while (at < line.size() && at < 5 && line[at] >= '0' && line[at] <= '9')
            number = number * 10 + static_cast<u32>(line[at++] - '0');
        if (at > 1 && at < line.size() && line[at] == '>') {
            priority = number & 7;
            line.remove_prefix(at + 1);
        }
    }
    while (line.ends_with('\n')) line.remove_suffix(1);
    core::log_text(static_cast<core::LogLevel>(priority), line);
    return size;
}

Result<u64> KernelLogFile::seek(u64, i64 offset, u32 whence) {
    if (offset != 0) return error(Errno::ESPIPE);
    core::MutexGuard guard(lock_);
    switch (whence) {
    case SEEK_SET:
    case SEEK_DATA:
        next_ = core::oldest_log_sequence();
        return 0;
    case SEEK_END:
        next_ = core::next_log_sequence();
        return 0;
    default:
        return error(Errno::EINVAL);
    }
}

u32 KernelLogFile::poll() {
    core::MutexGuard guard(lock_);
    u32 mask = POLLOUT | POLLWRNORM;
    if (next_ < core::next_log_sequence()) mask |= POLLIN | POLLRDNORM;
    return mask;
}

} // namespace

Result<RefPtr<vfs::File>> open_kernel_log(const vfs::Path& path, u32 flags) {
    auto* file = new (std::nothrow) KernelLogFile(path, flags);
    if (!file) return error(Errno::ENOMEM);
    return RefPtr<vfs::File>::adopt(*file);
}

} // namespace linnet::fs
