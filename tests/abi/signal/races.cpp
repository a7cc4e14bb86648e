// Signals that race with fork, exec, exit, blocking calls and masks that open only for a wait: nothing is lost, doubled
// or stuck. An interval timer beats all through.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "asleep.hpp"

using namespace check;

namespace {

char self[256];
volatile sig_atomic_t ticks;
void tick(int) { ticks = ticks + 1; }

struct Beat {
    explicit Beat(int microseconds, int flags = SA_RESTART) {
        handle(SIGALRM, tick, flags);
        const itimerval timer = {{0, microseconds}, {0, microseconds}};
        CHECK_OK(setitimer(ITIMER_REAL, &timer, nullptr));
    }
    ~Beat() {
        const itimerval off = {};
        CHECK_OK(setitimer(ITIMER_REAL, &off, nullptr));
    }
};

/// fork, exec, wait under a beating timer: each child ends as it should, each is found.
void fork_and_exec() {
    Beat beat(700);
    for (int i = 0; i < 30; ++i) {
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            if (i % 2) _exit(40 + i % 8);
            execl(self, self, "exit", nullptr);
            _exit(1);
        }
        int status = -1;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, (i % 2 ? 40 + i % 8 : 77) << 8);
    }
}

/// Bytes through a pipe with both ends interrupted all the time: none lost, none twice.
void interrupted_pipe() {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    constexpr unsigned total = 1 << 18;
    const pid_t writer = fork();
    if (writer == 0) {
        Beat beat(500);
        unsigned sent = 0;
        while (sent < total) {
            unsigned char block[777];
            unsigned size = sizeof block;
            if (size > total - sent) size = total - sent;
            for (unsigned i = 0; i < size; ++i) block[i] = (unsigned char)((sent + i) * 7);
            const ssize_t count = write(ends[1], block, size);
            if (count <= 0) _exit(1);
            sent += unsigned(count);
        }
        _exit(0);
    }
    close(ends[1]);
    {
        Beat beat(600);
        unsigned received = 0, wrong = 0;
        unsigned char block[1000];
        ssize_t count;
        while ((count = read(ends[0], block, sizeof block)) > 0) {
            for (ssize_t i = 0; i < count; ++i) wrong += block[i] != (unsigned char)((received + unsigned(i)) * 7);
            received += unsigned(count);
        }
        CHECK_EQ(count, 0);
        CHECK_EQ(received, total);
        CHECK_EQ(wrong, 0u);
    }
    close(ends[0]);
    int status = -1;
    CHECK_EQ(waitpid(writer, &status, 0), writer);
    CHECK_EQ(status, 0);
}

/// Killing what is being born, runs, execs or dies: the wait always ends, and with the one or the other reason.
void kill_at_any_moment() {
    for (int i = 0; i < 60; ++i) {
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            if (i % 3 == 0) _exit(5);
            if (i % 3 == 1) execl(self, self, "exit", nullptr);
            for (;;) pause();
        }
        for (volatile int spin = 0; spin < (i % 10) * 20000; spin = spin + 1) {
        }
        CHECK_OK(kill(child, SIGKILL)); // a zombie may be signalled too
        int status = -1;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(died_of(status, SIGKILL) || (WIFEXITED(status) && i % 3 != 2));
        CHECK_ERRNO(kill(child, 0), ESRCH);
    }
}

/// What is pending when a program is replaced stays pending, and what is ignored stays ignored.
void pending_through_exec() {
    const int status = in_child([] {
        const sigset_t set = set_of(SIGUSR1, SIGRTMIN + 5);
        sigprocmask(SIG_BLOCK, &set, nullptr);
        handle(SIGUSR1, tick);
        signal(SIGUSR2, SIG_IGN);
        raise(SIGUSR1);
        sigqueue(getpid(), SIGRTMIN + 5, {.sival_int = 1});
        sigqueue(getpid(), SIGRTMIN + 5, {.sival_int = 2});
        // From another thread: the threads die, the process's pending signals live on.
        pthread_t thread;
        pthread_create(
            &thread, nullptr, [](void*) -> void* { return execl(self, self, "pending", nullptr), nullptr; }, nullptr);
        for (;;) pause();
    });
    CHECK_EQ(status, 0);
}

int check_pending_after_exec() {
    const sigset_t set = set_of(SIGUSR1, SIGRTMIN + 5);
    const timespec now = {0, 0};
    siginfo_t info = {};
    // raise() went to the leader, which is gone: its own signals went with it.
    CHECK_EQ(sigtimedwait(&set, &info, &now), SIGRTMIN + 5);
    CHECK_EQ(info.si_value.sival_int, 1);
    CHECK_EQ(sigtimedwait(&set, &info, &now), SIGRTMIN + 5);
    CHECK_EQ(info.si_value.sival_int, 2);
    struct sigaction action;
    sigaction(SIGUSR1, nullptr, &action);
    CHECK(action.sa_handler == SIG_DFL);
    sigaction(SIGUSR2, nullptr, &action);
    CHECK(action.sa_handler == SIG_IGN);
    return result();
}

struct PingPong {
    std::atomic<int> turns;
};
PingPong* pong;
volatile sig_atomic_t my_turn;
void turn(int) { my_turn = 1; }

/// Two processes wake one another by signals that are open only within the wait, each waiting in the call under test: a
/// lost signal is a hang.
template <typename Wait>
void ping_pong(Wait wait) {
    const sigset_t set = set_of(SIGUSR1);
    sigset_t open, old;
    sigprocmask(SIG_BLOCK, &set, &old);
    open = old;
    sigdelset(&open, SIGUSR1);
    handle(SIGUSR1, turn);
    my_turn = 0;
    pong->turns = 0;
    constexpr int rounds = 60;
    const pid_t parent = getpid();
    auto play = [&](pid_t other) {
        for (int i = 0; i < rounds; ++i) {
            while (!my_turn) {
                errno = 0;
                if (wait(open) != -1 || errno != EINTR) return false;
            }
            my_turn = 0;
            pong->turns++;
            kill(other, SIGUSR1);
        }
        return true;
    };
    const pid_t child = fork();
    if (child == 0) _exit(play(parent) ? 0 : 1);
    kill(child, SIGUSR1);
    CHECK(play(child));
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(pong->turns.load(), 2 * rounds);
    sigprocmask(SIG_SETMASK, &old, nullptr);
}

void masks_open_for_a_wait() {
    pong = shared<PingPong>();
    ping_pong([](const sigset_t& open) { return sigsuspend(&open); });
    ping_pong([](const sigset_t& open) { return ppoll(nullptr, 0, nullptr, &open); });
    ping_pong([](const sigset_t& open) { return pselect(0, nullptr, nullptr, nullptr, nullptr, &open); });
    const int epoll = epoll_create1(0);
    ping_pong([epoll](const sigset_t& open) {
        epoll_event event;
        return epoll_pwait(epoll, &event, 1, -1, &open);
    });
    close(epoll);
}

/// Threads begin and end while signals arrive for the process and for some of them.
void threads_come_and_go() {
    handle(SIGUSR1, tick, SA_RESTART);
    Beat beat(400);
    const pid_t sender = fork();
    if (sender == 0) {
        for (;;) {
            kill(getppid(), SIGUSR1);
            nap();
        }
    }
    for (int i = 0; i < 40; ++i) {
        pthread_t threads[3];
        for (pthread_t& thread : threads)
            REQUIRE(pthread_create(&thread, nullptr, [](void*) -> void* { return nullptr; }, nullptr) == 0);
        for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
    }
    kill(sender, SIGKILL);
    CHECK_EQ(waitpid(sender, nullptr, 0), sender);
}

/// Many children end at once: SIGCHLD merges, yet a handler that reaps all it finds misses none.
std::atomic<int> reaped;
void reap(int) {
    const int saved = errno;
    while (waitpid(-1, nullptr, WNOHANG) > 0) reaped++;
    errno = saved;
}

void many_children() {
    handle(SIGCHLD, reap, SA_RESTART);
    constexpr int count = 50;
    for (int i = 0; i < count; ++i) {
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) _exit(0);
    }
    CHECK(eventually([] { return reaped == count; }));
    handle(SIGCHLD, SIG_DFL);
    CHECK_ERRNO(waitpid(-1, nullptr, 0), ECHILD);
}

/// Two threads die of different causes at the same time: the process ends once, with one of the two.
void ends_at_once() {
    for (int i = 0; i < 15; ++i) {
        const int status = in_child([] {
            pthread_t thread;
            pthread_create(&thread, nullptr, [](void*) -> void* { _exit(3); }, nullptr);
            kill(getpid(), SIGTERM);
            for (;;) pause();
        });
        CHECK(died_of(status, SIGTERM) || status == 3 << 8);
    }
}

} // namespace

int main(int count, char** arguments) {
    if (count > 1) return strcmp(arguments[1], "pending") == 0 ? check_pending_after_exec() : 77;
    REQUIRE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    fork_and_exec();
    interrupted_pipe();
    kill_at_any_moment();
    pending_through_exec();
    masks_open_for_a_wait();
    threads_come_and_go();
    many_children();
    ends_at_once();
    return result();
}
