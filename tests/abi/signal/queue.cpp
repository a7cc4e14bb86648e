// What is pending: real-time signals in order with their values, standard ones once, lowest number first, a thread's
// own before the process's, RLIMIT_SIGPENDING, what is dropped when ignored, sigpending and sigtimedwait.
#include <pthread.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

#include "asleep.hpp"

using namespace check;

namespace {

constexpr timespec no_time = {0, 0};

/// The call itself: the C library would show SI_TKILL as SI_USER.
int next(const sigset_t& set, siginfo_t* info = nullptr) {
    return int(syscall(SYS_rt_sigtimedwait, &set, info, &no_time, 8));
}

void realtime_order() {
    sigset_t set = set_of(SIGRTMIN, SIGRTMIN + 1, SIGRTMAX, SIGUSR1, SIGUSR2, SIGHUP);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, nullptr));
    for (int i = 0; i < 100; ++i) {
        CHECK_OK(sigqueue(getpid(), SIGRTMAX, {.sival_int = 300 + i}));
        CHECK_OK(sigqueue(getpid(), SIGRTMIN + 1, {.sival_int = 200 + i}));
        CHECK_OK(sigqueue(getpid(), SIGRTMIN, {.sival_int = 100 + i}));
    }
    for (int i = 0; i < 3; ++i) {
        CHECK_OK(sigqueue(getpid(), SIGUSR2, {.sival_int = 50 + i}));
        CHECK_OK(kill(getpid(), SIGUSR1));
    }
    siginfo_t info = {};
    CHECK_EQ(next(set, &info), SIGUSR1);
    CHECK_EQ(info.si_code, SI_USER);
    CHECK_EQ(next(set, &info), SIGUSR2); // once, the first
    CHECK_EQ(info.si_value.sival_int, 50);
    for (int group = 0; group < 3; ++group)
        for (int i = 0; i < 100; ++i) {
            const int got = next(set, &info);
            CHECK_EQ(got, group == 0 ? SIGRTMIN : group == 1 ? SIGRTMIN + 1 : SIGRTMAX);
            CHECK_EQ(info.si_value.sival_int, 100 * (group + 1) + i);
        }
    CHECK_ERRNO(next(set), EAGAIN);
    CHECK_OK(sigprocmask(SIG_UNBLOCK, &set, nullptr));
}

volatile int values_in_order;
void note_value(int, siginfo_t* info, void*) {
    if (info->si_code == SI_QUEUE && info->si_value.sival_int == values_in_order) values_in_order = values_in_order + 1;
}

/// Sixty-four that wait are handled in the order in which they came.
void handled_in_order() {
    const sigset_t set = set_of(SIGRTMIN + 2);
    handle(SIGRTMIN + 2, note_value);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, nullptr));
    for (int i = 0; i < 64; ++i) CHECK_OK(sigqueue(getpid(), SIGRTMIN + 2, {.sival_int = i}));
    CHECK_EQ(int(values_in_order), 0);
    CHECK_OK(sigprocmask(SIG_UNBLOCK, &set, nullptr));
    CHECK_EQ(int(values_in_order), 64);
}

int order[16];
volatile sig_atomic_t ordered;
void note(int signal) {
    if (ordered < 16) order[ordered] = signal;
    ordered = ordered + 1;
}

/// Handlers that block everything run one after the other, the lowest number first; faults' signals before all.
void delivery_order() {
    sigset_t all, old;
    sigfillset(&all);
    const int signals[] = {SIGRTMIN + 2, SIGTERM, SIGUSR1, SIGRTMIN, SIGHUP, SIGSEGV, SIGFPE};
    struct sigaction action = {};
    action.sa_handler = note;
    action.sa_mask = all;
    for (int signal : signals) CHECK_OK(sigaction(signal, &action, nullptr));
    CHECK_OK(sigprocmask(SIG_BLOCK, &all, &old));
    for (int signal : signals) CHECK_OK(kill(getpid(), signal));
    CHECK_OK(kill(getpid(), SIGRTMIN)); // twice: both are delivered
    ordered = 0;
    CHECK_OK(sigprocmask(SIG_SETMASK, &old, nullptr));
    const int wanted[] = {SIGFPE, SIGSEGV, SIGHUP, SIGUSR1, SIGTERM, SIGRTMIN, SIGRTMIN, SIGRTMIN + 2};
    CHECK_EQ(int(ordered), 8);
    for (int i = 0; i < 8; ++i) CHECK_EQ(order[i], wanted[i]);
    // Without such a mask the last one delivered runs first.
    for (int signal : {SIGHUP, SIGUSR1, SIGTERM}) handle(signal, note);
    CHECK_OK(sigprocmask(SIG_BLOCK, &all, nullptr));
    for (int signal : {SIGUSR1, SIGTERM, SIGHUP}) CHECK_OK(kill(getpid(), signal));
    ordered = 0;
    CHECK_OK(sigprocmask(SIG_SETMASK, &old, nullptr));
    CHECK_EQ(int(ordered), 3);
    CHECK_EQ(order[0], SIGTERM);
    CHECK_EQ(order[1], SIGUSR1);
    CHECK_EQ(order[2], SIGHUP);
    for (int signal : signals) signal == SIGHUP ? 0 : (handle(signal, SIG_DFL), 0);
    handle(SIGHUP, SIG_DFL);
}

void thread_before_process() {
    sigset_t set = set_of(SIGUSR1, SIGUSR2, SIGRTMIN);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, nullptr));
    CHECK_OK(sigqueue(getpid(), SIGRTMIN, {.sival_int = 1}));
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_OK(syscall(SYS_tgkill, getpid(), gettid(), SIGRTMIN));
    CHECK_OK(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
    CHECK_OK(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR2));
    sigset_t pending;
    CHECK_OK(sigpending(&pending));
    CHECK(sigismember(&pending, SIGUSR1) && sigismember(&pending, SIGUSR2) && sigismember(&pending, SIGRTMIN));
    CHECK(!sigismember(&pending, SIGRTMIN + 1));
    siginfo_t info;
    CHECK_EQ(next(set, &info), SIGUSR1);
    CHECK_EQ(info.si_code, SI_TKILL);
    CHECK_EQ(next(set, &info), SIGUSR2);
    CHECK_EQ(next(set, &info), SIGRTMIN);
    CHECK_EQ(info.si_code, SI_TKILL);
    CHECK_EQ(next(set, &info), SIGUSR1);
    CHECK_EQ(info.si_code, SI_USER);
    CHECK_EQ(next(set, &info), SIGRTMIN);
    CHECK_EQ(info.si_value.sival_int, 1);
    CHECK_ERRNO(next(set), EAGAIN);
    CHECK_OK(sigprocmask(SIG_UNBLOCK, &set, nullptr));
}

void over_the_limit() {
    CHECK_ERRNO(sigqueue(getpid(), SIGRTMIN, {.sival_int = 1}), EAGAIN);
    CHECK_OK(kill(getpid(), SIGRTMIN));
    sigset_t own = set_of(SIGRTMIN);
    siginfo_t info = {};
    CHECK_EQ(next(own, &info), SIGRTMIN);
    CHECK_EQ(info.si_code, SI_USER);
    CHECK_EQ(info.si_pid, 0);
}

/// In a user's name of its own, so that nobody else's signals count.
void within_the_limit() {
    sigset_t set = set_of(SIGRTMIN, SIGUSR1);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, nullptr));
    CHECK_OK(setuid(54321));
    const rlimit ten = {10, 10};
    CHECK_OK(setrlimit(RLIMIT_SIGPENDING, &ten));
    for (int i = 0; i < 10; ++i) CHECK_OK(sigqueue(getpid(), SIGRTMIN, {.sival_int = i}));
    CHECK_ERRNO(sigqueue(getpid(), SIGRTMIN, {.sival_int = 10}), EAGAIN);
    CHECK_OK(kill(getpid(), SIGUSR1)); // kill gets through, without its details
    // The limit is the user's: another process of theirs is over it too.
    const int status = in_child(over_the_limit);
    CHECK_EQ(status, 0);
    siginfo_t info = {};
    CHECK_EQ(next(set, &info), SIGUSR1);
    CHECK_EQ(info.si_signo, SIGUSR1);
    for (int i = 0; i < 10; ++i) {
        CHECK_EQ(next(set, &info), SIGRTMIN);
        CHECK_EQ(info.si_value.sival_int, i);
    }
    CHECK_OK(sigqueue(getpid(), SIGRTMIN, {.sival_int = 1}));
    CHECK_EQ(next(set), SIGRTMIN);
    CHECK_ERRNO(next(set), EAGAIN);
}

void limit() {
    const int status = in_child(within_the_limit);
    CHECK_EQ(status, 0);
}

void dropped_when_ignored() {
    sigset_t set = set_of(SIGUSR1, SIGCHLD, SIGRTMIN), pending;
    signal(SIGUSR1, SIG_IGN);
    CHECK_OK(kill(getpid(), SIGUSR1)); // ignored and not blocked: gone
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, nullptr));
    sigpending(&pending);
    CHECK(!sigismember(&pending, SIGUSR1));
    CHECK_OK(kill(getpid(), SIGUSR1)); // blocked: kept, for the action may change
    CHECK_OK(kill(getpid(), SIGCHLD));
    for (int i = 0; i < 3; ++i) CHECK_OK(sigqueue(getpid(), SIGRTMIN, {.sival_int = i}));
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGUSR1));
    CHECK(sigismember(&pending, SIGCHLD));
    signal(SIGUSR1, SIG_IGN); // setting it drops what is pending
    signal(SIGCHLD, SIG_DFL); // and so does a default of ignoring
    signal(SIGRTMIN, SIG_IGN);
    sigpending(&pending);
    CHECK(!sigismember(&pending, SIGUSR1));
    CHECK(!sigismember(&pending, SIGCHLD));
    CHECK(!sigismember(&pending, SIGRTMIN));
    signal(SIGUSR1, SIG_DFL);
    signal(SIGRTMIN, SIG_DFL);
    CHECK_OK(sigprocmask(SIG_UNBLOCK, &set, nullptr));
}

void bad_arguments() {
    sigset_t set = set_of(SIGUSR1);
    CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, nullptr, 16), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigprocmask, 77, &set, nullptr, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8, nullptr, 8), EFAULT);
    CHECK_OK(syscall(SYS_rt_sigprocmask, 77, nullptr, &set, 8)); // without a set, how doesn't matter
    CHECK_ERRNO(syscall(SYS_rt_sigpending, &set, 9), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigpending, 8, 8), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_sigsuspend, &set, 4), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, nullptr, nullptr, 4), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, 0, nullptr, nullptr, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, 65, nullptr, nullptr, 8), EINVAL);
    const timespec bad = {0, 1000000000};
    CHECK_ERRNO(sigtimedwait(&set, nullptr, &bad), EINVAL);
    CHECK_ERRNO(kill(getpid(), 65), EINVAL);
    CHECK_ERRNO(kill(getpid(), -1), EINVAL);
    CHECK_OK(kill(getpid(), 0));
    CHECK_ERRNO(kill(99999999, 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_tgkill, getpid(), 99999999, 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_tgkill, 0, gettid(), 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_tgkill, 1, gettid(), 0), ESRCH); // not of that process
    CHECK_ERRNO(syscall(SYS_tkill, -1, 0), EINVAL);
}

/// Nobody but its owner and root may signal a process; SIGCONT goes within a session.
void permission() {
    const pid_t root_child = fork();
    if (root_child == 0)
        for (;;) pause();
    const int status = in_child([&] {
        CHECK_OK(setuid(1000));
        CHECK_ERRNO(kill(root_child, SIGTERM), EPERM);
        CHECK_ERRNO(kill(root_child, 0), EPERM);
        CHECK_OK(kill(root_child, SIGCONT));
        CHECK_EQ(setsid(), getpid());
        CHECK_ERRNO(kill(root_child, SIGCONT), EPERM);
        CHECK_ERRNO(kill(99999999, SIGTERM), ESRCH);
    });
    CHECK_EQ(status, 0);
    kill(root_child, SIGKILL);
    CHECK_EQ(waitpid(root_child, nullptr, 0), root_child);
}

void through_signalfd() {
    sigset_t set = set_of(SIGRTMIN, SIGUSR1);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, nullptr));
    const int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    CHECK(fd >= 0);
    signalfd_siginfo infos[4];
    CHECK_ERRNO(read(fd, infos, sizeof infos), EAGAIN);
    CHECK_OK(sigqueue(getpid(), SIGRTMIN, {.sival_int = 5}));
    CHECK_OK(sigqueue(getpid(), SIGRTMIN, {.sival_int = 6}));
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(read(fd, infos, sizeof infos), ssize_t(3 * sizeof infos[0]));
    CHECK_EQ(infos[0].ssi_signo, uint32_t(SIGUSR1));
    CHECK_EQ(infos[0].ssi_pid, uint32_t(getpid()));
    CHECK_EQ(infos[1].ssi_int, 5);
    CHECK_EQ(infos[2].ssi_int, 6);
    CHECK_EQ(infos[2].ssi_code, int(SI_QUEUE));
    CHECK_ERRNO(read(fd, infos, sizeof infos[0] - 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_signalfd4, -1, &set, 8, 0x1234567), EINVAL);
    CHECK_ERRNO(syscall(SYS_signalfd4, 0, &set, 8, 0), EINVAL);
    close(fd);
    CHECK_OK(sigprocmask(SIG_UNBLOCK, &set, nullptr));
}

} // namespace

int main() {
    realtime_order();
    handled_in_order();
    delivery_order();
    thread_before_process();
    limit();
    dropped_when_ignored();
    bad_arguments();
    permission();
    through_signalfd();
    return result();
}
