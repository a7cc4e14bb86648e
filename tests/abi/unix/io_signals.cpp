// Signals about files: F_SETOWN, F_SETSIG, O_ASYNC and their relatives (fcntl(2), socket(7), signal(7)), on sockets,
// pipes and terminals.
#include <csignal>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "asleep.hpp"
#include "child.hpp"
#include "sockets.hpp"

using namespace check;

/// Waits for a blocked signal; its si_code, or -1 when none comes.
static int next_signal(int signal, siginfo_t* info, double seconds = 20) {
    const sigset_t set = set_of(signal);
    const timespec time = {time_t(seconds), long((seconds - double(time_t(seconds))) * 1e9)};
    return sigtimedwait(&set, info, &time) == signal ? info->si_code : -1;
}

static void who() {
    SocketPair pair;
    CHECK_EQ(fcntl(pair[0], F_GETOWN), 0);
    CHECK_EQ(fcntl(pair[0], F_GETSIG), 0);
    CHECK_OK(fcntl(pair[0], F_SETOWN, getpid()));
    CHECK_EQ(fcntl(pair[0], F_GETOWN), getpid());
    f_owner_ex owner = {};
    CHECK_OK(fcntl(pair[0], F_GETOWN_EX, &owner));
    CHECK(owner.type == F_OWNER_PID && owner.pid == getpid());
    owner = {F_OWNER_PGRP, getpgrp()};
    CHECK_OK(fcntl(pair[0], F_SETOWN_EX, &owner));
    CHECK_OK(ioctl(pair[0], FIOGETOWN, &owner.pid));
    CHECK_EQ(owner.pid, -getpgrp());
    owner = {F_OWNER_TID, gettid()};
    CHECK_OK(fcntl(pair[0], F_SETOWN_EX, &owner));
    owner = {};
    CHECK_OK(fcntl(pair[0], F_GETOWN_EX, &owner));
    CHECK(owner.type == F_OWNER_TID && owner.pid == gettid());
    owner.type = __pid_type(7);
    CHECK_ERRNO(fcntl(pair[0], F_SETOWN_EX, &owner), EINVAL);
    CHECK_ERRNO(fcntl(pair[0], F_SETOWN_EX, (void*)8), EFAULT);
    CHECK_ERRNO(fcntl(pair[0], F_SETOWN, 0x3ffffff), ESRCH);
    int pid = getpid();
    CHECK_OK(ioctl(pair[0], SIOCSPGRP, &pid));
    CHECK_EQ(fcntl(pair[0], F_GETOWN), getpid());
    CHECK_OK(fcntl(pair[0], F_SETOWN, 0));
    CHECK_EQ(fcntl(pair[0], F_GETOWN), 0);
    CHECK_ERRNO(fcntl(pair[0], F_SETSIG, 65), EINVAL);
    CHECK_ERRNO(fcntl(pair[0], F_SETSIG, -1), EINVAL);
    CHECK_OK(fcntl(pair[0], F_SETSIG, 64));
    CHECK_EQ(fcntl(pair[0], F_GETSIG), 64);
    // One that is gone is no owner.
    const pid_t child = pausing();
    CHECK_OK(fcntl(pair[0], F_SETOWN, child));
    CHECK_EQ(fcntl(pair[0], F_GETOWN), child);
    end_child(child);
    CHECK_EQ(fcntl(pair[0], F_GETOWN), 0);
    // Kinds of files that tell nobody.
    const int event = eventfd(0, 0);
    int on = 1;
    CHECK_ERRNO(ioctl(event, FIOASYNC, &on), ENOTTY);
    close(event);
}

static void plain() {
    SocketPair pair;
    siginfo_t info;
    CHECK_OK(fcntl(pair[0], F_SETOWN, getpid()));
    CHECK_EQ(write(pair[1], "x", 1), 1);
    CHECK_EQ(next_signal(SIGIO, &info, 0.05), -1); // not asked for
    CHECK_OK(fcntl(pair[0], F_SETFL, O_ASYNC));
    CHECK_EQ(fcntl(pair[0], F_GETFL), O_RDWR | O_ASYNC);
    CHECK_EQ(write(pair[1], "x", 1), 1);
    CHECK_EQ(next_signal(SIGIO, &info), SI_KERNEL);
    pair.close_one(1);
    CHECK_EQ(next_signal(SIGIO, &info), SI_KERNEL);
    CHECK_OK(fcntl(pair[0], F_SETFL, 0));
}

static void with_reasons() {
    const int signal = SIGRTMIN + 1;
    SocketPair pair;
    siginfo_t info;
    int on = 1;
    CHECK_OK(fcntl(pair[0], F_SETOWN, getpid()));
    CHECK_OK(fcntl(pair[0], F_SETSIG, signal));
    CHECK_OK(ioctl(pair[0], FIOASYNC, &on));
    CHECK_EQ(write(pair[1], "x", 1), 1);
    CHECK_EQ(next_signal(signal, &info), POLL_IN);
    CHECK_EQ(info.si_fd, pair[0]);
    CHECK((info.si_band & POLLIN) != 0);
    // Each message is told.
    for (int i = 0; i < 5; ++i) CHECK_EQ(write(pair[1], "x", 1), 1);
    for (int i = 0; i < 5; ++i) CHECK_EQ(next_signal(signal, &info), POLL_IN);
    char text[8];
    CHECK_EQ(read(pair[0], text, 8), 6);
    on = 0;
    CHECK_OK(ioctl(pair[0], FIOASYNC, &on));
    CHECK_EQ(write(pair[1], "x", 1), 1);
    CHECK_EQ(next_signal(signal, &info, 0.05), -1);
    on = 1;
    CHECK_OK(ioctl(pair[0], FIOASYNC, &on));
    pair.close_one(1);
    CHECK_EQ(next_signal(signal, &info), POLL_HUP);
    // A descriptor less doesn't end it; the file's end does.
    int pipes[2];
    CHECK_OK(pipe(pipes));
    CHECK_OK(fcntl(pipes[0], F_SETOWN, getpid()));
    CHECK_OK(fcntl(pipes[0], F_SETSIG, signal));
    CHECK_OK(fcntl(pipes[0], F_SETFL, O_ASYNC));
    const int other = dup(pipes[0]);
    close(pipes[0]);
    CHECK_EQ(write(pipes[1], "x", 1), 1);
    CHECK_EQ(next_signal(signal, &info), POLL_IN);
    close(other);
    close(pipes[1]);
}

static std::atomic<int> got;
static void note(int, siginfo_t*, void*) { got = gettid(); }

static void* listen_for_it(void* argument) {
    const sigset_t set = set_of(SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    *static_cast<std::atomic<int>*>(argument) = gettid();
    CHECK(eventually([] { return got != 0; }));
    return nullptr;
}

// To one thread; to a group; to somebody that the setter may not signal.
static void to_whom() {
    siginfo_t info;
    handle(SIGUSR1, note);
    std::atomic<int> tid{0};
    pthread_t thread;
    pthread_create(&thread, nullptr, listen_for_it, &tid);
    CHECK(eventually([&] { return tid != 0; }));
    SocketPair pair;
    f_owner_ex owner = {F_OWNER_TID, tid};
    CHECK_OK(fcntl(pair[0], F_SETOWN_EX, &owner));
    CHECK_OK(fcntl(pair[0], F_SETSIG, SIGUSR1));
    CHECK_OK(fcntl(pair[0], F_SETFL, O_ASYNC));
    CHECK_EQ(write(pair[1], "x", 1), 1);
    pthread_join(thread, nullptr);
    CHECK_EQ(got.load(), tid.load());
    run_in_child([&] {
        CHECK_OK(setpgid(0, 0));
        fflush(stdout);
        const pid_t member = fork();
        if (member == 0) {
            siginfo_t seen;
            _exit(next_signal(SIGIO, &seen) == SI_KERNEL ? 0 : 1);
        }
        SocketPair inner;
        CHECK_OK(fcntl(inner[0], F_SETOWN, -getpgrp()));
        CHECK_OK(fcntl(inner[0], F_SETFL, O_ASYNC));
        CHECK_EQ(write(inner[1], "x", 1), 1);
        CHECK_EQ(next_signal(SIGIO, &info), SI_KERNEL);
        int status = -1;
        CHECK_EQ(waitpid(member, &status, 0), member);
        CHECK_EQ(status, 0);
    });
    const pid_t parent = getpid();
    run_in_child([&] {
        CHECK_OK(setresuid(1234, 1234, 1234));
        SocketPair inner;
        CHECK_OK(fcntl(inner[0], F_SETOWN, parent));
        CHECK_OK(fcntl(inner[0], F_SETFL, O_ASYNC));
        CHECK_EQ(write(inner[1], "x", 1), 1);
    });
    CHECK_EQ(next_signal(SIGIO, &info, 0.1), -1);
}

int main() {
    const sigset_t all = set_of(SIGIO, SIGRTMIN + 1, SIGUSR1);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &all, nullptr), 0);
    who();
    plain();
    with_reasons();
    to_whom();
    return result();
}
