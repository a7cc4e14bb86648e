// What threads, switches and clocks cost, in instructions under -icount, else in nanoseconds. Prints a line
// "bench NAME VALUE" for each. Nothing here idles on one processor: there is always somebody to run.
//
// null, clock-call: calls that do (nearly) nothing. clock-vdso: the same clock without a call. thread: created and
// joined. ring-N: a byte handed on by pipes around N processes, each hop. futex: a turn passed to another thread and
// back. yield: two threads that yield to one another, each yield. timer: what a thread that sleeps 100 µs again and
// again takes away from one that runs, each time. vfork+exec, spawn: a static program until it has ended. hackbench:
// senders and receivers on pipes, each message.
//
// With "--wall" what several CPUs do to these, by the clock: of the timer how long a sleep of 100 µs takes while nobody
// else runs, and jobs: four processes that compute for as long as one needs some 10 ms, as `make -j` would start them.
#include <atomic>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <vector>

#include "measure.hpp"

using namespace measuring;

namespace {

const char* self;

void null_call(int count) {
    for (int i = 0; i < count; i++) syscall(SYS_getppid);
}

void clock_call(int count) {
    timespec now;
    for (int i = 0; i < count; i++) syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
}

void clock_vdso(int count) {
    timespec now;
    for (int i = 0; i < count; i++) clock_gettime(CLOCK_MONOTONIC, &now);
}

pthread_t start(void* (*body)(void*), void* argument = nullptr) {
    pthread_t thread;
    must(pthread_create(&thread, nullptr, body, argument) == 0, "pthread_create");
    return thread;
}

void thread_create_join(int count) {
    for (int i = 0; i < count; i++) pthread_join(start([](void* none) { return none; }), nullptr);
}

pid_t child(auto body) {
    const pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid != 0) return pid;
    body();
    _exit(0);
}

void pass_on(int from, int to) {
    char byte;
    while (read(from, &byte, 1) == 1 && write(to, &byte, 1) == 1) {
    }
}

/// This process is the first of the ring; a hop is what the way around takes, divided by its length.
void ring(const char* name, int length) {
    int first[2];
    must(pipe(first) == 0, "pipe");
    int from = first[0];
    std::vector<pid_t> others;
    for (int i = 1; i < length; i++) {
        int next[2];
        must(pipe(next) == 0, "pipe");
        others.push_back(child([&] {
            close(first[1]), close(next[0]);
            pass_on(from, next[1]);
        }));
        close(from), close(next[1]);
        from = next[0];
    }
    const double around = least(1000 / length, [&](int times) {
        char byte = 0;
        for (int i = 0; i < times; i++) {
            must(write(first[1], &byte, 1) == 1, "write");
            must(read(from, &byte, 1) == 1, "read");
        }
    });
    close(first[1]), close(from);
    for (pid_t other : others) waitpid(other, nullptr, 0);
    report(name, around / length);
}

/// A word that two threads take turns to change; 2 ends it.
alignas(64) std::atomic<int> turn;

void take_turn(int mine, int next) {
    for (int now = turn; now != mine; now = turn) {
        if (now == 2) return;
        syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, now, nullptr, nullptr, 0);
    }
    turn = next;
    syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

void futex_round_trip(const char* name) {
    turn = 0;
    const pthread_t other = start([](void* none) {
        while (turn != 2) take_turn(1, 0);
        return none;
    });
    measure(name, 500, [](int times) {
        for (int i = 0; i < times; i++) take_turn(0, 1);
    });
    take_turn(0, 2);
    pthread_join(other, nullptr);
}

std::atomic<bool> stopping;

/// A kernel need not switch at each yield: what both threads did is counted.
void yields(const char* name) {
    static std::atomic<long> of_other;
    stopping = false;
    const pthread_t other = start([](void* none) {
        for (; !stopping; of_other.fetch_add(1, std::memory_order_relaxed)) sched_yield();
        return none;
    });
    double best = 1e18;
    for (int round = 0; round < rounds; round++) {
        constexpr int times = 500;
        const long before = of_other;
        const uint64_t begin = counter::now();
        for (int i = 0; i < times; i++) sched_yield();
        const double taken = counter::units(counter::now() - begin);
        best = std::min(best, taken / double(times + of_other - before));
    }
    stopping = true;
    pthread_join(other, nullptr);
    report(name, best);
}

double spins_in(uint64_t units) {
    double spins = 0;
    for (const uint64_t begin = counter::now(); counter::units(counter::now() - begin) < double(units);) spins++;
    return spins;
}

void timer_wake_ups(const char* name) {
    constexpr uint64_t span = 20'000'000;
    static std::atomic<long> woken;
    spins_in(span / 4);
    const double alone = spins_in(span);
    stopping = false, woken = 0;
    const pthread_t sleeper = start([](void* none) {
        while (!stopping) {
            const timespec pause = {0, 100'000};
            clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
            woken++;
        }
        return none;
    });
    spins_in(span / 4);
    const long before = woken;
    const double disturbed = spins_in(span);
    const long times = woken - before;
    stopping = true;
    pthread_join(sleeper, nullptr);
    must(times > 0, "the timer");
    report(name, (alone - disturbed) / alone * double(span) / double(times));
}

char* const end_at_once[] = {const_cast<char*>("bench"), const_cast<char*>("--exit"), nullptr};

void vfork_exec(int count) {
    for (int i = 0; i < count; i++) {
        const pid_t pid = vfork();
        if (pid == 0) {
            execv(self, end_at_once);
            _exit(1);
        }
        must(pid > 0 && waitpid(pid, nullptr, 0) == pid, "vfork");
    }
}

void spawn(int count) {
    for (int i = 0; i < count; i++) {
        pid_t pid;
        must(posix_spawn(&pid, self, nullptr, nullptr, end_at_once, environ) == 0, "posix_spawn");
        must(waitpid(pid, nullptr, 0) == pid, "waitpid");
    }
}

/// As the program of that name: in each group every sender writes to every receiver.
void hackbench(const char* name) {
    constexpr int groups = 2, members = 5, messages = 20, size = 100;
    const double all = least(1, [](int) {
        std::vector<pid_t> everybody;
        for (int group = 0; group < groups; group++) {
            int pipes[members][2];
            for (auto& ends : pipes) must(pipe(ends) == 0, "pipe");
            for (int i = 0; i < members; i++) {
                everybody.push_back(child([&] { // a receiver
                    char message[size];
                    for (int left = members * messages * size; left > 0;) {
                        const long got = read(pipes[i][0], message, size);
                        must(got > 0, "read");
                        left -= int(got);
                    }
                }));
                everybody.push_back(child([&] { // a sender
                    const char message[size] = {};
                    for (int round = 0; round < messages; round++)
                        for (auto& ends : pipes) must(write(ends[1], message, size) == size, "write");
                }));
            }
            for (auto& ends : pipes) close(ends[0]), close(ends[1]);
        }
        for (pid_t one : everybody) waitpid(one, nullptr, 0);
    });
    report(name, all / (groups * members * members * messages));
}

void short_sleeps(int count) {
    for (int i = 0; i < count; i++) {
        const timespec pause = {0, 100'000};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
    }
}

void compute(long steps) {
    volatile long sum = 0;
    for (long i = 0; i < steps; i++) sum = sum + i;
}

/// What one of them computes is the same on every kernel, so that the clock tells how many CPUs were busy.
void jobs(int count) {
    for (int i = 0; i < count; i++) {
        std::vector<pid_t> workers;
        for (int worker = 0; worker < 4; worker++) workers.push_back(child([] { compute(3'000'000); }));
        for (pid_t worker : workers) waitpid(worker, nullptr, 0);
    }
}

} // namespace

int main(int count, char** arguments) {
    if (count > 1 && strcmp(arguments[1], "--exit") == 0) _exit(0);
    const bool wall = count > 1 && strcmp(arguments[1], "--wall") == 0;
    self = arguments[0];
    measure("null", 2000, null_call);
    measure("clock-call", 2000, clock_call);
    measure("clock-vdso", 2000, clock_vdso);
    measure("thread", 50, thread_create_join);
    ring("ring-2", 2);
    ring("ring-8", 8);
    ring("ring-32", 32);
    futex_round_trip("futex");
    yields("yield");
    if (wall)
        measure("timer", 50, short_sleeps);
    else
        timer_wake_ups("timer");
    measure("vfork+exec", 10, vfork_exec);
    measure("spawn", 10, spawn);
    hackbench("hackbench");
    if (wall) measure("jobs", 1, jobs);
}
