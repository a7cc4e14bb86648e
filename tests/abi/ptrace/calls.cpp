// ptrace(2), "Syscall-stops": before and after each call, with numbers and arguments that the tracer may change.
#include <sys/mman.h>

#include "traced_calls.hpp"

using namespace tracee;

static void set_number(pid_t child, int number) {
#if defined(__aarch64__)
    iovec io = {&number, sizeof number};
    CHECK_EQ(call(PTRACE_SETREGSET, child, 0x404, &io), 0);
#else
    Registers registers = registers_of(child);
    tracee::number(registers) = (unsigned long)(long)number;
    set_registers(child, registers);
#endif
}

static void test_info() {
    const pid_t child = start([] { return syscall(SYS_getpriority, 77, 88) == -1 && errno == EINVAL ? 4 : 5; });
    CHECK_EQ(info_of(child, none_size).op, 0);
    CHECK_EQ(call(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD), 0);
    Info info = run_to(child, SYS_getpriority);
    CHECK_EQ(info.op, 1);
    CHECK_EQ(info.entry.args[0], 77ul);
    CHECK_EQ(info.entry.args[1], 88ul);
    Registers registers = registers_of(child);
    CHECK_EQ(info.instruction_pointer, (unsigned long)pc(registers));
    CHECK_EQ(info.stack_pointer, (unsigned long)stack(registers));
    siginfo_t signal = {};
    CHECK_EQ(call(PTRACE_GETSIGINFO, child, 0, &signal), 0);
    CHECK_EQ(signal.si_code, call_stop);
    unsigned long message = 0;
    CHECK_EQ(call(PTRACE_GETEVENTMSG, child, 0, &message), 0);
    CHECK_EQ(message, 1ul);
#if defined(__x86_64__) || defined(__loongarch__)
    CHECK_EQ((long)result(registers), -ENOSYS);
#endif
    resume(child, 0, PTRACE_SYSCALL);
    CHECK_EQ(wait_status(child), stopped(call_stop));
    info = info_of(child, exit_size);
    CHECK_EQ(info.op, 2);
    CHECK_EQ(info.exit.rval, -EINVAL);
    CHECK_EQ(info.exit.is_error, 1);
    registers = registers_of(child);
    CHECK_EQ((long)result(registers), -EINVAL);
    // A short buffer gets what it has room for.
    unsigned char few[8] = {0, 0, 0, 0, 1, 2, 3, 4};
    CHECK_EQ(syscall(SYS_ptrace, PTRACE_GET_SYSCALL_INFO, child, 4, few), exit_size);
    CHECK_EQ(few[0], 2);
    CHECK_EQ(few[7], 4);
    finish(child, 4);
}

// Arguments, number and result are the tracer's to change.
static void test_changes() {
    char text[] = "abcdef";
    int pipes[2];
    CHECK_OK(pipe(pipes));
    const int descriptor = pipes[1];
    const pid_t child = start([&] {
        CHECK_EQ(write(descriptor, text, 6), 6);        // its second argument is changed
        CHECK_EQ(syscall(SYS_getppid), long(getpid())); // becomes getpid
        CHECK_EQ(syscall(SYS_getppid), 1234l);          // its result is changed
        CHECK_ERRNO(syscall(SYS_exit_group, 55), 77);   // is not executed
    });
    CHECK_EQ(call(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD), 0);
    run_to(child, SYS_write);
    Registers registers = registers_of(child);
    CHECK_EQ((unsigned long)second_argument(registers), (unsigned long)text);
    second_argument(registers) = (unsigned long)(text + 1);
    set_registers(child, registers);
    resume(child, 0, PTRACE_SYSCALL);
    CHECK_EQ(wait_status(child), stopped(call_stop));
    char got[7] = {};
    CHECK_EQ(read(pipes[0], got, 6), 6);
    CHECK(memcmp(got, "bcdef", 6) == 0);

    run_to(child, SYS_getppid);
    set_number(child, SYS_getpid);
    resume(child, 0, PTRACE_SYSCALL);
    CHECK_EQ(wait_status(child), stopped(call_stop));
    CHECK_EQ(info_of(child, exit_size).exit.rval, long(child));

    run_to(child, SYS_getppid);
    resume(child, 0, PTRACE_SYSCALL);
    CHECK_EQ(wait_status(child), stopped(call_stop));
    registers = registers_of(child);
    result(registers) = 1234;
    set_registers(child, registers);

    run_to(child, SYS_exit_group);
    set_number(child, -1);
    resume(child, 0, PTRACE_SYSCALL);
    CHECK_EQ(wait_status(child), stopped(call_stop));
    registers = registers_of(child);
#if defined(__x86_64__)
    CHECK_EQ((long)result(registers), -ENOSYS);
#endif
    result(registers) = (unsigned long)-77l;
    set_registers(child, registers);
    resume(child);
    const int status = wait_status(child);
    CHECK_EQ(check::code_of(status), 0);
}

// Without the option the stop is a plain SIGTRAP.
static void test_plain() {
    const pid_t child = start([] { syscall(SYS_getppid); });
    resume(child, 0, PTRACE_SYSCALL);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP));
    siginfo_t signal = {};
    CHECK_EQ(call(PTRACE_GETSIGINFO, child, 0, &signal), 0);
    CHECK_EQ(signal.si_code, SIGTRAP);
    end(child);
}

// A call that a signal interrupts shows how it would go on, and goes on.
static void test_restart() {
    int pipes[2];
    CHECK_OK(pipe(pipes));
    const pid_t child = start([&] {
        char byte = 0;
        CHECK_EQ(read(pipes[0], &byte, 1), 1);
        return int(byte);
    });
    CHECK_EQ(call(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD), 0);
    run_to(child, SYS_read);
    resume(child, 0, PTRACE_SYSCALL);
    CHECK(check::wait_asleep(child));
    kill(child, SIGWINCH);
    CHECK_EQ(wait_status(child), stopped(call_stop));
    CHECK_EQ(info_of(child, exit_size).exit.rval, -512l); // ERESTARTSYS
    resume(child, 0, PTRACE_SYSCALL);
    CHECK_EQ(wait_status(child), stopped(SIGWINCH));
    resume(child, SIGWINCH, PTRACE_SYSCALL);
    CHECK_EQ(wait_status(child), stopped(call_stop));
    CHECK_EQ(info_of(child, entry_size).entry.nr, (unsigned long)SYS_read);
    CHECK_EQ(write(pipes[1], "!", 1), 1);
    resume(child, 0, PTRACE_SYSCALL);
    CHECK_EQ(wait_status(child), stopped(call_stop));
    CHECK_EQ(info_of(child, exit_size).exit.rval, 1l);
    finish(child, '!');
}

// A signal that the tracer sends along at a stop before or after a call is one more signal.
static void test_injected() {
    const pid_t child = start([] { syscall(SYS_getppid); });
    CHECK_EQ(call(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD), 0);
    run_to(child, SYS_getppid);
    resume(child, 0, PTRACE_SYSCALL);
    CHECK_EQ(wait_status(child), stopped(call_stop));
    resume(child, SIGUSR1);
    CHECK_EQ(wait_status(child), stopped(SIGUSR1));
    finish(child);
}

// Killed between, it ends.
static void test_killed() {
    const pid_t child = start([] { syscall(SYS_getppid); });
    CHECK_EQ(call(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD), 0);
    run_to(child, SYS_getppid);
    end(child);
}

#if defined(__x86_64__) || defined(__aarch64__)
// Calls are shown and not executed (user-mode Linux's way).
static void test_emulated() {
    const pid_t child = start([] { CHECK_EQ(syscall(SYS_exit_group, 66), 5l); });
    CHECK_EQ(call(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD), 0);
    resume(child, 0, 31);
    CHECK_EQ(wait_status(child), stopped(call_stop));
    while (info_of(child, entry_size).entry.nr != SYS_exit_group) {
        Registers registers = registers_of(child);
        result(registers) = 0;
        set_registers(child, registers);
        resume(child, 0, 31);
        if (!CHECK_EQ(wait_status(child), stopped(call_stop))) return;
    }
    Registers registers = registers_of(child);
    result(registers) = 5;
    set_registers(child, registers);
    finish(child);
}
#endif

int main() {
    test_info();
    test_changes();
    test_plain();
    test_restart();
    test_injected();
    test_killed();
#if defined(__x86_64__) || defined(__aarch64__)
    test_emulated();
#endif
    return check::result();
}
