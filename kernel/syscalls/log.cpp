// syslog(2): the log as dmesg(1) reads it, a line a record with its level and time.
//
// Lock: reader_lock guards what SYSLOG_ACTION_READ has consumed and what CLEAR has hidden.
#include <algorithm>
#include <core/log.hpp>
#include <core/mutex.hpp>
#include <core/time.hpp>
#include <process/process.hpp>
#include <syscalls/log.hpp>
#include <vfs/credentials.hpp>
#include <vfs/event_source.hpp>

namespace linnet::syscalls {

namespace {

using process::Thread;
using CharsOut = mm::UserPtr<mm::Out, char>;

constexpr int action_close = 0, action_open = 1, action_read = 2, action_read_all = 3, action_read_clear = 4,
              action_clear = 5, action_console_off = 6, action_console_on = 7, action_console_level = 8,
              action_size_unread = 9, action_size_buffer = 10;
constexpr usize buffer_size = 1 << 18; // what SYSLOG_ACTION_SIZE_BUFFER tells
constexpr u64 look_again_ns = 100'000'000;

constinit core::Mutex reader_lock;
constinit u64 next_to_read = 0;
constinit u64 first_shown = 0; // behind the last CLEAR
constinit u8 saved_level = 0;  // while the console is off

/// "<level>[seconds.microseconds] text\n".
std::string_view format_line(std::span<char> out, const core::LogRecord& record) {
    std::string_view text(record.text, record.length);
    while (text.ends_with('\n')) text.remove_suffix(1);
    return format_into(out, "<{}>[{5}.{06}] {}\n", static_cast<u32>(record.level), record.time_ns / core::ns_per_second,
                       record.time_ns % core::ns_per_second / 1000, text);
}

/// Calls `visit` with each record from `from` on and its line, until it returns false.
template <typename Visit>
Result<void> for_each_line(u64 from, Visit visit) {
    core::LogRecord record;
    char line[600];
    while (core::read_log_record(from, record)) {
        if (!TRY(visit(record, format_line(line, record)))) break;
        from = record.sequence + 1;
    }
    return {};
}

Result<usize> total_length(u64 from) {
    usize total = 0;
    TRY(for_each_line(from, [&](const core::LogRecord&, std::string_view line) -> Result<bool> {
        total += line.size();
        return true;
    }));
    return total;
}

Result<long> copy_lines(CharsOut buffer, std::string_view line, usize at) {
    TRY(buffer.element(at).copy_out(std::span<const char>(line.data(), line.size())));
    return static_cast<long>(line.size());
}

/// The last lines that fit.
Result<long> read_all(CharsOut buffer, usize length) {
    usize skip = TRY(total_length(first_shown));
    usize used = 0;
    TRY(for_each_line(first_shown, [&](const core::LogRecord&, std::string_view line) -> Result<bool> {
        const bool fits = skip <= length;
        if (!fits) skip -= std::min(skip, line.size());
        // Records may come while we read: never more than there is room for.
        if (!fits || used + line.size() > length) return !fits;
        used += static_cast<usize>(TRY(copy_lines(buffer, line, used)));
        return true;
    }));
    return static_cast<long>(used);
}

/// Whole lines nobody has read yet; waits for the first.
Result<long> read_unread(CharsOut buffer, usize length) {
    for (;;) {
        usize used = 0;
        {
            core::MutexGuard guard(reader_lock);
            TRY(for_each_line(next_to_read, [&](const core::LogRecord& record, std::string_view line) -> Result<bool> {
                if (used + line.size() > length) return false;
                used += static_cast<usize>(TRY(copy_lines(buffer, line, used)));
                next_to_read = record.sequence + 1;
                return true;
            }));
        }
        if (used > 0 || core::next_log_sequence() > next_to_read) return static_cast<long>(used);
        // The log can't wake anybody (it is written from any context), so a waiting reader looks again and
        // again.
        vfs::EventWait wait;
        if (wait.sleep(core::Sleep::Interruptible, core::Deadline::after(look_again_ns)) ==
            core::WaitResult::Interrupted)
            return error(Errno::RestartIfRequested);
    }
}

Result<long> set_console(int action, int level) {
    core::MutexGuard guard(reader_lock);
    switch (action) {
    case action_console_off:
        if (saved_level == 0) saved_level = core::console_log_level();
        core::set_console_log_level(1);
        return 0;
    case action_console_on:
        if (saved_level != 0) core::set_console_log_level(saved_level);
        saved_level = 0;
        return 0;
    case action_console_level:
        if (level < 1 || level > 8) return error(Errno::EINVAL);
        saved_level = 0;
        core::set_console_log_level(static_cast<u8>(level));
        return 0;
    default:
        return error(Errno::EINVAL);
    }
}

} // namespace

Result<long> sys_syslog(Thread& thread, int action, CharsOut buffer, int length) {
    if (action < action_close || action > action_size_buffer) return error(Errno::EINVAL);
    const bool is_open_to_all = action == action_read_all || action == action_size_buffer;
    const vfs::Credentials& who = thread.own_credentials();
    if (!is_open_to_all && !who.has(vfs::Capability::Syslog) && !who.has(vfs::Capability::SysAdmin))
        return error(Errno::EPERM);
    const bool reads = action == action_read || action == action_read_all || action == action_read_clear;
    if (reads && (buffer.is_null() || length < 0)) return error(Errno::EINVAL);
    if (reads && length == 0) return 0;
    switch (action) {
    case action_close:
    case action_open:
        return 0;
    case action_read:
        return read_unread(buffer, static_cast<usize>(length));
    case action_read_all:
        return read_all(buffer, static_cast<usize>(length));
    case action_read_clear: {
        const long count = TRY(read_all(buffer, static_cast<usize>(length)));
        first_shown = core::next_log_sequence();
        return count;
    }
    case action_clear:
        first_shown = core::next_log_sequence();
        return 0;
    case action_size_unread:
        return static_cast<long>(TRY(total_length(next_to_read)));
    case action_size_buffer:
        return static_cast<long>(buffer_size);
    default:
        return set_console(action, length);
    }
}

} // namespace linnet::syscalls
