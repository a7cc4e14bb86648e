// ptrace(2). The work is in process/ptrace.
#include <process/ptrace.hpp>
#include <syscalls/ptrace.hpp>

namespace linnet::syscalls {

Result<long> sys_ptrace(process::Thread& thread, long request, process::Pid tid, u64 address, u64 data) {
    return process::ptrace(thread, request, tid, address, data);
}

} // namespace linnet::syscalls
