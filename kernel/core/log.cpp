// The kernel log. Owns the ring of records and the console's turn to print.
//
// Lock order: log_lock, then console_lock; both are leaves and mask interrupts, so that any context may log.
#include <algorithm>
#include <arch/platform.hpp>
#include <core/log.hpp>
#include <core/panic.hpp>
#include <core/spinlock.hpp>
#include <core/time.hpp>
#include <cstring>

namespace linnet::core {
namespace {

constexpr usize record_count = 512;

struct StoredRecord {
    u64 time_ns;
    u64 text_offset;
    u16 length;
    LogLevel level;
};

// Texts lie in a byte ring of their own, so that short lines don't cost a fixed-size slot.
constexpr usize text_bytes = 64 * 1024;

constinit LockClass log_class{"log"};
constinit LockClass console_class{"console"};
constinit InterruptSpinLock log_lock{log_class};
constinit InterruptSpinLock console_lock{console_class};
constinit StoredRecord records[record_count] = {};
constinit char texts[text_bytes] = {};
constinit u64 next_sequence = 0;
constinit u64 next_text = 0; // total bytes ever stored
constinit LogConsole* console = nullptr;
constinit std::atomic<u8> console_level{7};

u64 oldest_locked() {
    u64 oldest = next_sequence > record_count ? next_sequence - record_count : 0;
    // A record whose text has been overwritten is gone as well.
    while (oldest < next_sequence && next_text - records[oldest % record_count].text_offset > text_bytes) ++oldest;
    return oldest;
}

void store(LogLevel level, u64 time_ns, std::string_view text) {
    InterruptSpinGuard guard(log_lock);
    records[next_sequence % record_count] = {time_ns, next_text, static_cast<u16>(text.size()), level};
    for (char c : text) texts[next_text++ % text_bytes] = c;
    ++next_sequence;
}

using Line = char[600];

std::string_view format_line(Line& line, u64 time_ns, std::string_view text) {
    u64 micros = time_ns / 1000;
    return format_into(line, "[{5}.{06}] {}\n", micros / 1'000'000, micros % 1'000'000, text.substr(0, 512));
}

bool is_for_console(LogLevel level) { return static_cast<u8>(level) < console_level.load(std::memory_order_relaxed); }

void print(LogLevel level, u64 time_ns, std::string_view text) {
    if (!is_for_console(level) && !is_panicking()) return;
    Line line;
    std::string_view out = format_line(line, time_ns, text);
    // A panicking CPU must not wait for a lock that a stopped CPU holds.
    if (is_panicking()) {
        if (console)
            console->write(out);
        else
            arch::early_print(out);
        return;
    }
    InterruptSpinGuard guard(console_lock);
    if (console)
        console->write(out);
    else
        arch::early_print(out);
}

} // namespace

void log_text(LogLevel level, std::string_view text) {
    u64 now = monotonic_ns();
    text = text.substr(0, sizeof(LogRecord::text));
    store(level, now, text);
    print(level, now, text);
}

void log_args(LogLevel level, std::string_view format, std::span<const FormatArg> args) {
    char buffer[sizeof(LogRecord::text)];
    usize used = 0;
    format_args(
        [&](std::string_view piece) {
            usize take = std::min(piece.size(), sizeof(buffer) - used);
            memcpy(buffer + used, piece.data(), take);
            used += take;
        },
        format, args);
    log_text(level, std::string_view(buffer, used));
}

bool read_log_record(u64 sequence, LogRecord& out) {
    InterruptSpinGuard guard(log_lock);
    sequence = std::max(sequence, oldest_locked());
    if (sequence >= next_sequence) return false;
    const StoredRecord& record = records[sequence % record_count];
    out.sequence = sequence;
    out.time_ns = record.time_ns;
    out.level = record.level;
    out.length = record.length;
    for (u16 i = 0; i < record.length; ++i) out.text[i] = texts[(record.text_offset + i) % text_bytes];
    return true;
}

u64 next_log_sequence() {
    InterruptSpinGuard guard(log_lock);
    return next_sequence;
}

u64 oldest_log_sequence() {
    InterruptSpinGuard guard(log_lock);
    return oldest_locked();
}

void set_console_log_level(u8 level) { console_level.store(level, std::memory_order_relaxed); }
u8 console_log_level() { return console_level.load(std::memory_order_relaxed); }

void set_log_console(LogConsole* new_console) {
    InterruptSpinGuard guard(console_lock);
    console = new_console;
}

void replay_log_on(LogConsole& new_console) {
    LogRecord record;
    for (u64 sequence = 0; read_log_record(sequence, record); sequence = record.sequence + 1) {
        if (!is_for_console(record.level)) continue;
        Line line;
        new_console.write(format_line(line, record.time_ns, {record.text, record.length}));
    }
    set_log_console(&new_console);
}

} // namespace linnet::core
