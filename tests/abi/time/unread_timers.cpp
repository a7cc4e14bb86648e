// timeout: 120
// Many timers of a microsecond whose expirations nobody takes cost nothing that would keep the machine from going on,
// and what they count meanwhile is right: timerfds that are not read, timers whose signals are blocked or ignored or
// that send none, interval timers of many processes. timerfd_create(2), timer_getoverrun(2), setitimer(2).
#include <csignal>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "asleep.hpp"

using namespace check;

namespace {

constexpr itimerspec every_microsecond = {{0, 1000}, {0, 1000}};
constexpr int number = 40; // a real-time signal

int64_t now_us() {
    timespec time;
    CHECK_OK(clock_gettime(CLOCK_MONOTONIC, &time));
    return int64_t(time.tv_sec) * 1000000 + time.tv_nsec / 1000;
}

/// That others than timers get something done: sleeps end, and a child runs.
void goes_on() {
    for (int i = 0; i < 20; i++) usleep(1000);
    const pid_t child = fork();
    if (child == 0) _exit(0);
    CHECK_EQ(waitpid(child, nullptr, 0), child);
}

void timerfds() {
    constexpr int count = 500;
    int fds[count];
    int64_t before[count], after[count];
    for (int i = 0; i < count; i++) {
        fds[i] = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
        REQUIRE(fds[i] >= 0);
        before[i] = now_us();
        CHECK_OK(timerfd_settime(fds[i], 0, &every_microsecond, nullptr));
        after[i] = now_us();
    }
    goes_on();
    for (int i = 0; i < count; i++) {
        pollfd ready = {fds[i], POLLIN, 0};
        CHECK_EQ(poll(&ready, 1, 10000), 1);
        uint64_t expirations = 0;
        const int64_t begin = now_us();
        CHECK_EQ(read(fds[i], &expirations, sizeof expirations), long(sizeof expirations));
        const int64_t end = now_us();
        CHECK(int64_t(expirations) >= begin - after[i] - 1 && int64_t(expirations) <= end - before[i] + 1);
    }
    // Having been read they go on.
    for (int fd : fds) {
        pollfd ready = {fd, POLLIN, 0};
        CHECK_EQ(poll(&ready, 1, 10000), 1);
        close(fd);
    }
}

/// Whoever waits for edges is told again after each read.
void edges() {
    const int fd = timerfd_create(CLOCK_MONOTONIC, 0), epoll = epoll_create1(0);
    const itimerspec setting = {{0, 2000000}, {0, 2000000}};
    epoll_event event = {EPOLLIN | EPOLLET, {}};
    CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    CHECK_OK(timerfd_settime(fd, 0, &setting, nullptr));
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(epoll_wait(epoll, &event, 1, 10000), 1);
        usleep(5000);
        uint64_t expirations = 0;
        CHECK_EQ(read(fd, &expirations, sizeof expirations), long(sizeof expirations));
        CHECK(expirations >= 1);
    }
    // And again after one has asked how long it will take, though nothing was read.
    CHECK_EQ(epoll_wait(epoll, &event, 1, 10000), 1);
    itimerspec left;
    CHECK_OK(timerfd_gettime(fd, &left));
    CHECK(left.it_value.tv_nsec > 0 && left.it_value.tv_nsec <= 2000000);
    CHECK_EQ(epoll_wait(epoll, &event, 1, 10000), 1);
    close(epoll);
    close(fd);
}

timer_t make_timer(int notify, int value) {
    sigevent event = {};
    event.sigev_notify = notify;
    event.sigev_signo = number;
    event.sigev_value.sival_int = value;
    timer_t timer;
    REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    return timer;
}

constexpr int count_of_timers = 500;
timer_t timers[count_of_timers];

void delete_timers() {
    for (timer_t timer : timers) CHECK_OK(timer_delete(timer));
}

void blocked_signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, nullptr));
    static int64_t before[count_of_timers], after[count_of_timers];
    for (int i = 0; i < count_of_timers; i++) {
        timers[i] = make_timer(SIGEV_SIGNAL, i);
        before[i] = now_us();
        CHECK_OK(timer_settime(timers[i], 0, &every_microsecond, nullptr));
        after[i] = now_us();
    }
    goes_on();
    // Each has a signal of its own; the first ones are there again before the last have come.
    static int times[count_of_timers];
    int seen = 0;
    for (int rounds = 0; seen < count_of_timers && rounds < 100 * count_of_timers; rounds++) {
        siginfo_t info;
        const timespec limit = {10, 0};
        const int64_t begin = now_us();
        CHECK_EQ(sigtimedwait(&set, &info, &limit), number);
        const int64_t end = now_us();
        CHECK_EQ(info.si_code, SI_TIMER);
        const int i = info.si_value.sival_int;
        if (i < 0 || i >= count_of_timers || times[i]++) continue;
        seen++;
        CHECK(info.si_overrun + 1 >= begin - after[i] - 1 && info.si_overrun + 1 <= end - before[i] + 1);
    }
    CHECK_EQ(seen, count_of_timers);
    for (int i = 1; i < count_of_timers; i++) CHECK_OK(timer_delete(timers[i]));
    // The one that is left goes on, also where its signal is taken just as it would expire again.
    for (long period : {1000, 20000, 60000, 200000}) {
        const itimerspec setting = {{0, period}, {0, period}};
        CHECK_OK(timer_settime(timers[0], 0, &setting, nullptr));
        for (int i = 0; i < 300; i++) {
            siginfo_t info;
            const timespec limit = {10, 0};
            REQUIRE(sigtimedwait(&set, &info, &limit) == number);
        }
    }
    CHECK_OK(timer_delete(timers[0]));
    // Until Linux 6.13 the signal of a timer that goes stays pending.
    signal(number, SIG_IGN);
    CHECK_OK(sigprocmask(SIG_UNBLOCK, &set, nullptr));
}

std::atomic<int> handled;

void ignored_signals() {
    signal(number, SIG_IGN);
    for (timer_t& timer : timers) {
        timer = make_timer(SIGEV_SIGNAL, 0);
        CHECK_OK(timer_settime(timer, 0, &every_microsecond, nullptr));
    }
    // On Linux a handler of the others would never leave us a moment.
    const itimerspec seldom = {{0, 5000000}, {0, 5000000}};
    CHECK_OK(timer_settime(timers[0], 0, &seldom, nullptr));
    goes_on();
    for (int i = 1; i < count_of_timers; i++) CHECK_OK(timer_delete(timers[i]));
    signal(number, [](int) { handled++; });
    CHECK(eventually([] { return handled >= 3; }));
    CHECK_OK(timer_delete(timers[0]));
}

void no_signals() {
    for (timer_t& timer : timers) {
        timer = make_timer(SIGEV_NONE, 0);
        CHECK_OK(timer_settime(timer, 0, &every_microsecond, nullptr));
    }
    goes_on();
    for (timer_t timer : timers) {
        itimerspec left = {};
        CHECK_OK(timer_gettime(timer, &left));
        CHECK(left.it_value.tv_sec == 0 && left.it_value.tv_nsec > 0 && left.it_value.tv_nsec <= 1000);
        CHECK_EQ(left.it_interval.tv_nsec, 1000);
    }
    delete_timers();
    // One that expires once is off afterwards.
    const timer_t once = make_timer(SIGEV_NONE, 0);
    const itimerspec soon = {{0, 0}, {0, 1000}};
    CHECK_OK(timer_settime(once, 0, &soon, nullptr));
    usleep(1000);
    itimerspec left = soon;
    CHECK_OK(timer_gettime(once, &left));
    CHECK_EQ(left.it_value.tv_nsec, 0);
    CHECK_OK(timer_delete(once));
}

void interval_timers() {
    constexpr int count = 300;
    auto* ready = shared<std::atomic<int>>();
    auto* go = shared<std::atomic<bool>>();
    pid_t children[count];
    for (pid_t& child : children) {
        child = fork();
        if (child != 0) continue;
        failures = 0;
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGALRM);
        CHECK_OK(sigprocmask(SIG_BLOCK, &set, nullptr));
        const itimerval often = {{0, 1}, {0, 1}};
        CHECK_OK(setitimer(ITIMER_REAL, &often, nullptr));
        ++*ready;
        while (!*go) usleep(10000);
        itimerval left = {};
        CHECK_OK(getitimer(ITIMER_REAL, &left));
        CHECK_EQ(left.it_interval.tv_usec, 1);
        int taken = 0;
        for (int i = 0; i < 5; i++) {
            CHECK_OK(sigwait(&set, &taken));
            CHECK_EQ(taken, SIGALRM);
        }
        _exit(result());
    }
    CHECK(eventually([&] { return *ready == count; }));
    goes_on();
    *go = true;
    for (pid_t child : children) {
        int status = -1;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
    }
}

} // namespace

int main() {
    timerfds();
    edges();
    blocked_signals();
    ignored_signals();
    no_signals();
    interval_timers();
    return result();
}
