// Whoever waits for CLOCK_REALTIME to show a time follows it when it is set, forward and backward: clock_nanosleep,
// POSIX timers, timerfds, futexes.
#include <climits>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <sys/wait.h>

#include "asleep.hpp"

using namespace check;

namespace {

timespec clock_now(clockid_t clock) {
    timespec time;
    clock_gettime(clock, &time);
    return time;
}

timespec in_seconds(long seconds, clockid_t clock = CLOCK_REALTIME) {
    timespec time = clock_now(clock);
    time.tv_sec += seconds;
    return time;
}

void move_clock(long seconds) {
    timex step = {};
    step.modes = ADJ_SETOFFSET;
    step.time.tv_sec = seconds;
    CHECK_OK(syscall(SYS_adjtimex, &step));
}

void set_clock(long seconds) {
    const timespec time = in_seconds(seconds);
    CHECK_OK(clock_settime(CLOCK_REALTIME, &time));
}

std::atomic<pid_t> sleeper;
std::atomic<bool> is_over;
uint32_t word;

struct Wait {
    clockid_t clock;
    timespec until;
    long (*call)(const Wait&);
};

long nap_until(const Wait& wait) { return clock_nanosleep(wait.clock, TIMER_ABSTIME, &wait.until, nullptr); }
long wait_bitset(const Wait& wait) {
    return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME, 0, &wait.until,
                   nullptr, FUTEX_BITSET_MATCH_ANY) == -1 &&
                   errno == ETIMEDOUT
               ? 0
               : -1;
}
long timed_lock(const Wait& wait) {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    return pthread_mutex_timedlock(&mutex, &wait.until) == ETIMEDOUT ? 0 : -1;
}

void* wait_in_thread(void* argument) {
    const Wait& wait = *static_cast<Wait*>(argument);
    sleeper = pid_t(syscall(SYS_gettid));
    const long returned = wait.call(wait);
    CHECK_EQ(returned, 0);
    is_over = true;
    return nullptr;
}

/// A wait for an hour hence: the clock steps over it, and the wait is over at once.
void wait_through(clockid_t clock, long (*call)(const Wait&), void (*set)(long)) {
    Wait wait = {clock, in_seconds(3600, clock), call};
    sleeper = 0;
    is_over = false;
    pthread_t thread;
    pthread_create(&thread, nullptr, wait_in_thread, &wait);
    CHECK(eventually([] { return sleeper != 0; }) && wait_asleep(sleeper));
    set(-1800);
    CHECK(wait_asleep(sleeper));
    CHECK(!is_over);
    set(1800 + 3600);
    pthread_join(thread, nullptr);
    CHECK(is_over);
    set(-3600);
}

/// A wait for five seconds that becomes an hour more.
void wait_longer() {
    Wait wait = {CLOCK_REALTIME, in_seconds(5), nap_until};
    sleeper = 0;
    is_over = false;
    pthread_t thread;
    pthread_create(&thread, nullptr, wait_in_thread, &wait);
    CHECK(eventually([] { return sleeper != 0; }) && wait_asleep(sleeper));
    set_clock(-3600);
    // Past the time when it would have been over.
    const timespec end = in_seconds(5, CLOCK_MONOTONIC);
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, nullptr), 0);
    CHECK(!is_over);
    set_clock(3600);
    pthread_join(thread, nullptr);
}

/// Relative waits, and those on the monotonic clock, do not care.
void others_go_on() {
    const timespec begin = clock_now(CLOCK_MONOTONIC);
    const int fd = timerfd_create(CLOCK_REALTIME, 0);
    const itimerspec setting = {{}, {0, 300000000}};
    CHECK_OK(timerfd_settime(fd, 0, &setting, nullptr));
    set_clock(3600);
    uint64_t count;
    CHECK_EQ(read(fd, &count, 8), 8);
    const timespec end = clock_now(CLOCK_MONOTONIC);
    CHECK_GE((end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec - begin.tv_nsec, 300000000);
    set_clock(-3600);
    close(fd);
}

void timerfds() {
    const int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
    itimerspec setting = {{}, in_seconds(3600)};
    CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &setting, nullptr));
    uint64_t count = 0;
    set_clock(1800);
    CHECK_ERRNO(read(fd, &count, 8), EAGAIN);
    itimerspec left;
    CHECK_OK(timerfd_gettime(fd, &left));
    CHECK_LE(left.it_value.tv_sec, 1800);
    set_clock(2000);
    pollfd look = {fd, POLLIN, 0};
    CHECK_EQ(poll(&look, 1, 30000), 1);
    CHECK_EQ(read(fd, &count, 8), 8);
    CHECK_EQ(count, 1u);
    set_clock(-3800);
    // Cancelled: once a read says so, whatever the time left.
    setting.it_value = in_seconds(3600);
    CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &setting, nullptr));
    set_clock(10);
    look.revents = 0;
    CHECK_EQ(poll(&look, 1, 30000), 1);
    CHECK_ERRNO(read(fd, &count, 8), ECANCELED);
    CHECK_ERRNO(read(fd, &count, 8), EAGAIN);
    set_clock(-10);
    CHECK_ERRNO(read(fd, &count, 8), ECANCELED);
    close(fd);
}

std::atomic<int> alarms;

void posix_timers() {
    handle(SIGUSR1, [](int) { alarms++; });
    sigevent event = {};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGUSR1;
    timer_t timer, relative;
    CHECK_OK(timer_create(CLOCK_REALTIME, &event, &timer));
    CHECK_OK(timer_create(CLOCK_REALTIME, &event, &relative));
    itimerspec setting = {{}, in_seconds(3600)};
    CHECK_OK(timer_settime(timer, TIMER_ABSTIME, &setting, nullptr));
    setting.it_value = {3600, 0};
    CHECK_OK(timer_settime(relative, 0, &setting, nullptr));
    set_clock(-1000);
    itimerspec left;
    CHECK_OK(timer_gettime(timer, &left));
    CHECK_GE(left.it_value.tv_sec, 4590);
    CHECK_OK(timer_gettime(relative, &left));
    CHECK(left.it_value.tv_sec >= 3500 && left.it_value.tv_sec <= 3600);
    CHECK_EQ(alarms.load(), 0);
    set_clock(1000 + 3600);
    CHECK(eventually([] { return alarms == 1; }));
    CHECK_OK(timer_gettime(timer, &left));
    CHECK_EQ(left.it_value.tv_sec, 0);
    set_clock(-3600);
    CHECK_EQ(alarms.load(), 1);
    timer_delete(timer);
    timer_delete(relative);
}

} // namespace

int main() {
    wait_through(CLOCK_REALTIME, nap_until, set_clock);
    wait_through(CLOCK_REALTIME, nap_until, move_clock);
    wait_through(CLOCK_TAI, nap_until, set_clock);
    wait_through(CLOCK_REALTIME, wait_bitset, set_clock);
    wait_through(CLOCK_REALTIME, timed_lock, set_clock);
    wait_longer();
    others_go_on();
    timerfds();
    posix_timers();
    return result();
}
