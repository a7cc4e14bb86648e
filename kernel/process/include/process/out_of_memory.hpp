// Choosing who dies when memory is gone.
#pragma once

#include <lib/function_ref.hpp>
#include <process/process.hpp>

namespace linnet::process {

/// Registers the handler with mm; once at boot.
void initialise_out_of_memory();
/// Adds panic_on_oom, oom_kill_allocating_task and oom_dump_tasks to /proc/sys/vm; once at boot.
Result<void> register_out_of_memory_knobs();

/// What /proc/PID/oom_score shows: 0 is never chosen, 666 is a process that holds nothing.
u64 out_of_memory_score(Process& process);

/// Calls `visit` for each process whose memory this is (clone(2), CLONE_VM without CLONE_THREAD).
void for_each_process_sharing(const mm::AddressSpace& space, FunctionRef<void(Process&)> visit);

} // namespace linnet::process
