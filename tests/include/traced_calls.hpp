// Helpers for tests of ptrace(2): stops before and after system calls, as PTRACE_GET_SYSCALL_INFO tells of them.
#pragma once

#include "tracee.hpp"

namespace tracee {

struct Info { // struct ptrace_syscall_info of linux/ptrace.h
    unsigned char op, reserved;
    unsigned short flags;
    unsigned arch;
    unsigned long instruction_pointer, stack_pointer;
    union {
        struct {
            unsigned long nr, args[6];
        } entry;
        struct {
            long rval;
            unsigned char is_error;
        } exit;
        unsigned char room[128];
    };
};

inline Info info_of(pid_t child, long size) {
    Info info = {};
    CHECK_EQ(syscall(SYS_ptrace, PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info), size);
    return info;
}
constexpr long none_size = 24, entry_size = 80, exit_size = 33;
constexpr int call_stop = SIGTRAP | 0x80;

/// Runs the child to the entry of call `number`.
inline Info run_to(pid_t child, long number) {
    for (;;) {
        resume(child, 0, PTRACE_SYSCALL);
        if (!CHECK_EQ(wait_status(child), stopped(call_stop))) return {};
        const Info info = info_of(child, entry_size);
        if (long(info.entry.nr) == number) return info;
        resume(child, 0, PTRACE_SYSCALL);
        CHECK_EQ(wait_status(child), stopped(call_stop));
        CHECK_EQ(info_of(child, exit_size).op, 2);
    }
}

} // namespace tracee
