// ptrace(2) against everything else at once: attaching against ends and new programs, two tracers for one tracee,
// tracers that die while their tracees stop, signals and stops from elsewhere. Every round ends, and nobody is left
// behind. timeout: 120
#include <pthread.h>

#include "tracee.hpp"

using namespace tracee;

static const int rounds = getenv("LINNET_LONG") ? 2000 : 60;
static char* const arguments[] = {(char*)"/proc/self/exe", (char*)"executed", nullptr};

/// Attached or refused; whatever it does then, it is let go or it ends.
static void attach_once(pid_t child, bool detaches) {
    if (call(PTRACE_SEIZE, child, 0, PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT) != 0) {
        const int why = errno;
        CHECK(why == EPERM || why == ESRCH);
        return;
    }
    (void)call(PTRACE_INTERRUPT, child);
    for (int status; (status = wait_status(child)) >= 0 && WIFSTOPPED(status);) {
        if (detaches && call(PTRACE_DETACH, child) == 0) return;
        const int signal = status >> 16 || WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
        (void)call(PTRACE_CONT, child, 0, (unsigned long)signal);
    }
}

static pid_t busy_child(int round) {
    const pid_t child = fork();
    if (child != 0) return child;
    for (int i = 0; i < (round * 37) % 200; ++i) getppid();
    if (round % 3 == 0) execv(arguments[0], arguments);
    if (round % 3 == 1) {
        const pid_t grandchild = fork();
        if (grandchild == 0) _exit(0);
        waitpid(grandchild, nullptr, 0);
    }
    _exit(0);
}

static void test_against_end_and_exec() {
    for (int round = 0; round < rounds; ++round) {
        const pid_t child = busy_child(round);
        attach_once(child, round % 2);
        while (waitpid(child, nullptr, __WALL) == child) {
        }
        CHECK_ERRNO(kill(child, 0), ESRCH);
    }
}

static void test_two_tracers() {
    for (int round = 0; round < rounds; ++round) {
        const pid_t child = busy_child(round);
        pid_t tracers[2];
        for (pid_t& tracer : tracers) {
            tracer = fork();
            if (tracer == 0) {
                check::failures = 0;
                attach_once(child, round % 2);
                _exit(check::result());
            }
        }
        CHECK_EQ(check::code_of(wait_status(child)), 0);
        for (const pid_t tracer : tracers) CHECK_EQ(check::code_of(wait_status(tracer)), 0);
    }
}

// The tracer is killed at any moment, its tracees go on, or die with it.
static void test_dying_tracers() {
    for (int round = 0; round < rounds; ++round) {
        const pid_t child = check::pausing();
        const pid_t tracer = fork();
        if (tracer == 0) {
            if (call(PTRACE_SEIZE, child, 0, round % 2 ? PTRACE_O_EXITKILL : 0) == 0)
                for (;;) {
                    (void)call(PTRACE_INTERRUPT, child);
                    if (wait_status(child) >= 0) (void)call(PTRACE_CONT, child);
                }
            _exit(0);
        }
        for (int i = 0; i < round % 7; ++i) sched_yield();
        kill(tracer, SIGKILL);
        (void)wait_status(tracer);
        kill(child, SIGTERM);
        const int status = wait_status(child);
        CHECK(check::died_of(status, SIGTERM) || check::died_of(status, SIGKILL));
    }
}

// Stops and their ends from elsewhere, while the tracer lets it go on.
static void test_signals_from_elsewhere() {
    const pid_t child = fork();
    if (child == 0)
        for (;;) getppid();
    CHECK_EQ(call(PTRACE_SEIZE, child), 0);
    const pid_t sender = fork();
    if (sender == 0) {
        const int signals[] = {SIGSTOP, SIGCONT, SIGWINCH, SIGTSTP, SIGCONT};
        for (int i = 0; i < 10 * rounds; ++i) kill(child, signals[i % 5]);
        kill(child, SIGKILL);
        _exit(0);
    }
    int status;
    for (int round = 0; (status = wait_status(child)) >= 0 && WIFSTOPPED(status); ++round) {
        const bool is_group = status >> 16 == PTRACE_EVENT_STOP && WSTOPSIG(status) != SIGTRAP;
        if (is_group && round % 2)
            (void)call(PTRACE_LISTEN, child);
        else
            (void)call(PTRACE_SYSCALL, child, 0, status >> 16 || WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status));
    }
    CHECK(check::died_of(status, SIGKILL));
    CHECK_EQ(check::code_of(wait_status(sender)), 0);
}

// Threads that end, of a process that is killed or executes a program, all traced.
static void* spin(void*) {
    for (int i = 0; i < 50; ++i) getppid();
    return nullptr;
}
static void test_threads() {
    for (int round = 0; round < rounds / 4; ++round) {
        const pid_t child = start([round] {
            for (int i = 0; i < 4; ++i) {
                pthread_t thread;
                pthread_create(&thread, nullptr, spin, nullptr);
            }
            if (round % 2) execv(arguments[0], arguments);
            kill(getpid(), SIGKILL);
        });
        CHECK_EQ(call(PTRACE_SETOPTIONS, child, 0,
                      PTRACE_O_TRACECLONE | (round % 4 < 2 ? PTRACE_O_TRACEEXIT : 0) | PTRACE_O_TRACEEXEC),
                 0);
        resume(child, 0, PTRACE_SYSCALL);
        int status;
        pid_t who;
        while ((who = waitpid(-1, &status, __WALL)) > 0)
            if (WIFSTOPPED(status)) (void)call(round % 3 ? PTRACE_SYSCALL : PTRACE_CONT, who);
        CHECK_ERRNO(waitpid(-1, nullptr, __WALL), ECHILD);
        CHECK_ERRNO(kill(child, 0), ESRCH);
    }
}

int main(int count, char*[]) {
    if (count == 2) _exit(0);
    test_against_end_and_exec();
    test_two_tracers();
    test_dying_tracers();
    test_signals_from_elsewhere();
    test_threads();
    return check::result();
}
