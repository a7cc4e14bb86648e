// ptrace(2), PTRACE_GETREGSET and PTRACE_SETREGSET: registers are seen and set, in whole or in part, and none of them
// gives user code what it could not have by itself.
#include "tracee.hpp"

using namespace tracee;

static volatile long reached;
[[noreturn]] static void elsewhere() {
    reached = 1;
    _exit(33);
}

static void test_general() {
    const pid_t child = start([] {
        for (;;) pause();
    });
    Registers registers = registers_of(child);
    CHECK(pc(registers) != 0);
    CHECK(stack(registers) != 0);
    Registers changed = registers;
    kept(changed) = 0x123456789abcdef;
    set_registers(child, changed);
    Registers again = registers_of(child);
    CHECK_EQ((unsigned long)kept(again), 0x123456789abcdeful);
    kept(again) = kept(registers);
    CHECK(memcmp(&again, &registers, sizeof again) == 0);
    // A part is the beginning of the set; what is longer than the set is cut.
    unsigned long words[200] = {};
    iovec io = {words, 16};
    CHECK_EQ(call(PTRACE_GETREGSET, child, NT_PRSTATUS, &io), 0);
    CHECK_EQ(io.iov_len, 16u);
    CHECK(memcmp(words, &changed, 16) == 0);
    CHECK_EQ(words[2], 0ul);
    io.iov_len = sizeof words;
    CHECK_EQ(call(PTRACE_GETREGSET, child, NT_PRSTATUS, &io), 0);
    CHECK_EQ(io.iov_len, sizeof registers);
    io.iov_len = 7;
    CHECK_ERRNO(call(PTRACE_GETREGSET, child, NT_PRSTATUS, &io), EINVAL);
    io.iov_len = 16;
    CHECK_ERRNO(call(PTRACE_GETREGSET, child, 0x7777, &io), EINVAL);
    CHECK_ERRNO(call(PTRACE_GETREGSET, child, NT_PRSTATUS, (iovec*)8), EFAULT);
    io.iov_base = (void*)8;
    CHECK_ERRNO(call(PTRACE_GETREGSET, child, NT_PRSTATUS, &io), EFAULT);
#ifndef __loongarch__ // whose Linux faults in the kernel, and ends the caller
    CHECK_ERRNO(call(PTRACE_SETREGSET, child, NT_PRSTATUS, &io), EFAULT);
#endif
    // It goes on where the tracer says.
    registers = registers_of(child);
    pc(registers) = (unsigned long)&elsewhere;
    stack(registers) = (stack(registers) - 1024) / 16 * 16;
#if defined(__x86_64__)
    stack(registers) -= 8;
    number(registers) = ~0ul;
#endif
    set_registers(child, registers);
    finish(child, 33);
}

// FP registers travel, and are what the program computes with.
static double third = 3.0;
static void test_floating_point() {
    int ready[2];
    CHECK_OK(pipe(ready));
    const pid_t child = start([] {
        volatile double value = third;
        for (int i = 0; i < 3; ++i) {
            raise(SIGUSR1);
            value = value * 2;
        }
        CHECK_EQ(value, 24.0);
    });
    unsigned char set[4096], again[4096];
    for (int i = 0; i < 3; ++i) {
        resume(child);
        CHECK_EQ(wait_status(child), stopped(SIGUSR1));
        iovec io = {set, sizeof set};
        CHECK_EQ(call(PTRACE_GETREGSET, child, NT_PRFPREG, &io), 0);
        CHECK(io.iov_len >= 264);
        const size_t size = io.iov_len;
        // A value in the middle of the set: register 8 or so on all.
        set[160] ^= 0x5a;
        CHECK_EQ(call(PTRACE_SETREGSET, child, NT_PRFPREG, &io), 0);
        io = {again, sizeof again};
        CHECK_EQ(call(PTRACE_GETREGSET, child, NT_PRFPREG, &io), 0);
        CHECK_EQ(io.iov_len, size);
        CHECK(memcmp(set, again, size) == 0);
        set[160] ^= 0x5a;
        io = {set, size};
        CHECK_EQ(call(PTRACE_SETREGSET, child, NT_PRFPREG, &io), 0);
    }
    finish(child);
}

// Everything set: user code still is user code, or the request is refused.
static void test_hostile() {
    for (int round = 0; round < 40; ++round) {
        const pid_t child = start([] {
            for (;;) pause();
        });
        unsigned long words[200];
        for (size_t i = 0; i < 200; ++i)
            words[i] = round < 2
                           ? (round ? ~0ul : 0)
                           : (unsigned long)random() << 33 ^ (unsigned long)random() << 2 ^ (unsigned long)random();
        if (round >= 20) {
            Registers registers = registers_of(child);
            memcpy(words, &registers, sizeof registers);
            words[unsigned(random()) % (sizeof registers / 8)] =
                (unsigned long)random() << 33 ^ (unsigned long)random();
        }
        iovec io = {words, sizeof(Registers)};
        const long done = call(PTRACE_SETREGSET, child, NT_PRSTATUS, &io);
        const int why = errno;
        CHECK(done == 0 || why == EIO || why == EINVAL);
        iovec all = {words, sizeof words};
        (void)call(PTRACE_SETREGSET, child, NT_PRFPREG, &all);
        resume(child);
        // It pauses, faults or ends: the machine goes on.
        const pid_t got = waitpid(child, nullptr, __WALL | WNOHANG);
        CHECK(got == 0 || got == child);
        kill(child, SIGKILL);
        int status;
        while ((status = wait_status(child)) >= 0 && !WIFEXITED(status) && !WIFSIGNALED(status)) {
        }
    }
}

int main() {
    test_general();
    test_floating_point();
    test_hostile();
    return check::result();
}
