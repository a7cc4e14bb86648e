// timeout: 180
// CPU-time clocks of processes and threads: reading them, sleeping on them, timers on them, interval timers, the limit;
// /proc/PID/timers.
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "asleep.hpp"

using namespace check;

namespace {

constexpr int64_t ms = 1000000;
enum Kind { Profiling, Virtual, Scheduler };

clockid_t of_process(pid_t pid, Kind kind = Scheduler) { return clockid_t((~unsigned(pid) << 3) | kind); }
clockid_t of_thread(pid_t tid, Kind kind = Scheduler) { return clockid_t((~unsigned(tid) << 3) | 4 | kind); }

int64_t ns(const timespec& time) { return int64_t(time.tv_sec) * 1000000000 + time.tv_nsec; }
int64_t read_clock(clockid_t clock) {
    timespec time = {-1, -1};
    CHECK_OK(syscall(SYS_clock_gettime, clock, &time));
    return ns(time);
}
timespec to_timespec(int64_t value) { return {time_t(value / 1000000000), long(value % 1000000000)}; }

void burn(int64_t cpu_ns) {
    const int64_t end = read_clock(CLOCK_THREAD_CPUTIME_ID) + cpu_ns;
    while (read_clock(CLOCK_THREAD_CPUTIME_ID) < end)
        for (int i = 0; i < 10000; ++i) asm volatile("");
}

std::atomic<bool> stop;
std::atomic<pid_t> spinner;
void* spin(void*) {
    spinner = pid_t(syscall(SYS_gettid));
    while (!stop) asm volatile("");
    return nullptr;
}
struct Spinner {
    pthread_t thread;
    Spinner() {
        stop = false;
        spinner = 0;
        pthread_create(&thread, nullptr, spin, nullptr);
        CHECK(eventually([] { return spinner != 0; }));
    }
    ~Spinner() {
        stop = true;
        pthread_join(thread, nullptr);
    }
};

void reading() {
    timespec time;
    CHECK_OK(syscall(SYS_clock_getres, of_process(0), &time));
    CHECK_ERRNO(syscall(SYS_clock_gettime, of_process(0x0fffffff), &time), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_gettime, of_process(0) | 3, &time), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_settime, of_thread(0), &time), EPERM);
    CHECK_ERRNO(syscall(SYS_clock_settime, of_process(0x0fffffff), &time), EINVAL);
    burn(20 * ms);
    const int64_t one = read_clock(CLOCK_PROCESS_CPUTIME_ID), other = read_clock(of_process(getpid())),
                  third = read_clock(of_process(0));
    CHECK_LE(one, other);
    CHECK_LE(other, third);
    CHECK_LE(read_clock(of_process(0, Virtual)), read_clock(of_process(0, Profiling)));
    CHECK_GT(read_clock(of_process(0, Virtual)), 0);
    clockid_t id;
    CHECK_EQ(clock_getcpuclockid(getppid(), &id), 0);
    CHECK_OK(clock_gettime(id, &time));
    {
        Spinner running;
        CHECK_EQ(pthread_getcpuclockid(running.thread, &id), 0);
        CHECK_EQ(id, of_thread(spinner));
        CHECK(eventually([&] { return read_clock(id) > 30 * ms; }));
        CHECK_LT(read_clock(id), read_clock(CLOCK_PROCESS_CPUTIME_ID));
    }
    // A child's is readable, that of its thread is not.
    const pid_t child = fork();
    if (child == 0)
        for (;;) asm volatile("");
    CHECK(eventually([&] { return read_clock(of_process(child)) > 30 * ms; }));
    CHECK_ERRNO(syscall(SYS_clock_gettime, of_thread(child), &time), EINVAL);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    CHECK_ERRNO(syscall(SYS_clock_gettime, of_process(child), &time), EINVAL);
}

std::atomic<int> signals;
std::atomic<int64_t> shown;
clockid_t watched;
std::atomic<int> most_overruns;
void on_signal(int, siginfo_t* info, void*) {
    if (info->si_code == SI_TIMER && info->si_overrun > most_overruns) most_overruns = info->si_overrun;
    timespec time;
    syscall(SYS_clock_gettime, watched, &time);
    shown = ns(time);
    signals++;
}

void sleeping() {
    timespec half = to_timespec(30 * ms), left = {};
    CHECK_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &half, nullptr), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_nanosleep, of_thread(0), 0, &half, nullptr), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_nanosleep, of_thread(gettid()), 0, &half, nullptr), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_nanosleep, of_process(0x0fffffff), 0, &half, nullptr), EINVAL);
    Spinner running;
    for (clockid_t clock :
         {clockid_t(CLOCK_PROCESS_CPUTIME_ID), of_process(0), of_thread(spinner), of_process(0, Virtual)}) {
        int64_t begin = read_clock(clock);
        CHECK_OK(syscall(SYS_clock_nanosleep, clock, 0, &half, nullptr));
        CHECK_GE(read_clock(clock), begin + 30 * ms);
        const timespec until = to_timespec(read_clock(clock) + 30 * ms);
        CHECK_OK(syscall(SYS_clock_nanosleep, clock, TIMER_ABSTIME, &until, nullptr));
        CHECK_GE(read_clock(clock), ns(until));
    }
    // Interrupted it tells what is left.
    handle(SIGALRM, on_signal);
    const itimerval soon = {{}, {0, 20000}};
    timespec hour = {3600, 0};
    setitimer(ITIMER_REAL, &soon, nullptr);
    CHECK_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_PROCESS_CPUTIME_ID, 0, &hour, &left), EINTR);
    CHECK(left.tv_sec >= 3590 && left.tv_sec < 3600);
}

void timers() {
    handle(SIGUSR1, on_signal);
    sigevent event = {};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGUSR1;
    timer_t timer;
    for (clockid_t clock : {clockid_t(CLOCK_PROCESS_CPUTIME_ID), clockid_t(CLOCK_THREAD_CPUTIME_ID),
                            of_process(0, Virtual), of_thread(0, Profiling)}) {
        watched = clock;
        signals = 0;
        most_overruns = 0;
        CHECK_OK(timer_create(clock, &event, &timer));
        const int64_t begin = read_clock(clock);
        itimerspec setting = {{}, to_timespec(30 * ms)}, old;
        CHECK_OK(timer_settime(timer, 0, &setting, nullptr));
        CHECK_OK(timer_gettime(timer, &old));
        CHECK_GT(ns(old.it_value), 0);
        CHECK_LE(ns(old.it_value), 30 * ms);
        while (signals == 0) burn(ms);
        CHECK_GE(shown.load(), begin + 30 * ms);
        CHECK_OK(timer_gettime(timer, &old));
        CHECK_EQ(ns(old.it_value), 0);
        // Absolute, in the past.
        setting = {{}, {0, 1}};
        CHECK_OK(timer_settime(timer, TIMER_ABSTIME, &setting, nullptr));
        CHECK(eventually([] { return signals == 2; }));
        // Periodic; while it is blocked what comes is counted.
        const sigset_t blocked = set_of(SIGUSR1);
        sigprocmask(SIG_BLOCK, &blocked, nullptr);
        setting = {to_timespec(2 * ms), to_timespec(2 * ms)};
        CHECK_OK(timer_settime(timer, 0, &setting, nullptr));
        for (const int64_t end = read_clock(clock) + 40 * ms; read_clock(clock) < end;) burn(ms); // Linux counts ticks
        CHECK_EQ(signals.load(), 2);
        sigprocmask(SIG_UNBLOCK, &blocked, nullptr);
        CHECK(eventually([] { return signals >= 3; }));
        CHECK_GE(most_overruns.load(), 5);
        CHECK_GE(timer_getoverrun(timer), 0);
        CHECK_OK(timer_delete(timer));
    }
    CHECK_ERRNO(syscall(SYS_timer_create, of_process(0x0fffffff), &event, &timer), EINVAL);
    // On a child's clock, and without a signal.
    const pid_t child = fork();
    if (child == 0)
        for (;;) asm volatile("");
    watched = of_process(child);
    signals = 0;
    event.sigev_notify = SIGEV_NONE;
    timer_t silent;
    CHECK_OK(timer_create(watched, &event, &silent));
    event.sigev_notify = SIGEV_SIGNAL;
    CHECK_OK(timer_create(watched, &event, &timer));
    const itimerspec setting = {{}, to_timespec(50 * ms)};
    const int64_t begin = read_clock(watched);
    CHECK_OK(timer_settime(timer, 0, &setting, nullptr));
    CHECK_OK(timer_settime(silent, 0, &setting, nullptr));
    CHECK(eventually([] { return signals == 1; }));
    CHECK_GE(shown.load(), begin + 50 * ms);
    CHECK(eventually([&] {
        itimerspec left;
        CHECK_OK(timer_gettime(silent, &left));
        return ns(left.it_value) == 0;
    }));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    CHECK_OK(timer_delete(timer));
    CHECK_OK(timer_delete(silent));
}

void interval_timers() {
    constexpr struct {
        int timer, signal;
        Kind kind;
    } both[] = {{ITIMER_PROF, SIGPROF, Profiling}, {ITIMER_VIRTUAL, SIGVTALRM, Virtual}};
    for (const auto& [timer, signal, kind] : both) {
        handle(signal, on_signal);
        watched = of_process(0, kind);
        signals = 0;
        const int64_t begin = read_clock(watched);
        itimerval setting = {{}, {0, 30000}}, old;
        CHECK_OK(setitimer(timer, &setting, nullptr));
        CHECK_OK(getitimer(timer, &old));
        CHECK(old.it_value.tv_sec == 0 && old.it_value.tv_usec > 0 && old.it_value.tv_usec <= 34000);
        while (signals == 0) burn(ms);
        CHECK_GE(shown.load(), begin + 30 * ms);
        setting = {{0, 10000}, {0, 10000}};
        CHECK_OK(setitimer(timer, &setting, nullptr));
        while (signals < 4) burn(ms);
        CHECK_GE(shown.load(), begin + 60 * ms);
        setting = {};
        CHECK_OK(setitimer(timer, &setting, nullptr));
    }
}

void limit() {
    const int status = in_child([] {
        signals = 0;
        watched = of_process(0, Profiling); // Linux counts ticks here
        handle(SIGXCPU, on_signal);
        const rlimit seconds = {1, 2};
        CHECK_OK(setrlimit(RLIMIT_CPU, &seconds));
        while (signals == 0) burn(10 * ms);
        if (shown < 1000 * ms) _Exit(1);
        for (;;) asm volatile("");
    });
    CHECK(died_of(status, SIGKILL));
    const int of_default = in_child([] {
        const rlimit seconds = {1, RLIM_INFINITY};
        CHECK_OK(setrlimit(RLIMIT_CPU, &seconds));
        for (;;) asm volatile("");
    });
    CHECK(died_of(of_default, SIGXCPU));
}

// Each signal raises the soft limit by a second, where getrlimit(2) shows it.
void limit_grows() {
    const int status = in_child([] {
        signals = 0;
        watched = of_process(0, Profiling);
        handle(SIGXCPU, on_signal);
        const rlimit seconds = {1, 10};
        CHECK_OK(setrlimit(RLIMIT_CPU, &seconds));
        while (signals == 0) burn(10 * ms);
        rlimit now = {};
        CHECK_OK(getrlimit(RLIMIT_CPU, &now));
        CHECK_EQ(now.rlim_cur, 2u);
        CHECK_EQ(now.rlim_max, 10u);
        while (signals == 1) burn(10 * ms);
        CHECK_OK(getrlimit(RLIMIT_CPU, &now));
        CHECK_EQ(now.rlim_cur, 3u);
        CHECK_GE(shown.load(), 2000 * ms);
        // Two seconds behind: as many signals as it takes, the first at once. What is pending already is not sent
        // twice.
        const rlimit over = {0, 10};
        signals = 0;
        CHECK_OK(setrlimit(RLIMIT_CPU, &over));
        CHECK(eventually([&] { return burn(10 * ms), getrlimit(RLIMIT_CPU, &now) == 0 && now.rlim_cur == 3; }));
        CHECK_GE(signals.load(), 1);
    });
    CHECK_EQ(status, 0);
}

// Many timers of one clock expire in their order, whatever the order in which they were set.
constexpr int many = 300;
std::atomic<int> order[many];
std::atomic<int> expired;
void note_order(int, siginfo_t* info, void*) {
    const int at = expired++;
    if (at < many) order[at] = info->si_value.sival_int;
}
void many_timers() {
    const int status = in_child([] {
        expired = 0;
        handle(SIGRTMIN, note_order);
        static timer_t ids[many];
        for (int i = 0; i < many; ++i) {
            sigevent event = {};
            event.sigev_notify = SIGEV_SIGNAL;
            event.sigev_signo = SIGRTMIN;
            event.sigev_value.sival_int = i;
            CHECK_OK(timer_create(i % 2 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_THREAD_CPUTIME_ID, &event, &ids[i]));
        }
        const int64_t begin = read_clock(CLOCK_PROCESS_CPUTIME_ID) + 200 * ms;
        for (int i = 0; i < many; ++i) {
            const int at = i * 77 % many;
            itimerspec setting = {};
            setting.it_value = to_timespec(begin + at * ms);
            CHECK_OK(timer_settime(ids[at], TIMER_ABSTIME, &setting, nullptr));
        }
        // One of a nanosecond, over and over, is one expiry of many times.
        itimerspec setting = {};
        timer_t busy;
        sigevent none = {};
        none.sigev_notify = SIGEV_NONE;
        CHECK_OK(timer_create(CLOCK_PROCESS_CPUTIME_ID, &none, &busy));
        setting.it_value = setting.it_interval = to_timespec(1);
        CHECK_OK(timer_settime(busy, 0, &setting, nullptr));
        CHECK(eventually([] { return burn(5 * ms), expired >= many; }));
        CHECK_EQ(expired.load(), many);
        int last[2] = {-1, -1};
        for (int i = 0; i < many; ++i) {
            const int at = order[i];
            CHECK_GT(at, last[at % 2]);
            last[at % 2] = at;
        }
        for (timer_t id : ids) CHECK_OK(timer_delete(id));
        CHECK_OK(timer_delete(busy));
    });
    CHECK_EQ(status, 0);
}

void shown_in_proc() {
    const int status = in_child([] {
        sigevent event = {};
        event.sigev_notify = SIGEV_SIGNAL;
        event.sigev_signo = SIGUSR1;
        event.sigev_value.sival_ptr = reinterpret_cast<void*>(0x1234);
        timer_t timer;
        CHECK_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
        FILE* file = fopen("/proc/self/timers", "r");
        REQUIRE(file != nullptr);
        char text[400] = {}, wanted[400];
        (void)!fread(text, 1, sizeof text - 1, file);
        snprintf(wanted, sizeof wanted, "ID: 0\nsignal: %d/%016x\nnotify: signal/pid.%d\nClockID: 1\n", SIGUSR1, 0x1234,
                 int(getpid()));
        CHECK_STREQ(text, wanted);
        const rlimit none = {0, 0};
        CHECK_OK(setrlimit(RLIMIT_SIGPENDING, &none));
        CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &timer), EAGAIN);
        _Exit(result());
    });
    CHECK_EQ(status, 0);
}

} // namespace

int main() {
    reading();
    sleeping();
    timers();
    interval_timers();
    limit();
    limit_grows();
    many_timers();
    shown_in_proc();
    return result();
}
