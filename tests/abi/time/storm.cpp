// Timers at their limits: periods too short to serve, timers that go while they fire, forks that are interrupted while
// a limit on CPU time keeps a timer of its own.
#include "check.hpp"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

volatile sig_atomic_t signals_seen;
void count(int) { signals_seen = signals_seen + 1; }

uint64_t now_ns() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
}

void handle(int signal) {
    struct sigaction action{};
    action.sa_handler = count;
    CHECK_EQ(sigaction(signal, &action, nullptr), 0);
}

// Every expiration of a period of one nanosecond is counted, and the program still runs.
void shortest_periods() {
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    CHECK(fd >= 0);
    uint64_t start = now_ns();
    itimerspec each{{0, 1}, {0, 1}};
    CHECK_EQ(timerfd_settime(fd, 0, &each, nullptr), 0);
    const uint64_t armed = now_ns(); // on a busy machine long after the start

    handle(SIGRTMIN);
    sigevent event{};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGRTMIN;
    timer_t timer;
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    CHECK_EQ(timer_settime(timer, 0, &each, nullptr), 0);

    handle(SIGALRM);
    itimerval soon{{0, 1}, {0, 1}};
    CHECK_EQ(setitimer(ITIMER_REAL, &soon, nullptr), 0);

    // On a busy machine the handlers may have taken the time already; that this ends is the proof.
    while (now_ns() - armed < 300'000'000 || signals_seen < 10) {
    }
    itimerval off{};
    CHECK_EQ(setitimer(ITIMER_REAL, &off, nullptr), 0);
    CHECK_EQ(timer_delete(timer), 0);
    uint64_t expirations = 0;
    CHECK_EQ(read(fd, &expirations, sizeof expirations), ssize_t(sizeof expirations));
    uint64_t passed = now_ns() - start;
    CHECK(expirations >= 300'000'000 && expirations <= passed);
    close(fd);
}

// Closed and deleted in the middle of their ticking; what remained armed would be met by later ticks.
void gone_while_firing() {
    for (int i = 0; i < 3000; ++i) {
        int fd = timerfd_create(i & 1 ? CLOCK_MONOTONIC : CLOCK_REALTIME, TFD_NONBLOCK);
        CHECK(fd >= 0);
        itimerspec often{{0, 20'000 + i % 64 * 1000}, {0, 20'000}};
        CHECK_EQ(timerfd_settime(fd, 0, &often, nullptr), 0);
        uint64_t end = now_ns() + 40'000 + uint64_t(i % 97) * 1000;
        while (now_ns() < end) {
        }
        close(fd);
        sigevent event{};
        event.sigev_notify = SIGEV_SIGNAL;
        event.sigev_signo = SIGRTMIN;
        timer_t timer;
        CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
        CHECK_EQ(timer_settime(timer, 0, &often, nullptr), 0);
        end = now_ns() + 30'000 + uint64_t(i % 89) * 1000;
        while (now_ns() < end) {
        }
        CHECK_EQ(timer_delete(timer), 0);
    }
}

// A fork that a signal interrupts starts anew; what it had made of a child is taken back, its CPU-time timer too.
void interrupted_forks() {
    pid_t child = fork();
    if (child == 0) {
        rlimit limit{1000, 2000};
        if (setrlimit(RLIMIT_CPU, &limit) != 0) _exit(1);
        itimerval often{{0, 100}, {0, 100}};
        setitimer(ITIMER_REAL, &often, nullptr);
        for (int i = 0; i < 500; ++i) {
            pid_t grandchild = fork();
            if (grandchild == 0) _exit(0);
            int status = 1;
            while (waitpid(grandchild, &status, 0) < 0 && errno == EINTR) {
            }
            if (grandchild < 0 || status != 0) _exit(2);
        }
        _exit(0);
    }
    int status = 1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

} // namespace

int main() {
    shortest_periods();
    gone_while_firing();
    interrupted_forks();
    return check::result();
}
