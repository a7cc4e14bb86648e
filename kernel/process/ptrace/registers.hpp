// Inside of process/ptrace: requests for registers.
#pragma once

#include <process/thread.hpp>

namespace linnet::process::ptrace_detail {

/// PTRACE_GETREGSET, PTRACE_SETREGSET, PTRACE_PEEKUSER, PTRACE_POKEUSER and what the architecture has besides. EIO: no
/// such request.
Result<long> ask_for_registers(Thread& tracee, long request, u64 address, u64 data);

} // namespace linnet::process::ptrace_detail
