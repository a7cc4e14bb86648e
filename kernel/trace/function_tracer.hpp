// The function tracer: a record for each entry of the chosen functions, while current_tracer says "function"
// (Linux's documentation, "ftrace - Function Tracer"). function_tracer.cpp plants and records, function_files.cpp has
// the files.
//
// Locks: trace_lock guards what is chosen. Hits take none (docs/tracing.md).
#pragma once

#include <core/panic.hpp>
#include <probe/function_entries.hpp>

#include "event_field.hpp"

namespace linnet::trace {

struct FunctionRecord {
    RecordHead head;
    u64 ip;        // of the function
    u64 parent_ip; // where it returns to
};

/// "nop" or "function". No lock needed.
std::string_view current_tracer_name();
/// Empties the trace, unless that tracer is the current one. EINVAL: there is none of that name; EBUSY: somebody reads
/// trace_pipe; ENOMEM. trace_lock held.
Result<void> choose_tracer_locked(std::string_view name);
/// /proc/sys/kernel/ftrace_enabled: while it is 0, no function is traced.
extern std::atomic<u64> ftrace_enabled;
/// It has been changed. Takes trace_lock.
void note_ftrace_enabled();
/// tracing_on was off: functions' trace begins anew. trace_lock held.
void restart_tracer_locked();

/// Which functions: set_ftrace_filter's, of which none means all, and set_ftrace_notrace's.
enum class FunctionList : u8 { Chosen, Excluded };
/// Finds out what functions there are. Before anything below. ENOMEM. trace_lock held.
Result<void> prepare_functions_locked();
const probe::FunctionSet& function_list_locked(FunctionList list);
/// ENOMEM: nothing has changed. trace_lock held.
Result<void> set_function_list_locked(FunctionList list, probe::FunctionSet set);

/// A function's name as /proc/kallsyms has it, without blanks.
class FunctionName {
public:
    explicit FunctionName(std::string_view symbol);
    [[nodiscard]] std::string_view text() const { return {text_, length_}; }

private:
    static constexpr usize longest = 128; // what the build leaves of names is shorter
    char text_[longest];
    usize length_ = 0;
};

} // namespace linnet::trace
