// Inside of process/ptrace: what a tracer asks and says of the system call that its tracee is stopped at.
#pragma once

#include <process/thread.hpp>

namespace linnet::process::ptrace_detail {

/// PTRACE_GET_SYSCALL_INFO: fills at most `room` bytes at `result` and returns how many there are to say. EFAULT.
Result<long> get_call_info(Thread& tracee, u64 room, u64 result);

/// PTRACE_SET_SYSCALL_INFO (Linux 6.16): changes the number and arguments of a call that is about to begin, or the
/// result of one that has ended. EINVAL: not that kind of stop, less than the whole structure, flags; ERANGE: a number
/// of a call that is none; EFAULT.
Result<long> set_call_info(Thread& tracee, u64 size, u64 source);

} // namespace linnet::process::ptrace_detail
