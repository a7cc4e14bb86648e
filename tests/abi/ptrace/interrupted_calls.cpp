// ptrace(2): a call that a stop interrupted, as the tracer finds it, and how it goes on when the tracer has meanwhile
// called a function of the program by hand, as debuggers do.
#include "machine.hpp"
#include "tracee.hpp"

using namespace tracee;

namespace {

enum class Shown { AsResult, SetBack }; // the restart code behind the call, or all as it was before the call
#if defined(__aarch64__) || defined(__riscv)
constexpr Shown shown = Shown::SetBack;
#else
constexpr Shown shown = Shown::AsResult;
#endif
#if defined(__x86_64__)
constexpr unsigned call_bytes = 2, call_instruction = 0x050f;
#elif defined(__aarch64__)
constexpr unsigned call_bytes = 4, call_instruction = 0xd4000001;
#elif defined(__riscv)
constexpr unsigned call_bytes = 4, call_instruction = 0x00000073;
#elif defined(__loongarch__)
constexpr unsigned call_bytes = 4, call_instruction = 0x002b0000;
#endif

constexpr long restart_if_requested = -512, restart_without_handler = -514, restart_by_block = -516;

bool is_call(pid_t child, unsigned long address) {
    const unsigned long mask = call_bytes == 2 ? 0xffff : 0xffffffff;
    return (static_cast<unsigned long>(peek(child, reinterpret_cast<void*>(address))) & mask) == call_instruction;
}

/// Stops a child that sleeps in a call with that signal and looks where it is; `first` is the call's first argument.
Registers stop_in_call(pid_t child, int signal, unsigned long first, long code) {
    CHECK(check::wait_asleep(child));
    kill(child, signal);
    CHECK_EQ(wait_status(child), stopped(signal));
    Registers registers = registers_of(child);
    if (shown == Shown::SetBack) {
        CHECK(is_call(child, pc(registers)));
        CHECK_EQ(result(registers), first);
    } else {
        CHECK(is_call(child, pc(registers) - call_bytes));
        CHECK_EQ(long(result(registers)), code);
    }
    return registers;
}

#if !defined(__loongarch__)
volatile int called = 0;
[[noreturn]] void call_me() {
    called = called + 1;
    for (;;) machine::breakpoint();
}

/// Has the child, which has stopped, call a function, and puts everything back.
void call_by_hand(pid_t child, Registers then) {
    Registers there = then;
    pc(there) = reinterpret_cast<unsigned long>(&call_me);
    stack(there) = ((stack(then) - 512) & ~15ul) - (shown == Shown::AsResult ? 8 : 0);
#if defined(__x86_64__)
    number(there) = ~0ul; // or the kernel would restart the call from there
#endif
    set_registers(child, there);
    const long before = peek(child, const_cast<int*>(&called));
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP));
    CHECK_EQ(int(peek(child, const_cast<int*>(&called))), int(before) + 1);
    set_registers(child, then);
}
#else
// There nothing but the kernel's own mark says that a call was interrupted, and the breakpoint takes it away.
void call_by_hand(pid_t, Registers) {}
#endif

void ignore(int) {}

/// Signals without handlers: the calls go on, also after calls by hand.
void test_goes_on() {
    int pipes[2];
    CHECK_OK(pipe(pipes));
    pid_t child = start([&] {
        char byte = 0;
        CHECK_EQ(syscall(SYS_read, pipes[0], &byte, 1), 1);
        CHECK_EQ(byte, '!');
    });
    resume(child);
    for (int i = 0; i < 3; i++) {
        const Registers then = stop_in_call(child, SIGWINCH, (unsigned long)pipes[0], restart_if_requested);
        if (i > 0) call_by_hand(child, then);
        resume(child);
    }
    CHECK(check::wait_asleep(child));
    CHECK_EQ(write(pipes[1], "!", 1), 1);
    CHECK_EQ(check::code_of(wait_status(child)), 0);

    child = start([&] {
        check::handle(SIGUSR1, ignore);
        CHECK_ERRNO(syscall(SYS_ppoll, nullptr, 0, nullptr, nullptr, 8), EINTR);
    });
    resume(child);
    for (int i = 0; i < 3; i++) {
        call_by_hand(child, stop_in_call(child, SIGWINCH, 0, restart_without_handler));
        resume(child);
    }
    CHECK(check::wait_asleep(child));
    kill(child, SIGUSR1);
    CHECK_EQ(wait_status(child), stopped(SIGUSR1));
    resume(child, SIGUSR1);
    CHECK_EQ(check::code_of(wait_status(child)), 0);
}

/// What counts down goes on by restart_syscall(2).
void test_counts_down() {
    timespec length = {1, 200'000'000}, began, now;
    clock_gettime(CLOCK_MONOTONIC, &began);
    const pid_t child = start([&] { CHECK_EQ(syscall(SYS_nanosleep, &length, nullptr), 0); });
    resume(child);
    const auto first = reinterpret_cast<unsigned long>(&length);
    call_by_hand(child, stop_in_call(child, SIGWINCH, first, restart_by_block));
    finish(child);
    clock_gettime(CLOCK_MONOTONIC, &now);
    const double passed = double(now.tv_sec - began.tv_sec) + double(now.tv_nsec - began.tv_nsec) / 1e9;
    CHECK(passed >= 1.2);
}

/// With a handler it is the handler's flag that counts, and the pc: who has moved it has taken the call away.
void test_handlers() {
    for (const int flags : {0, SA_RESTART}) {
        int pipes[2];
        CHECK_OK(pipe(pipes));
        const pid_t child = start([&] {
            struct sigaction action = {};
            action.sa_handler = ignore;
            action.sa_flags = flags;
            sigaction(SIGUSR1, &action, nullptr);
            char byte = 0;
            if (flags)
                CHECK_EQ(syscall(SYS_read, pipes[0], &byte, 1), 1);
            else
                CHECK_ERRNO(syscall(SYS_read, pipes[0], &byte, 1), EINTR);
        });
        resume(child);
        const Registers then = stop_in_call(child, SIGUSR1, (unsigned long)pipes[0], restart_if_requested);
        if (shown == Shown::SetBack) set_registers(child, then); // as they are
        resume(child, SIGUSR1);
        if (flags) CHECK(check::wait_asleep(child));
        CHECK_EQ(write(pipes[1], "!", 1), 1);
        CHECK_EQ(check::code_of(wait_status(child)), 0);
        close(pipes[0]), close(pipes[1]);
    }
}

/// A result that the tracer puts there counts; where the call is set back already, it is the first argument.
void test_changed() {
    int pipes[2], others[2];
    CHECK_OK(pipe(pipes));
    CHECK_OK(pipe(others));
    const pid_t child = start([&] {
        char byte = 0;
        const long got = syscall(SYS_read, pipes[0], &byte, 1);
        if (shown == Shown::SetBack)
            CHECK(got == 1 && byte == '?');
        else
            CHECK(got == 77 && byte == 0);
    });
    resume(child);
    Registers registers = stop_in_call(child, SIGWINCH, (unsigned long)pipes[0], restart_if_requested);
    result(registers) = shown == Shown::SetBack ? (unsigned long)others[0] : 77;
    set_registers(child, registers);
    CHECK_EQ(write(others[1], "?", 1), 1);
    finish(child);
}

} // namespace

int main() {
    test_goes_on();
    test_counts_down();
    test_handlers();
    test_changed();
    return check::result();
}
