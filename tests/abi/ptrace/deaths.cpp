// ptrace(2), "Death under ptrace", PTRACE_O_EXITKILL; who hears of a tracee's end, and in what order.
#include <pthread.h>
#include <sys/prctl.h>

#include "tracee.hpp"

using namespace tracee;

struct Shared {
    std::atomic<int> pid, step;
};

// The tracer dies: its tracees go on, also one that is stopped.
static void test_tracer_dies() {
    Shared* shared = check::shared<Shared>();
    const pid_t child = fork();
    if (child == 0) {
        shared->step = 1;
        for (;;) pause();
    }
    CHECK(check::wait_asleep(child));
    check::run_in_child([&] {
        CHECK_EQ(call(PTRACE_ATTACH, child), 0);
        CHECK_EQ(wait_status(child), stopped(SIGSTOP));
        CHECK_EQ(check::thread_state(child), 't');
    });
    // What it had stopped for is forgotten.
    CHECK(check::eventually([&] { return check::thread_state(child) == 'S'; }));
    check::run_in_child([&] { CHECK_EQ(call(PTRACE_SEIZE, child), 0); });
    CHECK(check::wait_asleep(child));
    // With this option they die.
    check::run_in_child([&] { CHECK_EQ(call(PTRACE_SEIZE, child, 0, PTRACE_O_EXITKILL), 0); });
    CHECK(check::died_of(wait_status(child), SIGKILL));
}

// Another's child: first the tracer waits for it, then the parent.
static void test_two_waiters() {
    Shared* shared = check::shared<Shared>();
    const pid_t child = fork();
    if (child == 0) {
        while (shared->step != 1) check::nap();
        _exit(9);
    }
    const pid_t tracer = fork();
    if (tracer == 0) {
        check::failures = 0;
        CHECK_EQ(call(PTRACE_SEIZE, child), 0);
        shared->step = 1;
        siginfo_t info = {};
        CHECK_OK(waitid(P_PID, id_t(child), &info, WEXITED | WNOWAIT));
        CHECK_EQ(info.si_status, 9);
        shared->step = 2;
        while (shared->step != 3) check::nap();
        CHECK_EQ(check::code_of(wait_status(child)), 9);
        CHECK_ERRNO(waitpid(child, nullptr, __WALL), ECHILD);
        _exit(check::result());
    }
    while (shared->step != 2) check::nap();
    CHECK_EQ(check::thread_state(child), 'Z');
    CHECK_EQ(waitpid(child, nullptr, WNOHANG), 0); // not yet
    shared->step = 3;
    CHECK_EQ(check::code_of(wait_status(tracer)), 0);
    CHECK_EQ(check::code_of(wait_status(child)), 9);
}

// The tracer dies without having waited: the parent hears of it all the same.
static void test_tracer_leaves_a_zombie() {
    Shared* shared = check::shared<Shared>();
    const pid_t child = fork();
    if (child == 0) {
        while (shared->step != 1) check::nap();
        _exit(11);
    }
    const int status = check::in_child([&] {
        CHECK_EQ(call(PTRACE_SEIZE, child), 0);
        shared->step = 1;
        siginfo_t info = {};
        CHECK_OK(waitid(P_PID, id_t(child), &info, WEXITED | WNOWAIT));
    });
    CHECK_EQ(status, 0);
    CHECK_EQ(check::code_of(wait_status(child)), 11);
}

// Threads are tracees of their own, whose ends are told before that of the process.
static void* sleep_on(void* argument) {
    auto* shared = (Shared*)argument;
    shared->pid = int(syscall(SYS_gettid));
    while (shared->step != 1) check::nap();
    return nullptr;
}
static void test_thread() {
    Shared* shared = check::shared<Shared>();
    const pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        pthread_create(&thread, nullptr, sleep_on, shared);
        while (shared->step != 2) check::nap();
        _exit(12);
    }
    while (shared->pid == 0) check::nap();
    const pid_t tid = shared->pid;
    CHECK_EQ(call(PTRACE_ATTACH, tid), 0);
    CHECK_EQ(wait_status(tid), stopped(SIGSTOP));
    CHECK_EQ(check::thread_state(child) == 't', false); // the other one runs
    shared->step = 1;
    resume(tid);
    const int status = wait_status(tid);
    CHECK(WIFEXITED(status));
    CHECK_ERRNO(waitpid(tid, nullptr, __WALL), ECHILD);
    shared->step = 2;
    CHECK_EQ(check::code_of(wait_status(child)), 12);
}

// Only the thread that attached may ask; any thread of its process may wait.
static void* ask_and_wait(void* argument) {
    const pid_t child = *(pid_t*)argument;
    CHECK_EQ(wait_status(child), stopped(SIGUSR1));
    CHECK_ERRNO(call(PTRACE_CONT, child), ESRCH);
    CHECK_ERRNO(waitpid(child, nullptr, __WALL | __WNOTHREAD), ECHILD);
    return nullptr;
}
static void test_other_thread_of_tracer() {
    pid_t child = start([] { raise(SIGUSR1); });
    resume(child);
    pthread_t thread;
    pthread_create(&thread, nullptr, ask_and_wait, &child);
    pthread_join(thread, nullptr);
    finish(child);
}

// The thread that traces ends: so does the tracing.
static void* trace_and_leave(void* argument) {
    const pid_t child = *(pid_t*)argument;
    CHECK_EQ(call(PTRACE_ATTACH, child), 0);
    CHECK_EQ(wait_status(child), stopped(SIGSTOP));
    CHECK_EQ(call(PTRACE_CONT, child), 0);
    return nullptr;
}
static void test_tracing_thread_ends() {
    pid_t child = check::pausing();
    pthread_t thread;
    pthread_create(&thread, nullptr, trace_and_leave, &child);
    pthread_join(thread, nullptr);
    CHECK(check::eventually([&] {
        if (call(PTRACE_ATTACH, child) == 0) return true;
        CHECK_EQ(errno, EPERM);
        return false;
    }));
    CHECK_EQ(wait_status(child), stopped(SIGSTOP));
    end(child);
}

int main() {
    test_tracer_dies();
    test_two_waiters();
    test_tracer_leaves_a_zombie();
    test_thread();
    test_other_thread_of_tracer();
    test_tracing_thread_ends();
    return check::result();
}
