// arch: x86_64
// The debug registers of struct user (ptrace(2), PTRACE_POKEUSER): what they may hold, and what DR6 says of a hit. All
// else of breakpoints by hardware: hardware_breakpoints.cpp.
#include <cstddef>

#include "tracee.hpp"

using namespace tracee;

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

} // namespace

int main() {
    values();
    hits();
    return check::result();
}
