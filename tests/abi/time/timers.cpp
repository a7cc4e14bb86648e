// Clocks, sleeps and their interruption, interval timers, POSIX timers, timerfds.
#include <csignal>
#include <ctime>
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asleep.hpp"

static std::atomic<int> signals;
static void handler(int) { signals++; }

static long since(const timespec& begin) {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - begin.tv_sec) * 1000000000 + now.tv_nsec - begin.tv_nsec;
}

static void check_clocks() {
    for (clockid_t clock :
         {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_TAI, CLOCK_REALTIME_COARSE,
          CLOCK_MONOTONIC_COARSE, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID}) {
        timespec one, other;
        CHECK_OK(syscall(SYS_clock_gettime, clock, &one));
        CHECK_OK(clock_gettime(clock, &other));
        CHECK(other.tv_sec > one.tv_sec || (other.tv_sec == one.tv_sec && other.tv_nsec >= one.tv_nsec));
        CHECK_OK(clock_getres(clock, &one));
    }
    timespec time;
    CHECK_ERRNO(syscall(SYS_clock_gettime, 99, &time), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, 1), EFAULT);
    clockid_t own;
    CHECK_EQ(clock_getcpuclockid(getpid(), &own), 0);
    CHECK_OK(clock_gettime(own, &time));
    // Time spent in user code is user time.
    tms before, after;
    times(&before);
    do times(&after);
    while (after.tms_utime + after.tms_stime < before.tms_utime + before.tms_stime + 5);
    timespec begin;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    for (long i = 0; i < 10000000; i++) asm volatile("");
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    CHECK_GT((time.tv_sec - begin.tv_sec) * 1000000000 + time.tv_nsec - begin.tv_nsec, 1000000);
}

static void check_sleeps() {
    timespec begin, wanted = {0, 30000000}, left = {};
    clock_gettime(CLOCK_MONOTONIC, &begin);
    CHECK_OK(nanosleep(&wanted, nullptr));
    CHECK_GE(since(begin), 30000000);
    timespec wrong = {0, 1000000000};
    CHECK_ERRNO(nanosleep(&wrong, nullptr), EINVAL);
    wrong = {-1, 0};
    CHECK_ERRNO(nanosleep(&wrong, nullptr), EINVAL);

    // A handler ends it even with SA_RESTART, and tells what is left.
    struct sigaction action = {};
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, nullptr);
    itimerval timer = {{0, 50000}, {0, 50000}}; // again and again: the first may come before the sleep
    setitimer(ITIMER_REAL, &timer, nullptr);
    wanted = {100, 0};
    CHECK_ERRNO(nanosleep(&wanted, &left), EINTR);
    CHECK_EQ(left.tv_sec, 99);
    timer = {};
    setitimer(ITIMER_REAL, &timer, nullptr);

    // A stop and continue without handler doesn't end it, and it doesn't begin anew.
    pid_t child = fork();
    if (child == 0) {
        timespec start, nap = {0, 400000000};
        clock_gettime(CLOCK_MONOTONIC, &start);
        CHECK_OK(nanosleep(&nap, nullptr));
        CHECK_GE(since(start), 400000000);
        CHECK_LT(since(start), 20000000000);
        _exit(check::result());
    }
    check::wait_asleep(child);
    kill(child, SIGSTOP);
    waitpid(child, nullptr, WUNTRACED);
    kill(child, SIGCONT);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);

    timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    begin = until;
    until.tv_sec++;
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr), 0);
    CHECK_GE(since(begin), 1000000000);
    until = {1, 0};
    CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, nullptr), 0);
    CHECK_EQ(clock_nanosleep(99, 0, &until, nullptr), EINVAL);
}

static void check_interval_timers() {
    signal(SIGALRM, handler);
    signal(SIGVTALRM, handler);
    signal(SIGPROF, handler);
    signals = 0;
    itimerval timer = {{0, 10000}, {0, 10000}}, old;
    CHECK_OK(setitimer(ITIMER_REAL, &timer, nullptr));
    while (signals < 5) pause();
    timer = {};
    CHECK_OK(setitimer(ITIMER_REAL, &timer, &old));
    CHECK_EQ(old.it_interval.tv_usec, 10000);
    CHECK_OK(getitimer(ITIMER_REAL, &old));
    CHECK_EQ(old.it_value.tv_usec, 0);
    for (int which : {ITIMER_VIRTUAL, ITIMER_PROF}) {
        signals = 0;
        timer = {{0, 0}, {0, 20000}};
        CHECK_OK(setitimer(which, &timer, nullptr));
        while (signals == 0) {
        }
    }
    CHECK_ERRNO(syscall(SYS_getitimer, 7, &old), EINVAL);
    CHECK_EQ(alarm(100), 0u);
    CHECK_EQ(alarm(0), 100u);
}

static void check_posix_timers() {
    timer_t timer;
    sigevent event = {};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGRTMIN + 1;
    event.sigev_value.sival_int = 77;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    CHECK_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
    itimerspec setting = {{0, 10000000}, {0, 10000000}}, got;
    CHECK_OK(timer_settime(timer, 0, &setting, nullptr));
    usleep(200000); // the overrun of a blocked signal is a matter of time alone
    siginfo_t info = {};
    CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
    CHECK_EQ(info.si_code, SI_TIMER);
    CHECK_EQ(info.si_value.sival_int, 77);
    CHECK_GE(info.si_overrun, 5);
    CHECK_OK(timer_gettime(timer, &got));
    CHECK_EQ(got.it_interval.tv_nsec, 10000000);
    CHECK_OK(timer_delete(timer));
    event.sigev_signo = 999;
    CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
    CHECK_ERRNO(timer_create(99, nullptr, &timer), EINVAL);
}

static void check_timerfd() {
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    CHECK_OK(fd);
    unsigned long count = 0;
    CHECK_ERRNO(read(fd, &count, sizeof count), EAGAIN);
    CHECK_ERRNO(read(fd, &count, 4), EINVAL);
    itimerspec setting = {{0, 5000000}, {0, 5000000}}, old;
    CHECK_OK(timerfd_settime(fd, 0, &setting, nullptr));
    pollfd poller = {fd, POLLIN, 0};
    CHECK_EQ(poll(&poller, 1, 5000), 1);
    usleep(50000); // what expires while nobody reads is counted
    CHECK_EQ(read(fd, &count, sizeof count), 8);
    CHECK_GE(count, 5u);
    setting = {};
    CHECK_OK(timerfd_settime(fd, 0, &setting, &old));
    CHECK_EQ(old.it_interval.tv_nsec, 5000000);
    CHECK_ERRNO(read(fd, &count, sizeof count), EAGAIN);
    CHECK_ERRNO(timerfd_gettime(0, &old), EINVAL);
    CHECK_ERRNO(timerfd_create(99, 0), EINVAL);
    close(fd);
}

// Threads make timers at once, far more than there are at a time: no number is given to two.
static std::atomic<int> holders[1 << 16];
static void* make_timers(void*) {
    for (int i = 0; i < 3000; ++i) {
        int id = -1; // the kernel's
        if (syscall(SYS_timer_create, CLOCK_MONOTONIC, nullptr, &id) != 0) return (void*)1;
        if (holders[id & 0xffff].exchange(1) != 0) return (void*)2;
        holders[id & 0xffff] = 0;
        if (syscall(SYS_timer_delete, id) != 0) return (void*)3;
    }
    return nullptr;
}
static void check_timer_numbers() {
    pthread_t threads[4];
    for (pthread_t& thread : threads) CHECK_EQ(pthread_create(&thread, nullptr, make_timers, nullptr), 0);
    for (pthread_t& thread : threads) {
        void* result = nullptr;
        pthread_join(thread, &result);
        CHECK_EQ(long(result), 0);
    }
}

int main() {
    check_clocks();
    check_sleeps();
    check_interval_timers();
    check_posix_timers();
    check_timerfd();
    check_timer_numbers();
    return check::result();
}
