// needs-linux: 5.10
// timeout: 180
//
// Threads of one process that execute, end, make threads and are signalled all at once: one of them wins, nothing is
// left over. And many waiters against the ends of a thousand children.
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "asleep.hpp"

using namespace check;

namespace {

char self[256];
char* const no_text = nullptr;

/// What a thread does once all are there.
enum class Deed : int { Execute, EndAll, EndAlone, Make, Beat, Kill, count };

struct Round {
    std::atomic<int> waiting{0};
    std::atomic<bool> go{false};
};
Round* at_once;

void* do_nothing(void*) { return nullptr; }

void* act(void* argument) {
    const Deed deed = Deed(long(argument));
    at_once->waiting++;
    while (!at_once->go) {
    }
    switch (deed) {
    case Deed::Execute:
        execl(self, self, "executed", no_text);
        _exit(99); // a failed one is gone before it comes here
    case Deed::EndAll:
        _exit(7);
    case Deed::EndAlone:
        return nullptr;
    case Deed::Make:
        for (int i = 0; i < 20; ++i) {
            pthread_t thread;
            if (pthread_create(&thread, nullptr, do_nothing, nullptr) == 0) pthread_detach(thread);
        }
        return nullptr;
    case Deed::Beat:
        for (int i = 0; i < 20; ++i) kill(getpid(), SIGUSR1);
        return nullptr;
    default:
        kill(getpid(), SIGKILL);
        return nullptr;
    }
}

int ended(pid_t child) {
    int status = -1;
    const int pidfd = int(syscall(SYS_pidfd_open, child, 0));
    pollfd entry = {pidfd, POLLIN, 0};
    if (!CHECK_EQ(poll(&entry, 1, 20000), 1)) kill(child, SIGKILL); // it hangs
    close(pidfd);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_ERRNO(kill(child, 0), ESRCH);
    return status;
}

pid_t start(const Deed* deeds, int count) {
    at_once->waiting = 0;
    at_once->go = false;
    fflush(stdout);
    const pid_t child = fork();
    if (child != 0) return child;
    handle(SIGUSR1, [](int) {}, SA_RESTART);
    pthread_t thread;
    for (int i = 0; i < count; ++i) pthread_create(&thread, nullptr, act, reinterpret_cast<void*>(long(deeds[i])));
    for (;;) pause();
}

/// Whatever is mixed, the process ends in one of the ways that its threads asked for.
void mixtures() {
    srandom(7);
    for (int round = 0; round < 30; ++round) {
        Deed deeds[5];
        bool asked[int(Deed::count)] = {};
        for (Deed& deed : deeds) deed = Deed(random() % int(Deed::count));
        if (round % 2) deeds[0] = Deed::Execute;
        deeds[4] = round % 3 ? Deed::EndAll : Deed::Execute; // something ends it
        for (const Deed deed : deeds) asked[int(deed)] = true;
        const pid_t child = start(deeds, 5);
        while (at_once->waiting < 5) nap();
        at_once->go = true;
        const bool from_outside = round % 4 == 0;
        if (from_outside)
            for (int i = 0; i < 10; ++i) kill(child, SIGUSR1);
        const int status = ended(child);
        const bool executed = asked[int(Deed::Execute)] && (status == 55 << 8 || died_of(status, SIGUSR1));
        const bool finished = asked[int(Deed::EndAll)] && status == 7 << 8;
        const bool killed = asked[int(Deed::Kill)] && died_of(status, SIGKILL);
        if (!executed && !finished && !killed) CHECK_EQ(status, 0x1000);
    }
}

/// All execute: one program runs, once.
void all_execute() {
    for (int round = 0; round < 8; ++round) {
        int pipes[2];
        CHECK_OK(pipe(pipes));
        CHECK_OK(dup2(pipes[1], 9));
        const Deed deeds[] = {Deed::Execute, Deed::Execute, Deed::Execute, Deed::Execute, Deed::Execute, Deed::Execute};
        const pid_t child = start(deeds, 6);
        while (at_once->waiting < 6) nap();
        at_once->go = true;
        CHECK_EQ(ended(child), 55 << 8);
        close(9);
        close(pipes[1]);
        char bytes[8];
        CHECK_EQ(read(pipes[0], bytes, sizeof bytes), 1);
        close(pipes[0]);
    }
}

/// A program that executes itself again and again, while the parent stops, continues, asks and at last kills it.
void executed_and_watched() {
    const pid_t child = fork();
    if (child == 0) {
        execl(self, self, "again", "200000", no_text);
        _exit(1);
    }
    int status = 0;
    for (int i = 0; i < 20; ++i) {
        CHECK_OK(kill(child, SIGSTOP));
        CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
        CHECK_EQ(status, SIGSTOP << 8 | 0x7f);
        CHECK_EQ(thread_state(child), 'T');
        CHECK_OK(kill(child, SIGCONT));
        CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
        CHECK_EQ(status, 0xffff);
    }
    kill(child, SIGKILL);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(died_of(status, SIGKILL));
}

// ---- a thousand children ----

constexpr int children = 1000;
std::atomic<int> reaped[32768 * 4], sum, taken;

void* wait_for_any(void* argument) {
    int error = 0;
    for (;;) {
        siginfo_t info = {};
        const bool by_waitid = argument != nullptr;
        int status = 0;
        pid_t pid;
        if (by_waitid) {
            if (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) == 0) CHECK_EQ(info.si_code, CLD_EXITED); // only a look
            if (waitid(P_ALL, 0, &info, WEXITED) < 0) {
                error = errno;
                break;
            }
            pid = info.si_pid;
            status = info.si_status;
        } else {
            if ((pid = waitpid(-1, &status, 0)) < 0) {
                error = errno;
                break;
            }
            CHECK(WIFEXITED(status));
            status = WEXITSTATUS(status);
        }
        reaped[pid]++;
        sum += status;
        taken++;
    }
    CHECK_EQ(error, ECHILD);
    return nullptr;
}

void thousand_children() {
    int gate[2];
    CHECK_OK(pipe(gate));
    static pid_t pids[children];
    int expected = 0;
    for (int i = 0; i < children; ++i) {
        pids[i] = fork();
        if (pids[i] == 0) {
            close(gate[1]);
            char byte;
            if (read(gate[0], &byte, 1) != 0) _exit(255);
            _exit(i % 200);
        }
        if (!CHECK_GT(pids[i], 0)) break;
        expected += i % 200;
    }
    close(gate[0]);
    sum = taken = 0;
    pthread_t waiters[4];
    for (long i = 0; i < 4; ++i) pthread_create(&waiters[i], nullptr, wait_for_any, reinterpret_cast<void*>(i % 2));
    close(gate[1]); // all end at once
    for (const pthread_t waiter : waiters) pthread_join(waiter, nullptr);
    CHECK_EQ(taken.load(), children);
    CHECK_EQ(sum.load(), expected);
    for (const pid_t pid : pids) CHECK_EQ(reaped[pid].load(), 1);
}

int as_program(char** arguments) {
    if (!strcmp(arguments[1], "executed")) {
        const ssize_t ignored = write(9, "x", 1);
        (void)ignored;
        return gettid() == getpid() ? 55 : 56;
    }
    char number[16];
    snprintf(number, sizeof number, "%d", atoi(arguments[2]) - 1);
    if (atoi(arguments[2]) > 0) execl(self, self, "again", number, no_text);
    return 1;
}

} // namespace

int main(int count, char** arguments) {
    REQUIRE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    if (count > 1) return as_program(arguments);
    signal(SIGPIPE, SIG_IGN);
    at_once = shared<Round>();
    mixtures();
    all_execute();
    executed_and_watched();
    thousand_children();
    return result();
}
