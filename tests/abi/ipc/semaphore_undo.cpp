// SEM_UNDO: what is taken back when a process ends, what threads share, what fork, exec and semctl(2) do to it.
// timeout: 150
#include "semaphores.hpp"
#include <linux/kcmp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

using namespace semaphores;

namespace {

long kcmp(pid_t first, pid_t second) { return syscall(SYS_kcmp, first, second, KCMP_SYSVSEM, 0, 0); }

void test_exit() {
    const int id = make(2);
    set(id, 0, 5);
    const pid_t pid = child(id, {step(0, -3, undo), step(0, 1), step(1, 4, undo)});
    CHECK_EQ(outcome(pid), 0);
    CHECK_EQ(value(id, 0), 6); // without the 1 that wasn't to be undone
    CHECK_EQ(value(id, 1), 0);
    CHECK(last_pid(id, 0) == pid && last_pid(id, 1) == pid);
    // By a signal too; several operations add up; and what waits goes on.
    pid_t taker = fork();
    if (taker == 0) {
        operate(id, {step(0, -1, undo)});
        operate(id, {step(0, -5, undo)});
        for (;;) pause();
    }
    CHECK(check::eventually([&] { return value(id) == 0; }));
    const pid_t waiter = child(id, {step(0, -6)});
    CHECK(waiting(id, 0, 1));
    kill(taker, SIGKILL);
    CHECK_EQ(outcome(taker), 1000 + SIGKILL);
    CHECK_EQ(outcome(waiter), 0);
    CHECK_EQ(value(id), 0);
    // Taking back goes as far as it can.
    check::run_in_child([&] {
        CHECK_EQ(operate(id, {step(0, 5, undo), step(1, 1)}), 0);
        CHECK_EQ(operate(id, {step(0, -3)}), 0);
    });
    CHECK_EQ(value(id), 0);
    set(id, 0, 10);
    check::run_in_child([&] {
        CHECK_EQ(operate(id, {step(0, -10, undo)}), 0);
        CHECK_EQ(operate(id, {step(0, 32767)}), 0);
    });
    CHECK_EQ(value(id), 32767);
    // More than can be kept is refused, and nothing done.
    check::run_in_child([&] {
        set(id, 0, 0);
        CHECK_EQ(operate(id, {step(0, 32767, undo)}), 0);
        CHECK_EQ(operate(id, {step(0, -32767)}), 0);
        CHECK_EQ(operate(id, {step(0, 1, undo)}), 0); // -32768 can
        CHECK_ERRNO(operate(id, {step(1, 1), step(0, 1, undo)}), ERANGE);
        CHECK_EQ(value(id), 1);
        set(id, 0, 0);
    });
    // An operation that wasn't done leaves nothing to undo.
    set(id, 0, 2), set(id, 1, 0);
    check::run_in_child([&] { CHECK_ERRNO(operate(id, {step(0, -2, undo), step(1, -1, no_wait)}), EAGAIN); });
    CHECK_EQ(value(id), 2);
    remove(id);
}

void test_forgetting() {
    const int id = make(2);
    // Setting a value forgets what was to be undone there, in every process; setting all, everywhere.
    set(id, 0, 3), set(id, 1, 3);
    check::run_in_child([&] {
        CHECK_EQ(operate(id, {step(0, -1, undo), step(1, -1, undo)}), 0);
        check::run_in_child([&] { set(id, 0, 7); });
    });
    CHECK_EQ(value(id, 0), 7);
    CHECK_EQ(value(id, 1), 3);
    check::run_in_child([&] {
        CHECK_EQ(operate(id, {step(0, -1, undo), step(1, -1, undo)}), 0);
        const unsigned short values[2] = {1, 1};
        CHECK_EQ(semctl(id, 0, SETALL, values), 0);
        CHECK_EQ(operate(id, {step(1, -1, undo)}), 0);
    });
    CHECK(value(id, 0) == 1 && value(id, 1) == 1);
    // A set that is gone is nothing to undo, and another one is another one.
    check::run_in_child([&] {
        for (int i = 0; i < 100; i++) {
            const int other = make(3);
            CHECK_EQ(operate(other, {step(2, 1, undo), step(0, 1, undo)}), 0);
            remove(other);
        }
        CHECK_EQ(operate(id, {step(0, -1, undo)}), 0);
        remove(id);
    });
    CHECK_ERRNO(semctl(id, 0, GETVAL), EINVAL);
}

/// fork doesn't inherit, exec keeps.
void test_fork_and_exec(const char* self) {
    const int id = make(1);
    set(id, 0, 1);
    int ends[2];
    CHECK_OK(pipe(ends));
    const pid_t pid = fork();
    if (pid == 0) {
        operate(id, {step(0, -1, undo)});
        if (fork() == 0) _exit(0);
        wait(nullptr);
        if (value(id) != 0) _exit(1);
        dup2(ends[0], 0);
        close(ends[1]);
        execl(self, self, "wait", nullptr);
        _exit(2);
    }
    close(ends[0]);
    // Written and not closed: the new program reads one byte and tells so, then waits for the end.
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK(check::eventually([&] {
        char name[64], text[16] = {};
        snprintf(name, sizeof name, "/proc/%d/comm", pid);
        FILE* file = fopen(name, "r");
        if (file) fgets(text, sizeof text, file), fclose(file);
        return strcmp(text, "executed\n") == 0;
    }));
    CHECK_EQ(value(id), 0);
    close(ends[1]);
    CHECK_EQ(outcome(pid), 0);
    CHECK_EQ(value(id), 1);
    remove(id);
}

struct Work {
    int id;
    int take;
};
void* take(void* argument) {
    auto* work = static_cast<Work*>(argument);
    CHECK_EQ(operate(work->id, {step(0, -work->take, undo)}), 0);
    return nullptr;
}

/// Threads of pthread_create share; the end of one of them takes nothing back.
void test_threads() {
    const int id = make(1);
    set(id, 0, 10);
    check::run_in_child([&] {
        Work work = {id, 2};
        for (int i = 0; i < 3; i++) {
            pthread_t thread;
            REQUIRE(pthread_create(&thread, nullptr, take, &work) == 0);
            pthread_join(thread, nullptr);
            CHECK_EQ(value(id), 8 - 2 * i);
        }
        // The first thread may go first.
        check::run_in_child([&] {
            pthread_t thread;
            static Work last = {id, 4};
            pthread_create(
                &thread, nullptr,
                [](void*) -> void* {
                    take(&last);
                    CHECK(check::eventually([] { return check::thread_state(getpid()) == 'Z'; }));
                    CHECK_EQ(value(last.id), 0);
                    fflush(stdout);
                    _exit(check::result());
                },
                nullptr);
            pthread_exit(nullptr);
        });
        CHECK_EQ(value(id), 4);
    });
    CHECK_EQ(value(id), 10);
    remove(id);
}

alignas(64) char stack[65536];
int clone_id;
std::atomic<int> clone_go;
int take_one(void*) {
    operate(clone_id, {step(0, -1, undo)});
    return 0;
}
int wait_for_go(void*) {
    while (!clone_go) check::nap();
    return 0;
}

/// Processes share with CLONE_SYSVSEM, and only then; kcmp(2) tells.
void test_clone() {
    clone_id = make(1);
    set(clone_id, 0, 5);
    const bool has_kcmp = !(kcmp(getpid(), getpid()) < 0 && errno == ENOSYS);
    check::run_in_child([&] {
        const pid_t pid = clone(take_one, stack + sizeof stack, CLONE_VM | CLONE_SYSVSEM | SIGCHLD, nullptr);
        CHECK_EQ(outcome(pid), 0);
        CHECK_EQ(value(clone_id), 4); // the other one still has it
    });
    CHECK_EQ(value(clone_id), 5);
    check::run_in_child([&] {
        const pid_t pid = clone(take_one, stack + sizeof stack, CLONE_VM | SIGCHLD, nullptr);
        CHECK_EQ(outcome(pid), 0);
        CHECK_EQ(value(clone_id), 5);
    });
    for (int flags : {0, CLONE_SYSVSEM}) {
        clone_go = 0;
        CHECK_EQ(operate(clone_id, {step(0, 0, no_wait | undo), step(0, 0)}), -1);
        const pid_t pid = clone(wait_for_go, stack + sizeof stack, CLONE_VM | flags | SIGCHLD, nullptr);
        if (has_kcmp) CHECK_EQ(kcmp(getpid(), pid) == 0, flags != 0);
        clone_go = 1;
        CHECK_EQ(outcome(pid), 0);
    }
    if (has_kcmp) {
        // Neither has any: the same nothing.
        check::run_in_child([&] {
            const pid_t pid = fork();
            if (pid == 0)
                for (;;) pause();
            CHECK_EQ(kcmp(getpid(), pid), 0);
            kill(pid, SIGKILL);
            outcome(pid);
        });
    }
    remove(clone_id);
}

} // namespace

int main(int count, char** arguments) {
    if (count > 1) {
        char byte;
        if (read(0, &byte, 1) != 1) return 1;
        FILE* name = fopen("/proc/self/comm", "w");
        if (!name || fputs("executed", name) < 0 || fclose(name) != 0) return 1;
        while (read(0, &byte, 1) > 0) {
        }
        return 0;
    }
    test_exit();
    test_forgetting();
    test_fork_and_exec(arguments[0]);
    test_threads();
    test_clone();
    return check::result();
}
