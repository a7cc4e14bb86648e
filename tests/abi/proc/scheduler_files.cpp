// /proc/schedstat ("Scheduler Statistics" of Linux's documentation, versions 15 to 17) and /proc/PID/sched.
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "affinity.hpp"
#include "asleep.hpp"
#include "proc_text.hpp"

namespace {

// Sleeps at least ten times; one that is over before it begins is none.
void naps() {
    for (int i = 0; i < 20; i++) check::nap();
}

struct CpuLine {
    unsigned long long yields, zero, schedules, idles, wake_ups, local, ran, waited, slices;
};

CpuLine line_of(int cpu) {
    const char* text = proc_text::read_file("/proc/schedstat");
    if (!text) check::skip("built without statistics of the scheduler");
    char name[16];
    snprintf(name, sizeof name, "\ncpu%d ", cpu);
    const char* at = strstr(text, name);
    CpuLine line = {};
    CHECK(at != nullptr);
    if (!at) return line;
    char rest = 0;
    CHECK_EQ(sscanf(at + strlen(name), "%llu %llu %llu %llu %llu %llu %llu %llu %llu%c", &line.yields, &line.zero,
                    &line.schedules, &line.idles, &line.wake_ups, &line.local, &line.ran, &line.waited, &line.slices,
                    &rest),
             10);
    CHECK_EQ(rest, '\n');
    return line;
}

void test_head() {
    const char* text = proc_text::read_file("/proc/schedstat");
    if (!text) check::skip("built without statistics of the scheduler");
    int version = 0;
    unsigned long long timestamp = 0;
    CHECK_EQ(sscanf(text, "version %d\ntimestamp %llu\n", &version, &timestamp), 2);
    CHECK(version >= 15 && version <= 17);
    int cpus = 0;
    for (const char* at = strstr(text, "\ncpu"); at; at = strstr(at + 1, "\ncpu")) cpus++;
    CHECK_EQ(cpus, int(sysconf(_SC_NPROCESSORS_ONLN)));
}

std::atomic<bool> stop;
void* spin(void*) {
    while (!stop) {
    }
    return nullptr;
}

void test_counts(int cpu) {
    check::stay_on(cpu);
    // Linux counts the first six only when told to.
    proc_text::write_file("/proc/sys/kernel/sched_schedstats", "1");
    const CpuLine before = line_of(cpu);
    for (int i = 0; i < 10; i++) sched_yield();
    naps();
    stop = false;
    pthread_t thread{};
    CHECK_EQ(pthread_create(&thread, nullptr, spin, nullptr), 0);
    timespec begin, now;
    CHECK_OK(clock_gettime(CLOCK_MONOTONIC, &begin));
    do {
        CHECK_OK(clock_gettime(CLOCK_MONOTONIC, &now));
    } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < 100);
    stop = true;
    pthread_join(thread, nullptr);
    const CpuLine after = line_of(cpu);
    CHECK_EQ(after.zero, 0u);
    CHECK_GE(after.yields, before.yields + 10);
    CHECK_GE(after.schedules, before.schedules + 10);
    CHECK_GE(after.idles, before.idles + 1);
    CHECK_GE(after.wake_ups, before.wake_ups + 10);
    CHECK_GE(after.wake_ups - before.wake_ups, after.local - before.local);
    CHECK_GE(after.ran, before.ran + 50000000);
    CHECK_GE(after.waited, before.waited + 20000000);
    CHECK_GE(after.slices, before.slices + 10);
    proc_text::write_file("/proc/sys/kernel/sched_schedstats", "0");
}

// The number behind a field of /proc/PID/sched; -1 where there is none. Times in milliseconds.
double field(const char* path, const char* name) {
    const char* text = proc_text::read_file(path);
    if (!text) check::skip("built without /proc/PID/sched");
    for (const char* at = strchr(text, '\n'); at; at = strchr(at + 1, '\n')) {
        if (strncmp(at + 1, name, strlen(name)) != 0 || at[1 + strlen(name)] != ' ') continue;
        // 45 columns for the name, a colon, 21 for the number.
        CHECK_EQ(at[46], ':');
        CHECK_EQ(int(strcspn(at + 1, "\n")), 67);
        return strtod(at + 47, nullptr);
    }
    return -1;
}

void test_thread() {
    const char* path = "/proc/self/sched";
    char expected[100];
    const char* text = proc_text::read_file(path);
    if (!text) check::skip("built without /proc/PID/sched");
    snprintf(expected, sizeof expected, "(%d, #threads: 1)\n", getpid());
    CHECK(strstr(text, expected) != nullptr);
    CHECK(strstr(text, "\n-------------------------------------------------------------------\n") != nullptr);
    CHECK_EQ(field(path, "policy"), 0.0);
    CHECK_EQ(field(path, "prio"), 120.0);
    CHECK_EQ(field(path, "se.load.weight"), 1048576.0);
    CHECK_GE(field(path, "clock-delta"), 0.0);
    CHECK_GE(field(path, "se.vruntime") + 1e12, 0.0);
    const double ran = field(path, "se.sum_exec_runtime"), voluntary = field(path, "nr_voluntary_switches");
    naps();
    CHECK_GE(field(path, "nr_voluntary_switches"), voluntary + 10);
    CHECK_GE(field(path, "nr_switches"), field(path, "nr_voluntary_switches"));
    CHECK(field(path, "se.sum_exec_runtime") > ran);
    // To another CPU and back.
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1) {
        check::stay_on(0);
        const double moved = field(path, "se.nr_migrations");
        check::stay_on(1);
        check::stay_on(0);
        CHECK_GE(field(path, "se.nr_migrations"), moved + 2);
    }
    // Any write is taken.
    CHECK(proc_text::write_file(path, "0"));
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, 10), 0);
    CHECK_EQ(field(path, "prio"), 130.0);
    CHECK_EQ(field(path, "se.load.weight"), 110.0 * 1024);
    sched_param parameters = {};
    parameters.sched_priority = 7;
    CHECK_OK(sched_setscheduler(0, SCHED_FIFO, &parameters));
    CHECK_EQ(field(path, "policy"), double(SCHED_FIFO));
    CHECK_EQ(field(path, "prio"), 92.0);
    parameters.sched_priority = 0;
    CHECK_OK(sched_setscheduler(0, SCHED_OTHER, &parameters));
    char name[64];
    snprintf(name, sizeof name, "/proc/self/task/%d/sched", getpid());
    CHECK_EQ(field(name, "prio"), 130.0);
}

} // namespace

int main() {
    test_head();
    test_counts(int(sysconf(_SC_NPROCESSORS_ONLN)) - 1);
    check::run_in_child(test_thread);
    return check::result();
}
