// timeout: 180
// Which interrupted calls go on (signal(7), "Interruption of system calls"): every blocking call with a handler with
// and without SA_RESTART, with a signal ignored by default, and with a stop and continue. The first signal decides.
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pty.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <termios.h>

#include "asleep.hpp"

using namespace check;

namespace {

constexpr int waited_signal = 40;

struct Shared {
    std::atomic<int> handled;
    std::atomic<pid_t> grandchild;
    std::atomic<uint32_t> word;
};
Shared* memory;

/// Everything the calls wait for; made anew for each trial.
struct Things {
    int empty[2], full[2], master, slave, counter, full_counter, timer, signals, epoll, locked;
};
Things things;

void make_things() {
    REQUIRE(pipe(things.empty) == 0);
    REQUIRE(pipe(things.full) == 0);
    fcntl(things.full[1], F_SETFL, O_NONBLOCK);
    static char block[4096];
    while (write(things.full[1], block, sizeof block) > 0) {
    }
    fcntl(things.full[1], F_SETFL, 0);
    termios raw;
    cfmakeraw(&raw);
    raw.c_cflag |= CREAD;
    raw.c_cc[VMIN] = 1;
    REQUIRE(openpty(&things.master, &things.slave, nullptr, &raw, nullptr) == 0);
    things.counter = eventfd(0, 0);
    things.full_counter = eventfd(0, 0);
    const uint64_t most = ~uint64_t(0) - 1;
    CHECK_EQ(write(things.full_counter, &most, 8), 8);
    things.timer = timerfd_create(CLOCK_MONOTONIC, 0);
    const sigset_t set = set_of(waited_signal);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    things.signals = signalfd(-1, &set, 0);
    things.epoll = epoll_create1(0);
    epoll_event event = {EPOLLIN, {}};
    CHECK_OK(epoll_ctl(things.epoll, EPOLL_CTL_ADD, things.empty[0], &event));
    things.locked = open("restart.lock", O_RDWR | O_CREAT, 0600);
    unlink("restart.fifo");
    CHECK_OK(mkfifo("restart.fifo", 0600));
    memory->handled = 0;
    memory->grandchild = 0;
    memory->word = 0;
}

void drop_things() {
    for (int fd : {things.empty[0], things.empty[1], things.full[0], things.full[1], things.master, things.slave,
                   things.counter, things.full_counter, things.timer, things.signals, things.epoll, things.locked})
        close(fd);
}

pid_t make_grandchild() {
    const pid_t child = fork();
    if (child == 0)
        for (;;) pause();
    memory->grandchild = child;
    return child;
}

long futex(int operation, const timespec* time) {
    return syscall(SYS_futex, &memory->word, operation, 0, time, nullptr, FUTEX_BITSET_MATCH_ANY);
}

const timespec long_time = {1000, 0};

timespec in_a_while(clockid_t clock) {
    timespec time;
    clock_gettime(clock, &time);
    time.tv_sec += 1000;
    return time;
}

long posix(int error) { return error ? (errno = error, -1) : 0; }

void type_byte() { CHECK_EQ(write(things.empty[1], "x", 1), 1); }
void wake_futex() { CHECK_EQ(syscall(SYS_futex, &memory->word, FUTEX_WAKE, 1, nullptr, nullptr, 0), 1); }
void kill_grandchild() { CHECK_OK(kill(memory->grandchild, SIGKILL)); }

/// How a call ends: it goes on, or fails with EINTR.
enum Fate { GoesOn, Ends };

struct Call {
    const char* name;
    long (*run)();
    void (*release)(pid_t); // what the call waits for; null: nothing but a signal ends it
    Fate with_restart, without_restart, after_stop;
    void (*prepare)() = nullptr; // in the parent, before the child is made
};

fd_set only(int fd) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    return set;
}

long lock_whole_file(int command) {
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    return fcntl(open("restart.lock", O_RDWR), command, &lock);
}

void hold_flock() { CHECK_OK(flock(things.locked, LOCK_EX)); }
void hold_record() {
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    CHECK_OK(fcntl(things.locked, F_SETLK, &lock));
}
void drop_record(pid_t) {
    struct flock lock = {};
    lock.l_type = F_UNLCK;
    CHECK_OK(fcntl(things.locked, F_SETLK, &lock));
}

char byte;
epoll_event one_event;

const Call calls[] = {
    {"read of a pipe", [] { return long(read(things.empty[0], &byte, 1)); }, [](pid_t) { type_byte(); }, GoesOn, Ends,
     GoesOn},
    {"write to a full pipe", [] { return long(write(things.full[1], "x", 1)); },
     [](pid_t) {
         static char buffer[65536]; // a page at least must become free
         CHECK_EQ(read(things.full[0], buffer, sizeof buffer), ssize_t(sizeof buffer));
     },
     GoesOn, Ends, GoesOn},
    {"read of a terminal", [] { return long(read(things.slave, &byte, 1)); },
     [](pid_t) { CHECK_EQ(write(things.master, "x", 1), 1); }, GoesOn, Ends, GoesOn},
    {"read of an eventfd",
     [] {
         uint64_t value;
         return long(read(things.counter, &value, 8));
     },
     [](pid_t) {
         const uint64_t one = 1;
         CHECK_EQ(write(things.counter, &one, 8), 8);
     },
     GoesOn, Ends, GoesOn},
    {"write to a full eventfd",
     [] {
         const uint64_t one = 1;
         return long(write(things.full_counter, &one, 8));
     },
     [](pid_t) {
         uint64_t value;
         CHECK_EQ(read(things.full_counter, &value, 8), 8);
     },
     GoesOn, Ends, GoesOn},
    {"read of a timerfd",
     [] {
         uint64_t value;
         return long(read(things.timer, &value, 8));
     },
     [](pid_t) {
         const itimerspec now = {{0, 0}, {0, 1}};
         CHECK_OK(timerfd_settime(things.timer, 0, &now, nullptr));
     },
     GoesOn, Ends, GoesOn},
    {"read of a signalfd",
     [] {
         signalfd_siginfo info;
         return long(read(things.signals, &info, sizeof info));
     },
     [](pid_t child) { kill(child, waited_signal); }, GoesOn, Ends, GoesOn},
    {"open of a FIFO", [] { return long(open("restart.fifo", O_RDONLY)); },
     [](pid_t) { close(open("restart.fifo", O_WRONLY)); }, GoesOn, Ends, GoesOn},
    {"wait4",
     [] {
         const pid_t child = make_grandchild();
         return long(wait4(child, nullptr, 0, nullptr));
     },
     [](pid_t) { kill_grandchild(); }, GoesOn, Ends, GoesOn},
    {"waitid",
     [] {
         siginfo_t info;
         return long(waitid(P_PID, id_t(make_grandchild()), &info, WEXITED));
     },
     [](pid_t) { kill_grandchild(); }, GoesOn, Ends, GoesOn},
    {"futex wait", [] { return futex(FUTEX_WAIT, nullptr); }, [](pid_t) { wake_futex(); }, GoesOn, Ends, GoesOn},
    {"futex wait with time", [] { return futex(FUTEX_WAIT, &long_time); }, [](pid_t) { wake_futex(); }, Ends, Ends,
     GoesOn},
    {"futex wait until",
     [] {
         const timespec until = in_a_while(CLOCK_MONOTONIC);
         return futex(FUTEX_WAIT_BITSET, &until);
     },
     [](pid_t) { wake_futex(); }, Ends, Ends, GoesOn},
    {"flock", [] { return long(flock(open("restart.lock", O_RDWR), LOCK_EX)); },
     [](pid_t) { CHECK_OK(flock(things.locked, LOCK_UN)); }, GoesOn, Ends, GoesOn, hold_flock},
    {"F_SETLKW", [] { return lock_whole_file(F_SETLKW); }, drop_record, GoesOn, Ends, GoesOn, hold_record},
    {"F_OFD_SETLKW", [] { return lock_whole_file(F_OFD_SETLKW); }, drop_record, GoesOn, Ends, GoesOn, hold_record},
    {"poll",
     [] {
         pollfd request = {things.empty[0], POLLIN, 0};
         return long(poll(&request, 1, -1));
     },
     [](pid_t) { type_byte(); }, Ends, Ends, GoesOn},
    {"poll with time",
     [] {
         pollfd request = {things.empty[0], POLLIN, 0};
         return long(poll(&request, 1, 1000000));
     },
     [](pid_t) { type_byte(); }, Ends, Ends, GoesOn},
    {"ppoll",
     [] {
         pollfd request = {things.empty[0], POLLIN, 0};
         sigset_t none = set_of();
         return long(ppoll(&request, 1, &long_time, &none));
     },
     [](pid_t) { type_byte(); }, Ends, Ends, GoesOn},
    {"select",
     [] {
         fd_set set = only(things.empty[0]);
         timeval time = {1000, 0};
         return long(select(things.empty[0] + 1, &set, nullptr, nullptr, &time));
     },
     [](pid_t) { type_byte(); }, Ends, Ends, GoesOn},
    {"pselect",
     [] {
         fd_set set = only(things.empty[0]);
         sigset_t none = set_of();
         return long(pselect(things.empty[0] + 1, &set, nullptr, nullptr, nullptr, &none));
     },
     [](pid_t) { type_byte(); }, Ends, Ends, GoesOn},
    {"epoll_wait", [] { return long(epoll_wait(things.epoll, &one_event, 1, -1)); }, [](pid_t) { type_byte(); }, Ends,
     Ends, Ends},
    {"epoll_pwait",
     [] {
         sigset_t none = set_of();
         return long(epoll_pwait(things.epoll, &one_event, 1, 1000000, &none));
     },
     [](pid_t) { type_byte(); }, Ends, Ends, Ends},
    {"nanosleep", [] { return long(syscall(SYS_nanosleep, &long_time, nullptr)); }, nullptr, Ends, Ends, GoesOn},
    {"clock_nanosleep", [] { return posix(clock_nanosleep(CLOCK_BOOTTIME, 0, &long_time, nullptr)); }, nullptr, Ends,
     Ends, GoesOn},
    {"clock_nanosleep until",
     [] {
         const timespec until = in_a_while(CLOCK_REALTIME);
         return posix(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, nullptr));
     },
     nullptr, Ends, Ends, GoesOn},
    {"pause", [] { return long(pause()); }, nullptr, Ends, Ends, GoesOn},
    {"sigsuspend",
     [] {
         sigset_t none = set_of();
         return long(sigsuspend(&none));
     },
     nullptr, Ends, Ends, GoesOn},
    {"sigwaitinfo",
     [] {
         sigset_t set = set_of(waited_signal);
         return long(sigwaitinfo(&set, nullptr));
     },
     [](pid_t child) { kill(child, waited_signal); }, Ends, Ends, Ends},
    {"sigtimedwait",
     [] {
         sigset_t set = set_of(waited_signal);
         return long(sigtimedwait(&set, nullptr, &long_time));
     },
     [](pid_t child) { kill(child, waited_signal); }, Ends, Ends, Ends},
};

void count(int) { memory->handled++; }

struct Report {
    long result;
    int error;
};

/// A child that does the call, and the pipe in which it tells how that ended.
struct Trial {
    pid_t child;
    int report[2];

    explicit Trial(const Call& call, int flags) {
        make_things();
        if (call.prepare) call.prepare();
        REQUIRE(pipe(report) == 0);
        child = fork();
        if (child == 0) {
            handle(SIGUSR1, count, flags);
            handle(SIGUSR2, count, flags ^ SA_RESTART);
            errno = 0;
            Report done = {call.run(), 0};
            done.error = errno;
            (void)!write(report[1], &done, sizeof done);
            _exit(0);
        }
        settle();
    }

    void settle() { wait_asleep(child); }

    bool has_ended() {
        pollfd request = {report[0], POLLIN, 0};
        return poll(&request, 1, 0) == 1;
    }

    void expect(const Call& call, const char* what, Fate fate) {
        char text[200];
        Report done = {};
        if (fate == GoesOn) {
            if (!has_ended() && call.release) call.release(child);
            if (!call.release) {
                if (!has_ended()) return;
            } else if (read(report[0], &done, sizeof done) == sizeof done && done.result >= 0) {
                return;
            }
            if (!call.release) (void)!read(report[0], &done, sizeof done);
            snprintf(text, sizeof text, "%s, %s: ended with %ld (errno %d), should have gone on", call.name, what,
                     done.result, done.error);
        } else {
            if (!eventually([&] { return has_ended(); }))
                snprintf(text, sizeof text, "%s, %s: went on, should have ended", call.name, what);
            else if (read(report[0], &done, sizeof done) != sizeof done || done.result != -1 || done.error != EINTR)
                snprintf(text, sizeof text, "%s, %s: ended with %ld (errno %d), not EINTR", call.name, what,
                         done.result, done.error);
            else
                return;
        }
        failed(__FILE__, __LINE__, text);
    }

    ~Trial() {
        kill(child, SIGKILL);
        if (memory->grandchild) kill(memory->grandchild, SIGKILL);
        waitpid(child, nullptr, 0);
        close(report[0]), close(report[1]);
        drop_things();
    }
};

void with_handler(const Call& call, int flags, Fate fate) {
    Trial trial(call, flags);
    kill(trial.child, SIGUSR1);
    CHECK(eventually([] { return memory->handled == 1; }));
    if (fate == GoesOn) trial.settle();
    trial.expect(call, flags ? "handler with SA_RESTART" : "handler", fate);
}

void with_ignored_signals(const Call& call) {
    Trial trial(call, 0);
    for (int signal : {SIGURG, SIGWINCH, SIGCHLD, SIGCONT}) kill(trial.child, signal);
    trial.settle();
    trial.expect(call, "ignored signals", GoesOn);
}

void with_stop(const Call& call) {
    Trial trial(call, 0);
    int status = 0;
    kill(trial.child, SIGSTOP);
    CHECK_EQ(waitpid(trial.child, &status, WUNTRACED), trial.child);
    CHECK(WIFSTOPPED(status));
    kill(trial.child, SIGCONT);
    CHECK_EQ(waitpid(trial.child, &status, WCONTINUED), trial.child);
    CHECK(WIFCONTINUED(status));
    if (call.after_stop == GoesOn) trial.settle();
    trial.expect(call, "stop and continue", call.after_stop);
}

/// Two handlers at once, of which one wants a restart: the signal delivered first, the lower number, decides.
void first_decides(int flags, Fate fate) {
    Trial trial(calls[0], flags);
    kill(trial.child, SIGSTOP);
    int status = 0;
    CHECK_EQ(waitpid(trial.child, &status, WUNTRACED), trial.child);
    kill(trial.child, SIGUSR2);
    kill(trial.child, SIGUSR1);
    kill(trial.child, SIGCONT);
    CHECK(eventually([] { return memory->handled == 2; }));
    if (fate == GoesOn) trial.settle();
    trial.expect(calls[0], flags ? "restart, then none" : "no restart, then one", fate);
}

} // namespace

int main() {
    memory = shared<Shared>();
    for (const Call& call : calls) {
        with_handler(call, SA_RESTART, call.with_restart);
        with_handler(call, 0, call.without_restart);
        with_ignored_signals(call);
        with_stop(call);
    }
    first_decides(SA_RESTART, GoesOn);
    first_decides(0, Ends);
    unlink("restart.lock");
    unlink("restart.fifo");
    return result();
}
