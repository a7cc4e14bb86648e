// PTRACE_GET_SYSCALL_INFO and PTRACE_SET_SYSCALL_INFO (ptrace(2)): the system call of a stop, the same way on every
// architecture.
#include "call_info.hpp"

#include <abi/linux/ptrace.hpp>
#include <algorithm>
#include <arch/tracing.hpp>
#include <mm/usercopy.hpp>

namespace linnet::process::ptrace_detail {
namespace {

using namespace abi;

constexpr unsigned argument_count = 6;

u8 kind_of_stop(const Thread& tracee) {
    switch (tracee.trace.stop) {
    case TraceStop::CallEntry:
        return PTRACE_SYSCALL_INFO_ENTRY;
    case TraceStop::CallExit:
        return PTRACE_SYSCALL_INFO_EXIT;
    default:
        return PTRACE_SYSCALL_INFO_NONE;
    }
}

Result<void> set_entry(arch::UserContext& registers, const ptrace_syscall_info& info) {
    const auto number = static_cast<i32>(info.entry.nr);
    if (info.entry.nr != static_cast<u64>(i64{number})) return error(Errno::ERANGE);
    registers.set_syscall_number(number);
    // A call that won't be made (-1) has a result instead, which on some architectures lies where an argument did.
    if (number == -1) return {};
    for (unsigned i = 0; i < argument_count; ++i) registers.set_syscall_argument(i, info.entry.args[i]);
    return {};
}

} // namespace

Result<long> get_call_info(Thread& tracee, u64 room, u64 result) {
    ptrace_syscall_info info{};
    arch::UserContext& registers = tracee.registers;
    info.op = kind_of_stop(tracee);
    info.arch = arch::audit_architecture;
    info.instruction_pointer = registers.pc().value;
    info.stack_pointer = registers.sp().value;
    usize size = __builtin_offsetof(ptrace_syscall_info, entry);
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        info.entry.nr = static_cast<u64>(registers.syscall_number());
        for (unsigned i = 0; i < argument_count; ++i) info.entry.args[i] = registers.syscall_argument(i);
        size = __builtin_offsetof(ptrace_syscall_info, entry.args) + sizeof info.entry.args;
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
        info.exit.rval = registers.syscall_result();
        info.exit.is_error = info.exit.rval < 0 && info.exit.rval >= -4095;
        size = __builtin_offsetof(ptrace_syscall_info, exit.is_error) + 1;
    }
    TRY(mm::copy_to_user(VirtAddr{result}, &info, std::min<u64>(room, size)));
    return static_cast<long>(size);
}

Result<long> set_call_info(Thread& tracee, u64 size, u64 source) {
    if (size < sizeof(ptrace_syscall_info)) return error(Errno::EINVAL);
    const auto info = TRY((mm::UserPtr<mm::In, ptrace_syscall_info>(VirtAddr{source}).copy_in()));
    if (info.flags || info.reserved || info.op != kind_of_stop(tracee)) return error(Errno::EINVAL);
    if (info.op == PTRACE_SYSCALL_INFO_NONE) return error(Errno::EINVAL);
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
        TRY(set_entry(tracee.registers, info));
    else
        tracee.registers.set_syscall_result(info.exit.rval);
    return 0;
}

} // namespace linnet::process::ptrace_detail
