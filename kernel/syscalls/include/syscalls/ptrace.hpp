// ptrace(2).
#pragma once

#include <syscalls/table.hpp>

namespace linnet::syscalls {

Result<long> sys_ptrace(process::Thread&, long request, process::Pid tid, u64 address, u64 data);

inline constexpr Entry ptrace_calls[] = {
    entry<sys_ptrace>("ptrace", nr::ptrace, Support::Partial,
                      "no seccomp, system call user dispatch, rseq configuration, hardware breakpoints of AArch64 "
                      "or setting of RISC-V's vector registers"),
};

} // namespace linnet::syscalls
