// ptrace(2).
#pragma once

#include <syscalls/table.hpp>

namespace linnet::syscalls {

Result<long> sys_ptrace(process::Thread&, long request, process::Pid tid, u64 address, u64 data);

inline constexpr Entry ptrace_calls[] = {
    entry<sys_ptrace>("ptrace", nr::ptrace, Support::Partial, "no seccomp, no dispatch of calls to the program: EIO"),
};

} // namespace linnet::syscalls
