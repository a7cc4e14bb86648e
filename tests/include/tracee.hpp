// Helpers for tests of ptrace(2): the calls with their real arguments, children that are traced, registers.
#pragma once

#include <csignal>
#include <elf.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asleep.hpp"
#include "check.hpp"

namespace tracee {

/// The call itself: glibc returns what PTRACE_PEEK* finds.
inline long call(long request, pid_t pid, unsigned long address = 0, unsigned long data = 0) {
    return syscall(SYS_ptrace, request, long(pid), address, data);
}
template <typename T>
long call(long request, pid_t pid, unsigned long address, T* data) {
    return call(request, pid, address, (unsigned long)data);
}

inline long peek(pid_t pid, const void* address) {
    long word = 0;
    CHECK_EQ(call(PTRACE_PEEKDATA, pid, (unsigned long)address, &word), 0);
    return word;
}

/// Waits for a thread and gives its status; -1 when there is none.
inline int wait_status(pid_t pid, int options = __WALL) {
    int status = -1;
    pid_t got;
    while ((got = waitpid(pid, &status, options)) < 0 && errno == EINTR) {
    }
    return got == pid ? status : -1;
}

constexpr int stopped(int signal, int event = 0) { return event << 16 | signal << 8 | 0x7f; }

/// A child that is traced by the caller and has stopped of SIGSTOP; runs `body` afterwards, whose result is its status.
template <typename F>
pid_t start(F body) {
    fflush(stdout);
    const pid_t child = fork();
    if (child != 0) {
        CHECK_EQ(wait_status(child), stopped(SIGSTOP));
        return child;
    }
    check::failures = 0;
    if (call(PTRACE_TRACEME, 0) != 0) _exit(99);
    raise(SIGSTOP);
    int code = 0;
    if constexpr (std::is_void_v<decltype(body())>)
        body();
    else
        code = int(body());
    fflush(stdout);
    _exit(code ? code : check::result());
}

inline void resume(pid_t child, int signal = 0, long request = PTRACE_CONT) {
    CHECK_EQ(call(request, child, 0, (unsigned long)signal), 0);
}

/// Lets it run to its end, and judges that.
inline void finish(pid_t child, int code = 0) {
    resume(child);
    const int status = wait_status(child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(check::code_of(status), code);
}

inline void end(pid_t child) {
    kill(child, SIGKILL);
    const int status = wait_status(child);
    CHECK(check::died_of(status, SIGKILL));
}

#if defined(__riscv)
struct Registers { // asm/ptrace.h, which does not go together with sys/ptrace.h
    unsigned long pc, ra, sp, others[7], a0, a1, a2, a3, a4, a5, a6, a7, s2, rest[13];
};
static_assert(sizeof(Registers) == 256);
#elif defined(__loongarch__)
struct Registers {
    unsigned long regs[32], orig_a0, csr_era, csr_badv, reserved[10];
};
static_assert(sizeof(Registers) == 360);
#else
using Registers = user_regs_struct;
#endif
inline Registers registers_of(pid_t child) {
    Registers registers = {};
    iovec io = {&registers, sizeof registers};
    CHECK_EQ(call(PTRACE_GETREGSET, child, NT_PRSTATUS, &io), 0);
    CHECK_EQ(io.iov_len, sizeof registers);
    return registers;
}
inline void set_registers(pid_t child, Registers registers) {
    iovec io = {&registers, sizeof registers};
    CHECK_EQ(call(PTRACE_SETREGSET, child, NT_PRSTATUS, &io), 0);
}

#if defined(__x86_64__)
inline auto& pc(Registers& r) { return r.rip; }
inline auto& result(Registers& r) { return r.rax; }
inline auto& number(Registers& r) { return r.orig_rax; }
inline auto& second_argument(Registers& r) { return r.rsi; }
inline auto& first_argument(Registers& r) { return r.rdi; }
inline auto& stack(Registers& r) { return r.rsp; }
inline auto& kept(Registers& r) { return r.rbx; }
#elif defined(__aarch64__)
inline auto& pc(Registers& r) { return r.pc; }
inline auto& result(Registers& r) { return r.regs[0]; }
inline auto& number(Registers& r) { return r.regs[8]; }
inline auto& first_argument(Registers& r) { return r.regs[0]; }
inline auto& second_argument(Registers& r) { return r.regs[1]; }
inline auto& stack(Registers& r) { return r.sp; }
inline auto& kept(Registers& r) { return r.regs[19]; }
#elif defined(__riscv)
inline auto& pc(Registers& r) { return r.pc; }
inline auto& result(Registers& r) { return r.a0; }
inline auto& number(Registers& r) { return r.a7; }
inline auto& second_argument(Registers& r) { return r.a1; }
inline auto& stack(Registers& r) { return r.sp; }
inline auto& kept(Registers& r) { return r.s2; }
#elif defined(__loongarch__)
inline auto& pc(Registers& r) { return r.csr_era; }
inline auto& result(Registers& r) { return r.regs[4]; }
inline auto& number(Registers& r) { return r.regs[11]; }
inline auto& second_argument(Registers& r) { return r.regs[5]; }
inline auto& stack(Registers& r) { return r.regs[3]; }
inline auto& kept(Registers& r) { return r.regs[24]; }
#endif

} // namespace tracee
