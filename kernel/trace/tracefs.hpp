// The parts of tracefs.
#pragma once

#include <vfs/pseudo/node.hpp>

#include "event.hpp"

namespace linnet::trace {

vfs::pseudo::FileSystem& tracefs();

/// events/ (tracefs_events.cpp).
Result<void> add_event_files(vfs::pseudo::Directory& root);
/// kprobe_events, uprobe_events and their profiles (probe_files.cpp).
Result<void> add_probe_event_files(vfs::pseudo::Directory& root);
/// set_event, available_events and what names threads (tracefs_selection.cpp).
Result<void> add_selection_files(vfs::pseudo::Directory& root);

/// set_ftrace_filter and its kin, and current_tracer (function_files.cpp).
Result<void> add_function_files(vfs::pseudo::Directory& root);

/// A file of text; what concerns the trace runs with trace_lock held.
struct ControlFile {
    vfs::pseudo::Show show = nullptr;
    vfs::pseudo::Store store = nullptr;
    /// Opening it with O_TRUNC to write, if that means something.
    Result<void> (*truncated)() = nullptr;
};
Result<void> add_control(vfs::pseudo::Directory& directory, std::string_view name, const ControlFile& file,
                         u32 permissions);

/// Keeps what error_log shows: why `text` was refused.
void log_error_locked(std::string_view place, std::string_view text, const FilterError& why);
void show_error_log_locked(TextSink sink);
void clear_error_log_locked();

/// "0" or "1", with white space around. EINVAL.
Result<bool> parse_switch(std::string_view text);
/// Without the white space around, and without what follows a NUL.
std::string_view trimmed(std::string_view text);
/// Takes the first word of a text; empty when there is none.
std::string_view take_word(std::string_view& text);

} // namespace linnet::trace
