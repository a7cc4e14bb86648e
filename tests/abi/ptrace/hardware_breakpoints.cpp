// arch: x86_64 aarch64
// Breakpoints and watchpoints by hardware: what stops whom, where, and what inherits them. What the registers
// themselves may hold: debug_registers.cpp, debug_register_sets.cpp.
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "hardware_breakpoints.hpp"

using namespace tracee;

namespace {

alignas(64) volatile long watched, other;

[[gnu::noinline]] int function(int a) {
    asm volatile("");
    return a + 1;
}

void hits() {
    const pid_t child = start([] {
        watched = 1;
        other = watched;
        for (int i = 0; i < 3; ++i) function(i);
        raise(SIGUSR1);
        watched = 5;
        return 7;
    });
    const auto place = reinterpret_cast<const volatile void*>(function);
    set_breakpoint(child, 0, &watched, Watch::write);
    set_breakpoint(child, 1, &other, Watch::read_write);
    set_breakpoint(child, 2, place, Watch::execute);
    resume(child);
    expect_breakpoint(child, &watched, Watch::write);
    CHECK_EQ(peek(child, (void*)&watched), stops_behind_access ? 1 : 0);
    pass_breakpoint(child, 0, &watched, Watch::write);
    CHECK_EQ(peek(child, (void*)&watched), 1);
    resume(child);
    expect_breakpoint(child, &other, Watch::read_write);
    pass_breakpoint(child, 1, &other, Watch::read_write);
    for (int i = 0; i < 3; ++i) {
        resume(child);
        expect_breakpoint(child, place, Watch::execute);
        Registers registers = registers_of(child);
        CHECK_EQ((unsigned long)first_argument(registers), (unsigned long)i);
        pass_breakpoint(child, 2, place, Watch::execute);
    }
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGUSR1));
    clear_breakpoint(child, 0, Watch::write);
    resume(child);
    CHECK_EQ(check::code_of(wait_status(child)), 7);
}

/// What is read only does not stop where writes are watched.
void kinds_of_access() {
    const pid_t child = start([] {
        for (int i = 0; i < 10; ++i) other = watched;
        watched = 2;
    });
    set_breakpoint(child, 0, &watched, Watch::write);
    resume(child);
    expect_breakpoint(child, &watched, Watch::write);
    Registers registers = registers_of(child);
    CHECK((unsigned long)pc(registers) != 0);
    CHECK_EQ(peek(child, (void*)&watched), stops_behind_access ? 2 : 0);
    clear_breakpoint(child, 0, Watch::write);
    finish(child, 0);
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
    set_breakpoint(child, 3, &watched, Watch::read_write);
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGUSR1));
    resume(child);
    expect_breakpoint(child, &watched, Watch::read_write);
    clear_breakpoint(child, 3, Watch::read_write);
    finish(child, 0);
}

/// Nothing comes to children, new threads and other programs.
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
    set_breakpoint(child, 0, &watched, Watch::write);
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGCHLD));
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGUSR1));
    CHECK(has_breakpoint(child, 0, Watch::write));
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP)); // the exec
    CHECK(!has_breakpoint(child, 0, Watch::write));
    finish(child, 9);
}

constexpr int writers = 6, rounds = 50;
volatile long places[writers];

/// Threads that watch different places, on fewer processors than there are threads: each is stopped by its own alone.
void each_its_own() {
    pid_t pids[writers];
    for (unsigned i = 0; i < writers; ++i) {
        pids[i] = start([] {
            for (int round = 0; round < rounds; ++round) {
                for (volatile long& each : places) each = round;
                sched_yield();
            }
        });
        set_breakpoint(pids[i], i % breakpoint_slots, places + i, Watch::write);
    }
    for (pid_t pid : pids) resume(pid);
    for (int round = 0; round < rounds; ++round)
        for (unsigned i = 0; i < writers; ++i) {
            expect_breakpoint(pids[i], places + i, Watch::write);
            pass_breakpoint(pids[i], i % breakpoint_slots, places + i, Watch::write);
            CHECK_EQ(peek(pids[i], (void*)(places + i)), round);
            for (unsigned later = i + 1; later < writers; ++later)
                CHECK_EQ(peek(pids[i], (void*)(places + later)), round == 0 ? 0 : round - 1);
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
    hits();
    kinds_of_access();
    in_the_kernel();
    heritage();
    each_its_own();
    return check::result();
}
