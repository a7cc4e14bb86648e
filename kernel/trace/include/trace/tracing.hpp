// Tracing: events that the kernel records when somebody asks for them, and the file system that is asked (tracefs).
#pragma once

#include <lib/function_ref.hpp>
#include <lib/result.hpp>
#include <lib/types.hpp>
#include <string_view>

namespace linnet::trace {

/// Once, at boot: the events that don't depend on anything above, and the file system.
Result<void> initialise_tracing();
/// Once, behind that: an event for entry to and one for exit from each system call that `visit_calls` names.
Result<void> add_syscall_events(FunctionRef<void(FunctionRef<void(std::string_view name, long number)>)> visit_calls);

} // namespace linnet::trace
