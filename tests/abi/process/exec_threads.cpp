// needs-linux: 5.10
//
// execve(2) by one of many threads: it takes over the leader's number, the others are gone with all that they held,
// and what belonged to the caller alone stays its own.
#include <cstddef>
#include <dirent.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "asleep.hpp"

using namespace check;

namespace {

char self[256];
char* const no_text = nullptr;

struct RobustList {
    RobustList* next;
    long offset;
    RobustList* pending;
};
/// Robust locks in memory that outlives the program.
struct Lock {
    RobustList entry; // only `next` is used
    std::atomic<uint32_t> word;
};
struct Shared {
    Lock locks[8];
    std::atomic<int> ready, go, thread_numbers[8];
    std::atomic<uint32_t> cleared;
};
Shared* memory;

void* exec_now(void*) {
    while (memory->ready < 7) nap();
    execl(self, self, "executed", no_text);
    return nullptr;
}

/// Holds a robust lock and waits for ever, in a call or in a loop.
void* hold(void* argument) {
    const long index = long(argument);
    Lock& lock = memory->locks[index];
    static thread_local RobustList head;
    head = {&lock.entry, long(offsetof(Lock, word)) - long(offsetof(Lock, entry)), nullptr};
    lock.entry.next = &head;
    CHECK_OK(syscall(SYS_set_robust_list, &head, sizeof head));
    lock.word = uint32_t(gettid());
    memory->thread_numbers[index] = gettid();
    memory->ready++;
    if (index % 3 == 0) {
        for (;;) pause();
    } else if (index % 3 == 1) {
        volatile int spin = 0;
        for (;;) spin = spin + 1;
    } else {
        uint32_t never = 0;
        for (;;) syscall(SYS_futex, &never, FUTEX_WAIT, 0, nullptr, nullptr, 0);
    }
}

/// The program that a thread executed: alone, under the leader's number; the others' locks say that their owners died.
int executed() {
    CHECK_EQ(gettid(), getpid());
    DIR* tasks = opendir("/proc/self/task");
    int count = 0;
    while (readdir(tasks)) ++count;
    closedir(tasks);
    CHECK_EQ(count, 3); // with . and ..
    return result();
}

void robust_locks_of_others() {
    memory = shared<Shared>();
    const pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        for (long i = 0; i < 7; ++i) pthread_create(&thread, nullptr, hold, reinterpret_cast<void*>(i));
        pthread_create(&thread, nullptr, exec_now, nullptr);
        for (;;) pause();
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    for (int i = 0; i < 7; ++i) CHECK_EQ(memory->locks[i].word.load(), uint32_t(FUTEX_OWNER_DIED));
}

/// The caller's own robust lock: the old program is gone, and with it the owner.
void robust_lock_of_caller() {
    memory = shared<Shared>();
    const int status = in_child([] {
        static RobustList head;
        Lock& lock = memory->locks[0];
        head = {&lock.entry, long(offsetof(Lock, word)) - long(offsetof(Lock, entry)), nullptr};
        lock.entry.next = &head;
        CHECK_OK(syscall(SYS_set_robust_list, &head, sizeof head));
        lock.word = uint32_t(gettid()) | FUTEX_WAITERS;
        execl(self, self, "nothing", no_text);
    });
    CHECK_EQ(status, 0);
    CHECK_EQ(memory->locks[0].word.load(), uint32_t(FUTEX_OWNER_DIED | FUTEX_WAITERS));
}

/// CLONE_CHILD_CLEARTID of a program that executes: the word in the memory that it leaves becomes 0.
void cleared_word() {
    static std::atomic<pid_t> word;
    alignas(16) static char stack[65536];
    word = 1;
    const pid_t child = clone(
        [](void*) {
            execl(self, self, "nothing", no_text);
            return 1;
        },
        stack + sizeof stack, CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, nullptr, nullptr, nullptr, &word);
    REQUIRE(child > 0);
    while (pid_t seen = word) syscall(SYS_futex, &word, FUTEX_WAIT, seen, nullptr, nullptr, 0);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

/// What the calling thread has of its own goes with it: mask, pending signals, nice, name of children's parent.
pid_t child_of_thread;

void* exec_with_attributes(void*) {
    syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
    kill(getpid(), SIGUSR2);
    setpriority(PRIO_PROCESS, 0, 7);
    prctl(PR_SET_TIMERSLACK, 80000);
    prctl(PR_SET_PDEATHSIG, SIGURG);
    child_of_thread = fork();
    if (child_of_thread == 0)
        for (;;) pause();
    char number[16];
    snprintf(number, sizeof number, "%d", child_of_thread);
    execl(self, self, "attributes", number, no_text);
    return nullptr;
}

int attributes(pid_t child) {
    sigset_t pending, mask;
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGUSR1));
    CHECK(sigismember(&pending, SIGUSR2));
    sigprocmask(SIG_SETMASK, nullptr, &mask);
    CHECK(sigismember(&mask, SIGUSR1));
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 7);
    CHECK_EQ(prctl(PR_GET_TIMERSLACK), 80000);
    int signal = 0;
    CHECK_OK(prctl(PR_GET_PDEATHSIG, &signal));
    CHECK_EQ(signal, SIGURG);
    // Its children are still its own, and not only its process's.
    CHECK_EQ(waitpid(child, nullptr, WNOHANG | __WNOTHREAD), 0);
    kill(child, SIGKILL);
    CHECK_EQ(waitpid(child, nullptr, __WNOTHREAD), child);
    return result();
}

void caller_keeps_its_own() {
    const int status = in_child([] {
        pthread_t thread;
        const sigset_t mask = set_of(SIGUSR1, SIGUSR2);
        pthread_sigmask(SIG_SETMASK, &mask, nullptr);
        pthread_create(&thread, nullptr, exec_with_attributes, nullptr);
        for (;;) pause();
    });
    CHECK_EQ(status, 0);
}

/// A leader that has ended before: the thread that executes takes its place all the same; a pidfd sees no end
/// meanwhile.
void dead_leader() {
    int pipes[2];
    CHECK_OK(pipe(pipes));
    const pid_t child = fork();
    if (child == 0) {
        close(pipes[1]);
        static int input;
        input = pipes[0];
        pthread_t thread;
        auto run = [](void*) -> void* {
            char byte;
            if (read(input, &byte, 1) == 1) execl(self, self, "wait", no_text);
            _exit(1);
        };
        dup2(pipes[0], 0);
        pthread_create(&thread, nullptr, run, nullptr);
        syscall(SYS_exit, 3);
    }
    const int pidfd = int(syscall(SYS_pidfd_open, child, 0));
    CHECK(eventually([&] { return thread_state(child) == 'Z'; }));
    CHECK_EQ(write(pipes[1], "x", 1), 1);
    CHECK(eventually([&] { return thread_state(child) == 'S'; }));
    pollfd entry = {pidfd, POLLIN, 0};
    CHECK_EQ(poll(&entry, 1, 0), 0);
    CHECK_EQ(waitpid(child, nullptr, WNOHANG), 0);
    CHECK_EQ(write(pipes[1], "x", 1), 1);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(poll(&entry, 1, 0), 1);
    for (const int fd : {pipes[0], pipes[1], pidfd}) close(fd);
}

/// A parent's death is told to each child whose thread asked, also by a thread that doesn't lead.
void death_told_to_threads() {
    auto* told = shared<std::atomic<int>>();
    auto* ready = shared<std::atomic<int>>();
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    const pid_t middle = fork();
    if (middle == 0) {
        if (fork() == 0) {
            static std::atomic<int>*mark, *seen;
            seen = told;
            mark = ready;
            handle(SIGURG, [](int, siginfo_t* info, void*) {
                *seen = info->si_pid;
                _exit(0);
            });
            pthread_t thread;
            auto run = [](void*) -> void* {
                prctl(PR_SET_PDEATHSIG, SIGURG);
                *mark = 1;
                for (;;) pause();
            };
            pthread_create(&thread, nullptr, run, nullptr);
            for (;;) pause();
        }
        while (!*ready) nap();
        _exit(0);
    }
    CHECK_EQ(waitpid(middle, nullptr, 0), middle);
    CHECK(eventually([&] { return *told == middle; }, 10));
    // It has become ours.
    int status = -1;
    pid_t orphan = 0;
    CHECK(eventually([&] { return (orphan = waitpid(-1, &status, WNOHANG)) != 0; }, 5));
    CHECK_GT(orphan, 0);
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 0));
}

int as_program(int count, char** arguments) {
    const char* what = arguments[1];
    if (!strcmp(what, "executed")) return executed();
    if (!strcmp(what, "attributes") && count == 3) return attributes(atoi(arguments[2]));
    if (!strcmp(what, "wait")) {
        char byte;
        return read(0, &byte, 1) == 1 && gettid() == getpid() ? 0 : 1;
    }
    return 0;
}

} // namespace

int main(int count, char** arguments) {
    if (count > 1) return as_program(count, arguments);
    REQUIRE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    robust_locks_of_others();
    robust_lock_of_caller();
    cleared_word();
    caller_keeps_its_own();
    dead_leader();
    death_told_to_threads();
    return result();
}
