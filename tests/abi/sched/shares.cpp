// What nice values are worth: three busy processes on one CPU with nice -5, 0 and 5 get CPU time in the ratio of the
// weights that sched(7) speaks of, 3121 to 1024 to 335, each within 10 % of its share after three seconds, with --long
// within 3 % after a minute. The same for threads of one process, which have nice values of their own on Linux
// (setpriority(2), "C library/kernel differences").
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "affinity.hpp"
#include "asleep.hpp"
#include "memory.hpp"

using namespace check;

namespace {

constexpr int count = 3;
constexpr int nice_values[count] = {-5, 0, 5};
constexpr double weights[count] = {3121, 1024, 335};

struct State {
    std::atomic<int> running{0};
    std::atomic<bool> over{false};
};
State* common;

/// The first CPU but one: the first is where much of everything else happens.
int some_cpu() {
    cpu_set_t all;
    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    int found = 0;
    for (int cpu = 0, seen = 0; cpu < CPU_SETSIZE && seen < 2; cpu++)
        if (CPU_ISSET(cpu, &all)) found = cpu, seen++;
    return found;
}

double read_clock(clockid_t clock) {
    timespec time = {-1, -1};
    CHECK_OK(clock_gettime(clock, &time));
    return double(time.tv_sec) + double(time.tv_nsec) / 1e9;
}

/// The clock of a thread's CPU time by its number, which may be another process's main thread.
clockid_t clock_of(pid_t tid, bool process) { return clockid_t((~unsigned(tid) << 3) | (process ? 2 : 6)); }

void burn(int nice) {
    sched_param none = {0};
    CHECK_OK(sched_setscheduler(0, SCHED_OTHER, &none));
    CHECK_OK(setpriority(PRIO_PROCESS, 0, nice));
    common->running++;
    while (!common->over.load(std::memory_order_relaxed)) asm volatile("");
}

/// We are on the same CPU and come before all of them, so none of their clocks advances while we read.
void compare(const clockid_t (&clocks)[count]) {
    // They run only while we sleep.
    while (common->running < count) usleep(1000);
    const double length = memory::long_run() ? 60 : 3;
    const double tolerance = memory::long_run() ? 0.03 : 0.10;
    double had[count], sum = 0, sum_of_weights = 0;
    const double begin = read_clock(CLOCK_MONOTONIC);
    for (int i = 0; i < count; i++) had[i] = read_clock(clocks[i]);
    usleep(useconds_t(length * 1e6));
    for (int i = 0; i < count; i++) sum += had[i] = read_clock(clocks[i]) - had[i];
    const double passed = read_clock(CLOCK_MONOTONIC) - begin;
    for (double weight : weights) sum_of_weights += weight;
    for (int i = 0; i < count; i++) {
        const double relative = had[i] / sum / (weights[i] / sum_of_weights);
        printf("nice %2d: %.3f s of %.3f s, %.4f of its share\n", nice_values[i], had[i], sum, relative);
        CHECK(relative > 1 - tolerance && relative < 1 + tolerance);
    }
    // And nobody else had anything worth speaking of.
    CHECK(sum > passed * 0.8 && sum < passed * 1.01);
}

void processes() {
    pid_t children[count];
    clockid_t clocks[count];
    for (int i = 0; i < count; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            failures = 0;
            burn(nice_values[i]);
            _exit(result());
        }
        clocks[i] = clock_of(children[i], true);
    }
    compare(clocks);
    common->over = true;
    for (pid_t child : children) {
        int status = -1;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
    }
}

std::atomic<pid_t> tids[count];

void* burn_as_thread(void* argument) {
    const long number = long(argument);
    tids[number] = pid_t(syscall(SYS_gettid));
    burn(nice_values[number]);
    return nullptr;
}

void threads() {
    pthread_t made[count];
    clockid_t clocks[count];
    for (long i = 0; i < count; i++) {
        pthread_create(&made[i], nullptr, burn_as_thread, reinterpret_cast<void*>(i));
        CHECK(eventually([&] { return tids[i] != 0; }));
        clocks[i] = clock_of(tids[i], false);
    }
    compare(clocks);
    common->over = true;
    for (pthread_t thread : made) pthread_join(thread, nullptr);
}

} // namespace

int main() {
    common = shared<State>();
    stay_on(some_cpu());
    sched_param urgent = {50};
    CHECK_OK(sched_setscheduler(0, SCHED_FIFO, &urgent));
    processes();
    common->running = 0;
    common->over = false;
    threads();
    return result();
}
