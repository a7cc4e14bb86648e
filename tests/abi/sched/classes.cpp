// timeout: 120
// What the scheduling classes do: who runs first on one CPU, turns, preemption by wake-ups, spreading over the CPUs,
// what is left to ordinary threads, reservations and RLIMIT_RTTIME. sched(7), getrlimit(2).
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "affinity.hpp"
#include "asleep.hpp"
#include "proc_text.hpp"
#include "scheduling_attributes.hpp"

namespace {

constexpr int most_cpus = 64;

int first_cpu() {
    cpu_set_t all;
    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all)) return cpu;
    return 0;
}

void become(int policy, int priority) {
    sched_param param = {priority};
    CHECK_OK(sched_setscheduler(0, policy, &param));
}

double seconds(clockid_t clock) {
    timespec time;
    CHECK_OK(clock_gettime(clock, &time));
    return double(time.tv_sec) + double(time.tv_nsec) / 1e9;
}

/// A thread of a policy and a priority from its first instruction on. The library makes it with its maker's priority
/// and then lowers it: so it comes before its equals (sched(7)), and of several the last made runs first.
pthread_t start(int policy, int priority, void* (*body)(void*), void* argument) {
    pthread_attr_t attributes;
    sched_param param = {priority};
    pthread_attr_init(&attributes);
    pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attributes, policy);
    pthread_attr_setschedparam(&attributes, &param);
    pthread_t thread{};
    CHECK_EQ(pthread_create(&thread, &attributes, body, argument), 0);
    pthread_attr_destroy(&attributes);
    return thread;
}

struct Log {
    std::atomic<int> length{0};
    char entries[4096];
    void add(char who) { entries[length++] = who; }
};
Log* written;

long sleeps() {
    rusage usage;
    CHECK_OK(getrusage(RUSAGE_THREAD, &usage));
    return usage.ru_nvcsw;
}
long sleeps_before;
constexpr int once_more = 99;

/// Ends this attempt when making threads has meant waiting for something, for then those made before have run.
void check_awake() {
    if (sleeps() != sleeps_before) _exit(once_more);
}

/// What a test does on one CPU, in a child of priority 50, so that nobody it starts runs before it sleeps.
template <typename Body>
void on_one_cpu(Body body) {
    int status = -1, attempts = 0;
    do {
        const pid_t child = fork();
        if (child == 0) {
            check::failures = 0;
            written = new Log;
            check::stay_on(first_cpu());
            become(SCHED_FIFO, 50);
            sleeps_before = sleeps();
            body();
            _exit(check::result());
        }
        CHECK_EQ(waitpid(child, &status, 0), child);
    } while (WIFEXITED(status) && WEXITSTATUS(status) == once_more && ++attempts < 50);
    CHECK_EQ(status, 0);
}

template <int Times, bool Yields>
void* write_often(void* who) {
    for (int i = 0; i < Times; i++) {
        written->add(*(char*)who);
        if (Yields) sched_yield();
    }
    return nullptr;
}

void order_of_priorities() {
    on_one_cpu([] {
        char names[] = "abcd";
        const int priorities[] = {20, 30, 10, 40};
        pthread_t threads[4];
        for (int i = 0; i < 4; i++) threads[i] = start(SCHED_FIFO, priorities[i], write_often<3, false>, &names[i]);
        check_awake();
        CHECK_EQ(written->length.load(), 0);
        for (pthread_t thread : threads) pthread_join(thread, nullptr);
        CHECK_EQ(memcmp(written->entries, "dddbbbaaaccc", 12), 0);
    });
}

void equals_in_their_order() {
    on_one_cpu([] {
        char names[] = "abc";
        pthread_t threads[3];
        for (int i = 0; i < 3; i++) threads[i] = start(SCHED_FIFO, 20, write_often<500, false>, &names[i]);
        check_awake();
        for (pthread_t thread : threads) pthread_join(thread, nullptr);
        int others = 0;
        for (int i = 0; i < 1500; i++) others += written->entries[i] != names[2 - i / 500];
        CHECK_EQ(others, 0);
    });
    on_one_cpu([] {
        char names[] = "abc";
        pthread_t threads[3];
        for (int i = 0; i < 3; i++) threads[i] = start(SCHED_FIFO, 20, write_often<200, true>, &names[i]);
        check_awake();
        for (pthread_t thread : threads) pthread_join(thread, nullptr);
        int others = 0;
        for (int i = 0; i < 600; i++) others += written->entries[i] != names[2 - i % 3];
        CHECK_EQ(others, 0);
    });
}

std::atomic<int> turns[2];

void* spin_until_the_other_has_run(void* which) {
    const int self = *(int*)which;
    for (int round = 0; round < 3; round++) {
        const int seen = turns[!self];
        turns[self]++;
        while (turns[!self] == seen && turns[!self] < 3) {
        }
    }
    return nullptr;
}

void round_robin() {
    // Would never end if one of them kept the CPU.
    on_one_cpu([] {
        int numbers[] = {0, 1};
        pthread_t threads[2];
        for (int i = 0; i < 2; i++) threads[i] = start(SCHED_RR, 20, spin_until_the_other_has_run, &numbers[i]);
        for (pthread_t thread : threads) pthread_join(thread, nullptr);
    });
}

int channel[2];

void* wait_for_a_byte(void*) {
    char byte;
    written->add('w');
    CHECK_EQ(read(channel[0], &byte, 1), 1);
    written->add('r');
    return nullptr;
}

void* write_a_byte(void*) {
    written->add('1');
    CHECK_EQ(write(channel[1], "x", 1), 1);
    written->add('2');
    return nullptr;
}

void wakers_are_preempted() {
    for (const bool reader_is_higher : {true, false})
        on_one_cpu([reader_is_higher] {
            CHECK_OK(pipe(channel));
            pthread_t writer = start(SCHED_FIFO, reader_is_higher ? 20 : 30, write_a_byte, nullptr);
            pthread_t reader = start(SCHED_FIFO, 30, wait_for_a_byte, nullptr);
            pthread_join(reader, nullptr);
            pthread_join(writer, nullptr);
            CHECK_EQ(memcmp(written->entries, reader_is_higher ? "w1r2" : "w12r", 4), 0);
        });
}

struct Meeting {
    std::atomic<int> there{0};
    std::atomic<uint64_t> cpus{0};
    int expected;
} meeting;

void* meet(void*) {
    meeting.there++;
    while (meeting.there < meeting.expected) {
    }
    meeting.cpus |= uint64_t{1} << sched_getcpu();
    meeting.there++;
    while (meeting.there < 2 * meeting.expected) {
    }
    return nullptr;
}

void spread_over_the_cpus() {
    cpu_set_t all;
    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    const int cpus = CPU_COUNT(&all) < most_cpus ? CPU_COUNT(&all) : most_cpus;
    // Started from one CPU, all of one priority, each spins until all run at once.
    for (int round = 0; round < 3; round++) {
        meeting.there = 0, meeting.cpus = 0, meeting.expected = cpus;
        pthread_t threads[most_cpus];
        for (int i = 0; i < cpus; i++) threads[i] = start(SCHED_FIFO, 20, meet, nullptr);
        for (int i = 0; i < cpus; i++) pthread_join(threads[i], nullptr);
        CHECK_EQ(__builtin_popcountll(meeting.cpus), cpus);
    }
}

std::atomic<bool> has_run, may_end;

void* run_once(void*) {
    has_run = true;
    return nullptr;
}
void* spin_until_it_has_run(void*) {
    while (!has_run) {
    }
    return nullptr;
}

void ordinary_threads_get_something() {
    on_one_cpu([] {
        has_run = false;
        pthread_t ordinary = start(SCHED_OTHER, 0, run_once, nullptr);
        pthread_t greedy = start(SCHED_FIFO, 40, spin_until_it_has_run, nullptr);
        pthread_join(greedy, nullptr);
        pthread_join(ordinary, nullptr);
        CHECK(has_run);
    });
}

void* spin_until_told(void*) {
    while (!may_end) {
    }
    return nullptr;
}

void raised_to_the_end_lowered_to_the_front() {
    on_one_cpu([] {
        char names[] = "abc";
        const int made_with[] = {20, 10, 30};
        pthread_t threads[3];
        for (int i = 0; i < 3; i++) threads[i] = start(SCHED_FIFO, made_with[i], write_often<2, false>, &names[i]);
        check_awake();
        sched_param param = {20};
        CHECK_EQ(pthread_setschedparam(threads[0], SCHED_RR, &param), 0); // no other priority: it stays where it is
        CHECK_EQ(pthread_setschedparam(threads[1], SCHED_FIFO, &param), 0);
        CHECK_EQ(pthread_setschedparam(threads[2], SCHED_FIFO, &param), 0);
        for (pthread_t thread : threads) pthread_join(thread, nullptr);
        CHECK_EQ(memcmp(written->entries, "ccaabb", 6), 0);
    });
}

void changes_reach_running_and_waiting_threads() {
    on_one_cpu([] {
        may_end = false;
        pthread_t running = start(SCHED_FIFO, 10, spin_until_told, nullptr);
        pthread_t waiting = start(SCHED_FIFO, 5, run_once, nullptr);
        has_run = false;
        sched_param param = {60};
        // It waits behind the spinning one, and behind this thread; higher than both it runs before the call returns.
        CHECK_EQ(pthread_setschedparam(waiting, SCHED_FIFO, &param), 0);
        CHECK(has_run);
        pthread_join(waiting, nullptr);
        // To the bottom, and up again.
        param.sched_priority = 0;
        CHECK_EQ(pthread_setschedparam(running, SCHED_IDLE, &param), 0);
        param.sched_priority = 10;
        CHECK_EQ(pthread_setschedparam(running, SCHED_RR, &param), 0);
        may_end = true;
        pthread_join(running, nullptr);
    });
}

using Attributes = check::SchedulingAttributes;

std::atomic<int> overruns;

void a_reservation_is_a_limit() {
    check::handle(SIGXCPU, [](int) { overruns++; });
    constexpr uint64_t ms = 1000000, flag_overrun = 4;
    Attributes asked = {.policy = 6, .flags = flag_overrun, .runtime = 2 * ms, .deadline = 20 * ms, .period = 20 * ms};
    CHECK_OK(syscall(SYS_sched_setattr, 0, &asked, 0));
    const double begin = seconds(CLOCK_MONOTONIC), had = seconds(CLOCK_THREAD_CPUTIME_ID);
    while (seconds(CLOCK_THREAD_CPUTIME_ID) - had < 0.04) {
    }
    // 40 ms at 2 ms in 20: nineteen periods at least, less what a late tick let it run on.
    CHECK_GE(seconds(CLOCK_MONOTONIC) - begin, 0.15);
    CHECK_GE(overruns.load(), 1);
    // A yield waits for the next period.
    const double before = seconds(CLOCK_MONOTONIC);
    for (int i = 0; i < 5; i++) CHECK_OK(sched_yield());
    CHECK_GE(seconds(CLOCK_MONOTONIC) - before, 0.06);
    become(SCHED_OTHER, 0);
    check::handle(SIGXCPU, SIG_DFL);
}

void a_limit_of_realtime() {
    int* signals = check::shared<int>();
    static int* count;
    count = signals;
    const pid_t child = fork();
    if (child == 0) {
        const rlimit limit = {100000, 1300000}; // microseconds
        CHECK_OK(setrlimit(RLIMIT_RTTIME, &limit));
        check::handle(SIGXCPU, [](int) { ++*count; });
        become(SCHED_RR, 5);
        for (;;) {
        }
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGKILL);
    CHECK_GE(*signals, 1);
    // Who sleeps begins anew.
    const pid_t sleeper = fork();
    if (sleeper == 0) {
        const rlimit limit = {1000000, 1500000};
        CHECK_OK(setrlimit(RLIMIT_RTTIME, &limit));
        become(SCHED_FIFO, 5);
        for (int i = 0; i < 10; i++) {
            const double had = seconds(CLOCK_THREAD_CPUTIME_ID);
            while (seconds(CLOCK_THREAD_CPUTIME_ID) - had < 0.2) {
            }
            check::nap();
        }
        _exit(3);
    }
    CHECK_EQ(waitpid(sleeper, &status, 0), sleeper);
    CHECK_EQ(status, 3 << 8);
}

struct {
    int cpu;
    std::atomic<bool> ordinary_is_there, greedy_is_there;
    int done[2];
} place;

void* spin_once_the_other_is_there(void*) {
    check::stay_on(place.cpu);
    while (!place.ordinary_is_there) check::nap();
    check::nap();
    place.greedy_is_there = true;
    while (!may_end) {
    }
    return nullptr;
}

void* make_way(void*) {
    cpu_set_t all;
    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    check::stay_on(place.cpu);
    CHECK_OK(sched_setaffinity(0, sizeof all, &all));
    place.ordinary_is_there = true;
    while (!place.greedy_is_there) {
    }
    may_end = true;
    CHECK_EQ(write(place.done[1], "x", 1), 1);
    return nullptr;
}

void ordinary_threads_make_way_to_other_cpus() {
    cpu_set_t all;
    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    if (CPU_COUNT(&all) < 2) return;
    // Without a share for ordinary threads, one that stays behind the greedy one stands still, and nothing else happens
    // on the other CPUs: this thread sleeps.
    proc_text::Setting share("/proc/sys/kernel/sched_rt_runtime_us", "-1");
    CHECK_OK(pipe(place.done));
    for (place.cpu = 0; place.cpu < CPU_SETSIZE; place.cpu++) {
        if (!CPU_ISSET(place.cpu, &all)) continue;
        may_end = false, place.ordinary_is_there = false, place.greedy_is_there = false;
        pthread_t ordinary{};
        pthread_t greedy = start(SCHED_FIFO, 40, spin_once_the_other_is_there, nullptr);
        CHECK_EQ(pthread_create(&ordinary, nullptr, make_way, nullptr), 0);
        char byte;
        CHECK_EQ(read(place.done[0], &byte, 1), 1);
        pthread_join(greedy, nullptr);
        pthread_join(ordinary, nullptr);
    }
}

std::atomic<bool> stopping;
void* change_often(void* number) {
    unsigned random = unsigned(*(int*)number) * 2654435761u + 1;
    while (!stopping) {
        random = random * 1664525u + 1013904223u;
        const int policies[] = {SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_IDLE};
        const int policy = policies[(random >> 16) % 5];
        const bool is_realtime = policy == SCHED_FIFO || policy == SCHED_RR;
        sched_param param = {is_realtime ? int((random >> 8) % 20) + 1 : 0};
        sched_setscheduler(0, policy, &param);
        setpriority(PRIO_PROCESS, 0, int(random >> 24) % 20);
        sched_yield();
    }
    return nullptr;
}

void changes_from_all_sides() {
    // Threads change themselves while another one changes them and where they may run; nobody gets lost.
    int numbers[8];
    pthread_t threads[8];
    stopping = false;
    for (int i = 0; i < 8; i++) {
        numbers[i] = i;
        CHECK_EQ(pthread_create(&threads[i], nullptr, change_often, &numbers[i]), 0);
    }
    cpu_set_t all;
    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    for (int round = 0; round < 150; round++) {
        cpu_set_t one = all;
        if (round % 3 != 0) {
            CPU_ZERO(&one);
            CPU_SET(first_cpu() + round % CPU_COUNT(&all), &one);
        }
        pthread_setaffinity_np(threads[round % 8], sizeof one, &one);
        sched_param param = {1 + round % 10};
        pthread_setschedparam(threads[(round + 3) % 8], SCHED_RR, &param);
        check::nap();
    }
    stopping = true;
    for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
}

} // namespace

int main() {
    if (geteuid() != 0) check::skip("only root may have real-time priorities");
    order_of_priorities();
    equals_in_their_order();
    round_robin();
    wakers_are_preempted();
    spread_over_the_cpus();
    ordinary_threads_get_something();
    raised_to_the_end_lowered_to_the_front();
    changes_reach_running_and_waiting_threads();
    ordinary_threads_make_way_to_other_cpus();
    a_reservation_is_a_limit();
    a_limit_of_realtime();
    changes_from_all_sides();
    return check::result();
}
