// ptrace(2), PTRACE_SINGLESTEP: one instruction at a time, where the architecture has it.
#include "tracee.hpp"

using namespace tracee;

[[maybe_unused]] static volatile int counter;

[[maybe_unused]] static void test_steps() {
    const pid_t child = start([] {
        raise(SIGUSR1);
        for (int i = 0; i < 100; ++i) counter = counter + 1;
        syscall(SYS_getppid);
        raise(SIGUSR2);
        return counter;
    });
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGUSR1));
    int steps = 0, status;
    unsigned long last = 0;
    int moved = 0;
    resume(child, 0, PTRACE_SINGLESTEP);
    for (; (status = wait_status(child)) == stopped(SIGTRAP) && steps < 100000; ++steps) {
        Registers registers = registers_of(child);
        moved += pc(registers) != last;
        last = pc(registers);
        resume(child, 0, PTRACE_SINGLESTEP);
    }
    CHECK_EQ(status, stopped(SIGUSR2));
    CHECK(steps > 300);
    CHECK(moved > steps / 2);
    // Let go, nothing of it is left.
    finish(child, 100);
}

[[maybe_unused]] static void test_signal_info() {
    const pid_t child = start([] { counter = counter + 1; });
    resume(child, 0, PTRACE_SINGLESTEP);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP));
    siginfo_t info = {};
    CHECK_EQ(call(PTRACE_GETSIGINFO, child, 0, &info), 0);
    CHECK_EQ(info.si_signo, SIGTRAP);
    resume(child, 0, PTRACE_SINGLESTEP);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP));
    CHECK_EQ(call(PTRACE_GETSIGINFO, child, 0, &info), 0);
    Registers registers = registers_of(child);
    CHECK_EQ(info.si_code, TRAP_TRACE);
    CHECK_EQ((unsigned long)info.si_addr, (unsigned long)pc(registers));
    CHECK_EQ(call(PTRACE_DETACH, child), 0);
    CHECK_EQ(check::code_of(wait_status(child)), 0);
}

int main() {
#if defined(__x86_64__) || defined(__aarch64__)
    test_steps();
    test_signal_info();
#elif defined(__loongarch__)
    check::skip("Linux steps by breakpoint registers, and QEMU's CPU has none");
#else
    const pid_t child = start([] {});
    CHECK_ERRNO(call(PTRACE_SINGLESTEP, child), EIO);
    finish(child);
#endif
    return check::result();
}
