// /proc/PID/schedstat and its threads': time on a CPU, time spent waiting for one, and how often a thread got one
// (proc(5)).
#include <ctime>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "asleep.hpp"

namespace {

struct Statistics {
    unsigned long long ran = 0, waited = 0, times = 0;
};

Statistics of(pid_t tid) {
    char name[64], text[256] = {};
    snprintf(name, sizeof name, "/proc/self/task/%d/schedstat", int(tid));
    FILE* file = fopen(name, "r");
    if (!file) check::skip("built without statistics of the scheduler");
    fread(text, 1, sizeof text - 1, file);
    fclose(file);
    Statistics statistics;
    char rest;
    CHECK_EQ(sscanf(text, "%llu %llu %llu%c", &statistics.ran, &statistics.waited, &statistics.times, &rest), 4);
    CHECK_EQ(rest, '\n');
    return statistics;
}

unsigned long long cpu_ns() {
    timespec time;
    CHECK_OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time));
    return (unsigned long long)time.tv_sec * 1000000000 + (unsigned long long)time.tv_nsec;
}

void run_for(unsigned long long ns) {
    for (const unsigned long long end = cpu_ns() + ns; cpu_ns() < end;) {
    }
}

void* run(void*) {
    run_for(50000000);
    return nullptr;
}

} // namespace

int main() {
    const pid_t self = getpid();
    const Statistics before = of(self);
    run_for(20000000);
    const Statistics after = of(self);
    CHECK_GE(after.ran - before.ran, 20000000u);
    CHECK_GE(cpu_ns(), after.ran);
    CHECK_GE(after.times, 1u);
    for (int i = 0; i < 20; i++) check::nap(); // one that is over before it begins is none
    CHECK_GE(of(self).times, after.times + 1);

    // Two threads that run all the time on one CPU: each waits while the other runs.
    cpu_set_t all, one;
    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
    CHECK_OK(sched_setaffinity(0, sizeof one, &one));
    const Statistics alone = of(self);
    pthread_t other{};
    CHECK_EQ(pthread_create(&other, nullptr, run, nullptr), 0);
    run_for(50000000);
    pthread_join(other, nullptr);
    CHECK_GE(of(self).waited - alone.waited, 10000000u);
    CHECK_ERRNO(open("/proc/self/task/1/schedstat", 0), ENOENT);
    return check::result();
}
