// nice, affinity, policies, limits and usage of CPU time.
#include <csignal>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.hpp"

static void* yield_often(void* count) {
    for (int i = 0; i < 1000; i++) {
        ++*(std::atomic<int>*)count;
        sched_yield();
    }
    return nullptr;
}

int main() {
    cpu_set_t set, all;
    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    CHECK_GE(CPU_COUNT(&all), 1);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all)) continue;
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        CHECK_OK(sched_setaffinity(0, sizeof set, &set));
        CHECK_EQ(sched_getcpu(), cpu);
        unsigned number = ~0u;
        CHECK_OK(syscall(SYS_getcpu, &number, nullptr, nullptr));
        CHECK_EQ(number, unsigned(cpu));
    }
    CPU_ZERO(&set);
    CHECK_ERRNO(sched_setaffinity(0, sizeof set, &set), EINVAL);
    CHECK_ERRNO(sched_setaffinity(99999999, sizeof all, &all), ESRCH);
    CHECK_OK(sched_setaffinity(0, sizeof all, &all));

    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
    CHECK_OK(setpriority(PRIO_PROCESS, 0, 100));
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
    CHECK_ERRNO(getpriority(7, 0), EINVAL);
    CHECK_ERRNO(getpriority(PRIO_PROCESS, 99999999), ESRCH);

    sched_param param = {};
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    CHECK_OK(sched_setscheduler(0, SCHED_BATCH, &param));
    CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
    param.sched_priority = 5;
    CHECK_ERRNO(sched_setscheduler(0, SCHED_OTHER, &param), EINVAL);
    CHECK_ERRNO(sched_setscheduler(0, 77, &param), EINVAL);
    CHECK_EQ(sched_get_priority_max(SCHED_FIFO), 99);
    CHECK_EQ(sched_get_priority_min(SCHED_RR), 1);
    CHECK_ERRNO(sched_get_priority_max(77), EINVAL);

    std::atomic<int> count{0};
    pthread_t threads[8];
    for (pthread_t& thread : threads) pthread_create(&thread, nullptr, yield_often, &count);
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    CHECK_EQ(count.load(), 8000);

    rlimit limit;
    CHECK_OK(getrlimit(RLIMIT_STACK, &limit));
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? RLIM_INFINITY : limit.rlim_max + 1;
    if (limit.rlim_max != RLIM_INFINITY) CHECK_ERRNO(setrlimit(RLIMIT_STACK, &limit), EINVAL);
    CHECK_ERRNO(syscall(SYS_prlimit64, 0, 16, nullptr, &limit), EINVAL);
    CHECK_ERRNO(syscall(SYS_prlimit64, 99999999, 0, nullptr, &limit), ESRCH);

    // RLIMIT_CPU: SIGXCPU at the soft limit.
    pid_t child = fork();
    if (child == 0) {
        limit = {1, 3};
        setrlimit(RLIMIT_CPU, &limit);
        for (;;) {
        }
    }
    int status = 0;
    rusage usage;
    CHECK_EQ(wait4(child, &status, 0, &usage), child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGXCPU);
    CHECK_GE(usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec, 700000);
    CHECK_OK(getrusage(RUSAGE_CHILDREN, &usage));
    CHECK_GE(usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec, 700000);
    return check::result();
}
