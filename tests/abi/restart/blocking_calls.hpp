// The system calls that block, an entry for each: how one is done, what ends its wait, and how it ends when a signal or
// a stop comes in between (signal(7), "Interruption of system calls"). A new call is a new entry of `calls`.
#pragma once

#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pty.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <termios.h>

#include "message_queues.hpp"
#include "semaphores.hpp"

namespace blocking {

using namespace check;

constexpr int waited_signal = 40;

struct Shared {
    std::atomic<int> handled;
    std::atomic<pid_t> grandchild;
    std::atomic<uint32_t> word;
};
inline Shared* memory;

/// Everything the calls wait for; made anew for each trial.
struct Things {
    int empty[2], full[2], master, slave, counter, full_counter, timer, signals, epoll, locked;
    int held_master, held; // a terminal that takes no output
    int messages, full_messages, semaphore;
    mqd_t queue, full_queue;
};
inline Things things;

inline mqd_t one_message_queue(const char* name) {
    mq_attr attributes = {};
    attributes.mq_maxmsg = attributes.mq_msgsize = 1;
    const mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    CHECK(queue >= 0);
    mq_unlink(name);
    return queue;
}

inline void make_queues() {
    things.messages = message_queues::make();
    things.full_messages = message_queues::make();
    msqid_ds limits = message_queues::status(things.full_messages);
    limits.msg_qbytes = sizeof(int);
    CHECK_OK(msgctl(things.full_messages, IPC_SET, &limits));
    CHECK_OK(message_queues::send(things.full_messages, 1, 0));
    things.semaphore = semaphores::make(1);
    things.queue = one_message_queue("/restart-empty");
    things.full_queue = one_message_queue("/restart-full");
    CHECK_OK(mq_send(things.full_queue, "x", 1, 0));
}

inline void make_things() {
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
    REQUIRE(openpty(&things.held_master, &things.held, nullptr, &raw, nullptr) == 0);
    CHECK_OK(tcflow(things.held, TCOOFF));
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
    make_queues();
    memory->handled = 0;
    memory->grandchild = 0;
    memory->word = 0;
}

inline void drop_things() {
    for (int fd : {things.empty[0], things.empty[1], things.full[0], things.full[1], things.master, things.slave,
                   things.counter, things.full_counter, things.timer, things.signals, things.epoll, things.locked,
                   things.held_master, things.held, things.queue, things.full_queue})
        close(fd);
    message_queues::remove(things.messages);
    message_queues::remove(things.full_messages);
    semaphores::remove(things.semaphore);
}

inline pid_t make_grandchild() {
    const pid_t child = fork();
    if (child == 0)
        for (;;) pause();
    memory->grandchild = child;
    return child;
}

inline long futex(int operation, const timespec* time) {
    return syscall(SYS_futex, &memory->word, operation, 0, time, nullptr, FUTEX_BITSET_MATCH_ANY);
}

const timespec long_time = {1000, 0};

inline timespec in_a_while(clockid_t clock) {
    timespec time;
    clock_gettime(clock, &time);
    time.tv_sec += 1000;
    return time;
}

inline long posix(int error) { return error ? (errno = error, -1) : 0; }

inline void type_byte() { CHECK_EQ(write(things.empty[1], "x", 1), 1); }
inline void wake_futex() { CHECK_EQ(syscall(SYS_futex, &memory->word, FUTEX_WAKE, 1, nullptr, nullptr, 0), 1); }
inline void kill_grandchild() { CHECK_OK(kill(memory->grandchild, SIGKILL)); }

/// How a call ends: it goes on, or fails with EINTR.
enum Fate { GoesOn, Ends };

struct Call {
    const char* name;
    long (*run)();
    void (*release)(pid_t); // what the call waits for; null: nothing but a signal ends it
    Fate with_restart, without_restart, after_stop;
    void (*prepare)() = nullptr; // in the parent, before the child is made
};

inline fd_set only(int fd) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    return set;
}

inline long lock_whole_file(int command) {
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    return fcntl(open("restart.lock", O_RDWR), command, &lock);
}

inline void hold_flock() { CHECK_OK(flock(things.locked, LOCK_EX)); }
inline void hold_record() {
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    CHECK_OK(fcntl(things.locked, F_SETLK, &lock));
}
inline void drop_record(pid_t) {
    struct flock lock = {};
    lock.l_type = F_UNLCK;
    CHECK_OK(fcntl(things.locked, F_SETLK, &lock));
}

inline void make_room(pid_t) {
    static char buffer[65536]; // a page at least must become free
    CHECK_EQ(read(things.full[0], buffer, sizeof buffer), ssize_t(sizeof buffer));
}

/// The test's own process holds the lock.
inline void lock_word() { memory->word = uint32_t(gettid()); }
inline void unlock_word(pid_t) { CHECK_OK(syscall(SYS_futex, &memory->word, FUTEX_UNLOCK_PI, 0, nullptr, nullptr, 0)); }

/// struct futex_waitv of Linux 5.16.
struct WaitedWord {
    uint64_t value, address;
    uint32_t flags, reserved;
};

inline char byte;
inline epoll_event one_event;

inline const Call calls[] = {
    {"read of a pipe", [] { return long(read(things.empty[0], &byte, 1)); }, [](pid_t) { type_byte(); }, GoesOn, Ends,
     GoesOn},
    {"write to a full pipe", [] { return long(write(things.full[1], "x", 1)); }, make_room, GoesOn, Ends, GoesOn},
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
    {"readv of a pipe",
     [] {
         const iovec part = {&byte, 1};
         return long(readv(things.empty[0], &part, 1));
     },
     [](pid_t) { type_byte(); }, GoesOn, Ends, GoesOn},
    {"writev to a full pipe",
     [] {
         const iovec part = {&byte, 1};
         return long(writev(things.full[1], &part, 1));
     },
     make_room, GoesOn, Ends, GoesOn},
    {"sendfile to a full pipe",
     [] {
         CHECK_EQ(write(things.locked, "x", 1), 1);
         off_t from = 0;
         return long(sendfile(things.full[1], things.locked, &from, 1));
     },
     make_room, GoesOn, Ends, GoesOn},
    {"write to a held terminal", [] { return long(write(things.held, "x", 1)); },
     [](pid_t) { CHECK_OK(tcflow(things.held, TCOON)); }, GoesOn, Ends, GoesOn},
    {"open of a FIFO to write", [] { return long(open("restart.fifo", O_WRONLY)); },
     [](pid_t) { close(open("restart.fifo", O_RDONLY)); }, GoesOn, Ends, GoesOn},
    {"waitid of a pidfd",
     [] {
         siginfo_t info;
         const int fd = int(syscall(SYS_pidfd_open, make_grandchild(), 0));
         return long(waitid(idtype_t(3), id_t(fd), &info, WEXITED)); // P_PIDFD
     },
     [](pid_t) { kill_grandchild(); }, GoesOn, Ends, GoesOn},
    {"futex_waitv",
     [] {
         const WaitedWord one = {0, uint64_t(&memory->word), 2, 0}; // FUTEX2_SIZE_U32
         return syscall(449, &one, 1, 0, nullptr, CLOCK_MONOTONIC);
     },
     [](pid_t) { wake_futex(); }, GoesOn, Ends, GoesOn},
    {"futex_waitv until",
     [] {
         const WaitedWord one = {0, uint64_t(&memory->word), 2, 0};
         const timespec until = in_a_while(CLOCK_MONOTONIC);
         return syscall(449, &one, 1, 0, &until, CLOCK_MONOTONIC);
     },
     [](pid_t) { wake_futex(); }, GoesOn, Ends, GoesOn},
    {"FUTEX_LOCK_PI", [] { return futex(FUTEX_LOCK_PI, nullptr); }, unlock_word, GoesOn, GoesOn, GoesOn, lock_word},
    {"FUTEX_LOCK_PI until",
     [] {
         const timespec until = in_a_while(CLOCK_REALTIME);
         return futex(FUTEX_LOCK_PI, &until);
     },
     unlock_word, GoesOn, GoesOn, GoesOn, lock_word},
    {"msgrcv", [] { return long(message_queues::receive(things.messages, 0, 0)); },
     [](pid_t) { CHECK_OK(message_queues::send(things.messages, 1, 5)); }, Ends, Ends, GoesOn},
    {"msgsnd", [] { return long(message_queues::send(things.full_messages, 1, 5, sizeof(int), 0)); },
     [](pid_t) { CHECK_EQ(message_queues::receive(things.full_messages), 0); }, Ends, Ends, GoesOn},
    {"semop", [] { return long(semaphores::operate(things.semaphore, {semaphores::step(0, -1)})); },
     [](pid_t) { semaphores::set(things.semaphore, 0, 1); }, Ends, Ends, Ends},
    {"semtimedop",
     [] {
         sembuf step = semaphores::step(0, -1);
         return long(semtimedop(things.semaphore, &step, 1, &long_time));
     },
     [](pid_t) { semaphores::set(things.semaphore, 0, 1); }, Ends, Ends, Ends},
    {"mq_receive", [] { return long(mq_receive(things.queue, &byte, 1, nullptr)); },
     [](pid_t) { CHECK_OK(mq_send(things.queue, "x", 1, 0)); }, GoesOn, Ends, GoesOn},
    {"mq_timedreceive",
     [] {
         const timespec until = in_a_while(CLOCK_REALTIME);
         return long(mq_timedreceive(things.queue, &byte, 1, nullptr, &until));
     },
     [](pid_t) { CHECK_OK(mq_send(things.queue, "x", 1, 0)); }, GoesOn, Ends, GoesOn},
    {"mq_send", [] { return long(mq_send(things.full_queue, "x", 1, 0)); },
     [](pid_t) { CHECK_EQ(mq_receive(things.full_queue, &byte, 1, nullptr), 1); }, GoesOn, Ends, GoesOn},
    {"mq_timedsend",
     [] {
         const timespec until = in_a_while(CLOCK_REALTIME);
         return long(mq_timedsend(things.full_queue, "x", 1, 0, &until));
     },
     [](pid_t) { CHECK_EQ(mq_receive(things.full_queue, &byte, 1, nullptr), 1); }, GoesOn, Ends, GoesOn},
    {"epoll_pwait2", [] { return syscall(441, things.epoll, &one_event, 1, &long_time, nullptr, 0); },
     [](pid_t) { type_byte(); }, Ends, Ends, Ends},
    {"clock_nanosleep of CPU time",
     [] { return posix(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &long_time, nullptr)); }, nullptr, Ends, Ends,
     GoesOn},
};

} // namespace blocking
