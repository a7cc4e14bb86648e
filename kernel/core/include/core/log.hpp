// The kernel log: levels as Linux's, a ring of records that /dev/kmsg and syslog(2) read, printed on the console.
// Callable from any context, interrupts included.
#pragma once

#include <lib/format.hpp>

namespace linnet::core {

enum class LogLevel : u8 { Emergency, Alert, Critical, Error, Warning, Notice, Info, Debug };

void log_args(LogLevel level, std::string_view format, std::span<const FormatArg> args);

template <typename... Args>
void log(LogLevel level, std::string_view format, const Args&... args) {
    const FormatArg reduced[sizeof...(Args) + 1] = {FormatArg::of(args)..., FormatArg{FormatArg::Kind::Text, 0, {}}};
    log_args(level, format, std::span(reduced, sizeof...(Args)));
}
template <typename... Args>
void log_error(std::string_view format, const Args&... args) {
    log(LogLevel::Error, format, args...);
}
template <typename... Args>
void log_warning(std::string_view format, const Args&... args) {
    log(LogLevel::Warning, format, args...);
}
template <typename... Args>
void log_info(std::string_view format, const Args&... args) {
    log(LogLevel::Info, format, args...);
}
template <typename... Args>
void log_debug(std::string_view format, const Args&... args) {
    log(LogLevel::Debug, format, args...);
}

/// One stored line of the log.
struct LogRecord {
    u64 sequence = 0;
    u64 time_ns = 0;
    LogLevel level = LogLevel::Info;
    u16 length = 0;
    char text[488];
};

/// Copies the first record whose sequence is at least `sequence`; false when there is none yet.
bool read_log_record(u64 sequence, LogRecord& out);
/// Sequence number that the next record will get; the oldest record still held.
u64 next_log_sequence();
u64 oldest_log_sequence();
/// Adds a record on behalf of user space (/dev/kmsg).
void log_text(LogLevel level, std::string_view text);
/// Records of a level below (more important than) this are printed on the console: loglevel=, quiet, dmesg -n.
void set_console_log_level(u8 level);
u8 console_log_level();

/// Where log text is printed once a driver has taken over from arch::early_print. Callable in any context.
class LogConsole {
public:
    virtual void write(std::string_view text) = 0;

protected:
    ~LogConsole() = default;
};
void set_log_console(LogConsole* console);
/// The same for a console that comes late and hasn't shown the log so far: prints it from its oldest record.
void replay_log_on(LogConsole& console);

} // namespace linnet::core
