// ptrace(2), PTRACE_SET_SYSCALL_INFO (Linux 6.16): number, arguments and result of a call changed alike on every
// architecture.
//
// needs-linux: 6.16
#include <sys/resource.h>

#include "traced_calls.hpp"

using namespace tracee;

constexpr unsigned whole = 88;

static long set(pid_t child, const Info& info, unsigned long size = whole) {
    return syscall(SYS_ptrace, 0x4212, child, size, &info);
}

static Info run_to_end(pid_t child) {
    resume(child, 0, PTRACE_SYSCALL);
    CHECK_EQ(wait_status(child), stopped(call_stop));
    return info_of(child, exit_size);
}

// Six arguments, each of them changed; then the number, and then the result.
static void test_changes() {
    const pid_t child = start([] {
        CHECK_EQ(syscall(SYS_getppid, 1L, 2L, 3L, 4L, 5L, 6L), long(getpid()));
        CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
        CHECK_EQ(syscall(SYS_getppid), 4321);
        CHECK_ERRNO(syscall(SYS_getppid), EXDEV);
        CHECK_EQ(syscall(SYS_exit_group, 77), 6);
    });
    CHECK_EQ(call(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD), 0);

    Info info = run_to(child, SYS_getppid);
    for (unsigned i = 0; i < 6; ++i) {
        CHECK_EQ(info.entry.args[i], i + 1ul);
        info.entry.args[i] = 0x1000000000ul * (i + 1);
    }
    info.entry.nr = SYS_getpid;
    CHECK_EQ(set(child, info), 0);
    const Info changed = info_of(child, entry_size);
    CHECK_EQ(changed.entry.nr, (unsigned long)SYS_getpid);
    for (unsigned i = 0; i < 6; ++i) CHECK_EQ(changed.entry.args[i], 0x1000000000ul * (i + 1));
    CHECK_EQ(run_to_end(child).exit.rval, long(child));

    info = run_to(child, SYS_getpriority); // of nobody, and then of itself
    CHECK_EQ(info.entry.args[1], 0ul);
    info.entry.args[0] = 77;
    CHECK_EQ(set(child, info), 0);
    info = run_to_end(child);
    CHECK_EQ(info.exit.rval, -EINVAL);
    info.exit.rval = 20; // what the call says for a nice value of 0
    info.exit.is_error = 0;
    CHECK_EQ(set(child, info), 0);

    run_to(child, SYS_getppid);
    info = run_to_end(child);
    info.exit.rval = 4321;
    CHECK_EQ(set(child, info), 0);
    CHECK_EQ(info_of(child, exit_size).exit.rval, 4321);

    run_to(child, SYS_getppid);
    info = run_to_end(child);
    info.exit.rval = -EXDEV;
    info.exit.is_error = 1;
    CHECK_EQ(set(child, info), 0);

    info = run_to(child, SYS_exit_group);
    info.entry.nr = -1ul; // is not made
    CHECK_EQ(set(child, info), 0);
    info = run_to_end(child);
    info.exit.rval = 6;
    info.exit.is_error = 0;
    CHECK_EQ(set(child, info), 0);
    finish(child);
}

static void test_refusals() {
    const pid_t child = start([] { CHECK_EQ(syscall(SYS_getppid), long(getppid())); });
    CHECK_EQ(call(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD), 0);
    Info info = info_of(child, none_size);
    CHECK_ERRNO(set(child, info), EINVAL); // stopped, but not at a call
    info.op = 1;
    CHECK_ERRNO(set(child, info), EINVAL);

    info = run_to(child, SYS_getppid);
    CHECK_ERRNO(set(child, info, whole - 1), EINVAL);
    CHECK_ERRNO(set(child, info, 0), EINVAL);
    CHECK_EQ(set(child, info, 1ul << 40), 0); // what follows is not looked at
    CHECK_ERRNO(syscall(SYS_ptrace, 0x4212, child, whole, 8), EFAULT);
    Info bad = info;
    bad.op = 2;
    CHECK_ERRNO(set(child, bad), EINVAL);
    bad = info, bad.reserved = 1;
    CHECK_ERRNO(set(child, bad), EINVAL);
    bad = info, bad.flags = 1;
    CHECK_ERRNO(set(child, bad), EINVAL);
    bad = info, bad.entry.nr = 1ul << 32;
    CHECK_ERRNO(set(child, bad), ERANGE);
    bad = info, bad.arch = 0, bad.instruction_pointer = 1, bad.stack_pointer = 2; // are not set
    CHECK_EQ(set(child, bad), 0);
    CHECK_EQ(info_of(child, entry_size).instruction_pointer, info.instruction_pointer);
    finish(child);
}

int main() {
    test_changes();
    test_refusals();
    return check::result();
}
