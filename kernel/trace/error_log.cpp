// error_log: why filters and triggers were refused, the last few.
#include <algorithm>
#include <core/time.hpp>

#include "tracefs.hpp"

namespace linnet::trace {

namespace {

struct LoggedError {
    u64 time_ns = 0;
    char place[48] = {};
    char text[128] = {};
    usize place_size = 0, text_size = 0;
    FilterError why;
};
constexpr usize most_errors = 8;
constinit LoggedError errors[most_errors]; // guarded by trace_lock
constinit usize next_error = 0;            // since boot, or since it was emptied

} // namespace

void log_error_locked(std::string_view place, std::string_view text, const FilterError& why) {
    if (!why.message) return;
    LoggedError& entry = errors[next_error++ % most_errors];
    entry.time_ns = core::monotonic_ns();
    entry.place_size = format_into(entry.place, "{}", place).size();
    entry.text_size = format_into(entry.text, "{}", text).size();
    entry.why = why;
}

void show_error_log_locked(TextSink sink) {
    for (usize i = next_error > most_errors ? next_error - most_errors : 0; i < next_error; ++i) {
        const LoggedError& entry = errors[i % most_errors];
        const u64 us = entry.time_ns / 1000;
        format_to(sink, "[{5}.{06}] {}: error: {}\n", us / 1'000'000, us % 1'000'000,
                  std::string_view(entry.place, entry.place_size), entry.why.message);
        format_to(sink, "  Command: {}\n           ", std::string_view(entry.text, entry.text_size));
        for (usize column = 0; column < std::min(entry.why.position, entry.text_size + 1); ++column) sink(" ");
        sink("^\n");
    }
}

void clear_error_log_locked() { next_error = 0; }

} // namespace linnet::trace
