// arch: x86_64
// The debug registers of struct user (ptrace(2), PTRACE_POKEUSER): breakpoints and watchpoints by hardware.
#include <cstddef>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "tracee.hpp"

using namespace tracee;
using check::eventually;

namespace {

alignas(64) volatile long watched;
alignas(64) volatile char bytes[64];

[[gnu::noinline]] int function(int a) {
    asm volatile("");
    return a + 1;
}

enum Kind : unsigned long { execute, write_only, read_write = 3 };
enum Length : unsigned long { one, two, eight, four };
constexpr unsigned long local(int number, Kind kind, Length length = one) {
    return 1ul << (2 * number) | (kind | length << 2) << (16 + 4 * number);
}
constexpr unsigned long status_fixed = 0xffff0ff0, status_step = 1 << 14;
constexpr int status_of = 6, control = 7;

unsigned long place(int number) { return offsetof(struct user, u_debugreg) + number * 8; }

long set(pid_t pid, int number, unsigned long value) { return call(PTRACE_POKEUSER, pid, place(number), value); }
template <typename T>
long set(pid_t pid, int number, T* address) {
    return set(pid, number, (unsigned long)address);
}

unsigned long get(pid_t pid, int number) {
    unsigned long value = 0x5a5a;
    CHECK_EQ(call(PTRACE_PEEKUSER, pid, place(number), &value), 0);
    return value;
}

/// The tracee's next stop is that of breakpoint `number`.
void expect_hit(pid_t pid, int number) {
    CHECK_EQ(wait_status(pid), stopped(SIGTRAP));
    siginfo_t info = {};
    CHECK_EQ(call(PTRACE_GETSIGINFO, pid, 0, &info), 0);
    CHECK_EQ(info.si_code, 4); // TRAP_HWBKPT
    CHECK_EQ((unsigned long)info.si_addr, (unsigned long)registers_of(pid).rip);
    CHECK_EQ(get(pid, status_of), status_fixed | 1ul << number);
}

void values() {
    const pid_t child = start([] {});
    for (int number = 0; number < 8; ++number) CHECK_EQ(get(child, number), number == status_of ? status_fixed : 0);
    for (unsigned long beyond : {place(8), place(9)}) {
        long word = 1;
        CHECK_EQ(call(PTRACE_PEEKUSER, child, beyond, &word), 0);
        CHECK_EQ(word, 0);
        CHECK_ERRNO(call(PTRACE_POKEUSER, child, beyond, 0ul), EIO);
    }
    long word;
    CHECK_ERRNO(call(PTRACE_PEEKUSER, child, place(10), &word), EIO);
    for (unsigned long far : {0xffff888000000000, ~0ul, 0xffffffff80000000}) CHECK_ERRNO(set(child, 1, far), EINVAL);
    CHECK_EQ(get(child, 1), 0ul);
    CHECK_OK(set(child, 1, 0x7fffffffefff));
    CHECK_EQ(get(child, 1), 0x7fffffffefff);
    CHECK_ERRNO(set(child, 4, 0ul), EIO);
    CHECK_ERRNO(set(child, 5, 0ul), EIO);
    for (unsigned long any : {0ul, ~0ul, 0x1234ul}) {
        CHECK_OK(set(child, status_of, any));
        CHECK_EQ(get(child, status_of), any);
    }
    // One that has an address is judged although it is off.
    for (unsigned long bad : {0xf00000ul, 0x200000ul}) CHECK_ERRNO(set(child, control, bad), EINVAL);
    // Kept as it was written, whatever of it concerns nobody.
    for (unsigned long any : {0xff0f0000ul, 0xfc00ul, 0x300ul, 1ul << 32, 0ul}) {
        CHECK_OK(set(child, control, any));
        CHECK_EQ(get(child, control), any);
    }
    CHECK_OK(set(child, 0, &watched));
    CHECK_OK(set(child, control, local(0, write_only, eight)));
    CHECK_OK(set(child, control, 2ul)); // global as good as local; without more it is to be executed
    CHECK_OK(set(child, control, local(0, write_only, eight)));
    for (unsigned long bad : {local(0, Kind(2)), local(0, execute, four), local(0, execute, two)})
        CHECK_ERRNO(set(child, control, bad), EINVAL);
    CHECK_EQ(get(child, control), local(0, write_only, eight));
    CHECK_ERRNO(set(child, 0, (unsigned long)&watched + 4), EINVAL); // not aligned to what it is in use for
    CHECK_EQ(get(child, 0), (unsigned long)&watched);
    CHECK_OK(set(child, 2, (unsigned long)&watched + 1));
    for (Length length : {two, four, eight}) CHECK_ERRNO(set(child, control, local(2, read_write, length)), EINVAL);
    CHECK_OK(set(child, control, local(2, read_write)));
    CHECK_OK(set(child, control, 0ul));
    finish(child, 0);
}

void hits() {
    const pid_t child = start([] {
        watched = 1;
        (void)bytes[1];
        bytes[2] = 1;
        for (int i = 0; i < 3; ++i) function(i);
        raise(SIGUSR1);
        watched = 5;
        return 7;
    });
    CHECK_OK(set(child, 0, &watched));
    CHECK_OK(set(child, 1, bytes + 1));
    CHECK_OK(set(child, 2, function));
    CHECK_OK(set(child, control, local(0, write_only, eight) | local(1, read_write) | local(2, execute)));
    resume(child);
    expect_hit(child, 0); // behind the write
    CHECK_EQ(peek(child, (void*)&watched), 1);
    resume(child);
    expect_hit(child, 1);
    for (int i = 0; i < 3; ++i) {
        resume(child);
        expect_hit(child, 2); // before the instruction, and only once
        CHECK_EQ((unsigned long)registers_of(child).rip, (unsigned long)function);
        CHECK_EQ(registers_of(child).rdi, (unsigned long)i);
    }
    resume(child, 0, PTRACE_SINGLESTEP);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP));
    CHECK_EQ(get(child, status_of), status_fixed | status_step);
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGUSR1));
    CHECK_OK(set(child, control, 0ul));
    resume(child);
    CHECK_EQ(check::code_of(wait_status(child)), 7);
}

/// What the kernel reads and writes for the program is not the program's doing.
void in_the_kernel() {
    const pid_t child = start([] {
        int ends[2];
        CHECK_OK(pipe(ends));
        for (int i = 0; i < 100; ++i) {
            CHECK_EQ(write(ends[1], (void*)&watched, sizeof watched), ssize_t(sizeof watched));
            CHECK_EQ(read(ends[0], (void*)&watched, sizeof watched), ssize_t(sizeof watched));
        }
        raise(SIGUSR1);
        watched = 2;
        return check::result();
    });
    CHECK_OK(set(child, 3, &watched));
    CHECK_OK(set(child, control, local(3, read_write, eight)));
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGUSR1));
    resume(child);
    expect_hit(child, 3);
    finish(child, 0);
}

/// Of the same debug registers nothing comes to children, new threads and other programs.
void heritage() {
    const pid_t child = start([] {
        const pid_t grandchild = fork();
        if (grandchild == 0) {
            watched = 3;
            _exit(4);
        }
        int status = -1;
        CHECK_EQ(waitpid(grandchild, &status, 0), grandchild);
        CHECK_EQ(status, 4 << 8);
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, nullptr, [](void*) -> void* { return watched = 4, nullptr; }, nullptr), 0);
        pthread_join(thread, nullptr);
        raise(SIGUSR1);
        execl("/proc/self/exe", "self", "write", nullptr);
        return 1;
    });
    CHECK_OK(set(child, 0, &watched));
    CHECK_OK(set(child, control, local(0, write_only, eight)));
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGCHLD));
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGUSR1));
    CHECK_EQ(get(child, control), local(0, write_only, eight));
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP)); // the exec
    for (int number : {0, control}) CHECK_EQ(get(child, number), 0ul);
    finish(child, 9);
}

constexpr int writers = 6, rounds = 50;
volatile long places[writers];

/// Threads that watch different places, on fewer processors than there are threads: each is stopped by its own alone.
void each_its_own() {
    pid_t pids[writers];
    for (int i = 0; i < writers; ++i) {
        pids[i] = start([] {
            for (int round = 0; round < rounds; ++round) {
                for (volatile long& each : places) each = round;
                sched_yield();
            }
        });
        CHECK_OK(set(pids[i], i % 4, places + i));
        CHECK_OK(set(pids[i], control, local(i % 4, write_only, eight)));
    }
    for (pid_t pid : pids) resume(pid);
    for (int round = 0; round < rounds; ++round)
        for (int i = 0; i < writers; ++i) {
            expect_hit(pids[i], i % 4);
            CHECK_EQ(peek(pids[i], (void*)(places + i)), round);
            for (int other = i + 1; other < writers; ++other)
                CHECK_EQ(peek(pids[i], (void*)(places + other)), round == 0 ? 0 : round - 1);
            resume(pids[i]);
        }
    for (pid_t pid : pids) CHECK_EQ(check::code_of(wait_status(pid)), 0);
}

} // namespace

int main(int count, char**) {
    if (count > 1) { // executed by heritage()
        watched = 1;
        return 9;
    }
    values();
    hits();
    in_the_kernel();
    heritage();
    each_its_own();
    return check::result();
}
