// ptrace(2), PTRACE_O_TRACE*: forks, clones, programs executed and ends as events; children are traced from their
// start.
#include <pthread.h>
#include <sched.h>

#include "tracee.hpp"

using namespace tracee;

static unsigned long message_of(pid_t child) {
    unsigned long message = ~0ul;
    CHECK_EQ(call(PTRACE_GETEVENTMSG, child, 0, &message), 0);
    return message;
}

static void set_options(pid_t child, unsigned long options) { CHECK_EQ(call(PTRACE_SETOPTIONS, child, 0, options), 0); }

static void test_fork() {
    const pid_t child = start([] {
        const pid_t grandchild = fork();
        if (grandchild == 0) _exit(21);
        return check::code_of(wait_status(grandchild));
    });
    set_options(child, PTRACE_O_TRACEFORK);
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP, PTRACE_EVENT_FORK));
    siginfo_t info = {};
    CHECK_EQ(call(PTRACE_GETSIGINFO, child, 0, &info), 0);
    CHECK_EQ(info.si_signo, SIGTRAP);
    CHECK_EQ(info.si_code, SIGTRAP | PTRACE_EVENT_FORK << 8);
    const pid_t grandchild = pid_t(message_of(child));
    CHECK_EQ(wait_status(grandchild), stopped(SIGSTOP));
    resume(child);
    resume(grandchild);
    CHECK_EQ(check::code_of(wait_status(grandchild)), 21); // first the tracer, then the parent
    CHECK_EQ(wait_status(child), stopped(SIGCHLD));
    resume(child, SIGCHLD);
    CHECK_EQ(check::code_of(wait_status(child)), 21);
}

// With PTRACE_SEIZE a child's first stop is an event too.
static void test_seized_fork() {
    int* go = check::shared<int>();
    const pid_t child = fork();
    if (child == 0) {
        while (*(volatile int*)go == 0) check::nap();
        const pid_t grandchild = fork();
        if (grandchild == 0) _exit(22);
        _exit(check::code_of(wait_status(grandchild)));
    }
    CHECK_EQ(call(PTRACE_SEIZE, child, 0, PTRACE_O_TRACEFORK), 0);
    *go = 1;
    CHECK_EQ(wait_status(child), stopped(SIGTRAP, PTRACE_EVENT_FORK));
    const pid_t grandchild = pid_t(message_of(child));
    CHECK_EQ(wait_status(grandchild), stopped(SIGTRAP, PTRACE_EVENT_STOP));
    CHECK_EQ(call(PTRACE_DETACH, grandchild), 0);
    resume(child);
    const int status = wait_status(child);
    CHECK_EQ(status, stopped(SIGCHLD));
    resume(child, SIGCHLD);
    CHECK_EQ(check::code_of(wait_status(child)), 22);
}

static void test_vfork() {
    const pid_t child = start([] {
        const pid_t grandchild = vfork();
        if (grandchild == 0) _exit(23);
        return check::code_of(wait_status(grandchild));
    });
    set_options(child, PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE);
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP, PTRACE_EVENT_VFORK));
    const pid_t grandchild = pid_t(message_of(child));
    CHECK_EQ(wait_status(grandchild), stopped(SIGSTOP));
    resume(child);
    CHECK_EQ(waitpid(child, nullptr, WNOHANG), 0);
    CHECK_EQ(call(PTRACE_DETACH, grandchild), 0);
    int status = wait_status(child);
    if (status == stopped(SIGCHLD)) { // may come first
        resume(child, SIGCHLD);
        status = wait_status(child);
    }
    CHECK_EQ(status, stopped(SIGTRAP, PTRACE_EVENT_VFORK_DONE));
    CHECK_EQ(message_of(child), (unsigned long)grandchild);
    for (resume(child); (status = wait_status(child)) == stopped(SIGCHLD);) resume(child, SIGCHLD);
    CHECK_EQ(check::code_of(status), 23);
}

static void* do_nothing(void*) { return nullptr; }

static void test_threads() {
    const pid_t child = start([] {
        pthread_t thread;
        pthread_create(&thread, nullptr, do_nothing, nullptr);
        pthread_join(thread, nullptr);
        return 24;
    });
    set_options(child, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXIT);
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP, PTRACE_EVENT_CLONE));
    const pid_t tid = pid_t(message_of(child));
    CHECK_EQ(wait_status(tid), stopped(SIGSTOP));
    resume(child);
    resume(tid);
    CHECK_EQ(wait_status(tid), stopped(SIGTRAP, PTRACE_EVENT_EXIT));
    CHECK_EQ(message_of(tid), 0ul);
    resume(tid);
    int status = wait_status(tid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(wait_status(child), stopped(SIGTRAP, PTRACE_EVENT_EXIT));
    CHECK_EQ(message_of(child), 24ul << 8);
    Registers registers = registers_of(child); // still there
    CHECK(pc(registers) != 0);
    resume(child);
    CHECK_EQ(check::code_of(wait_status(child)), 24);
}

static void test_exit_by_signal() {
    const pid_t child = start([] { raise(SIGTERM); });
    set_options(child, PTRACE_O_TRACEEXIT);
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGTERM));
    resume(child, SIGTERM);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP, PTRACE_EVENT_EXIT));
    CHECK_EQ(message_of(child), (unsigned long)SIGTERM);
    resume(child);
    CHECK(check::died_of(wait_status(child), SIGTERM));
}

static char* const arguments[] = {(char*)"/proc/self/exe", (char*)"executed", nullptr};

static void test_exec() {
    // Without the option a SIGTRAP says so.
    pid_t child = start([] { execv(arguments[0], arguments); });
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP));
    siginfo_t info = {};
    CHECK_EQ(call(PTRACE_GETSIGINFO, child, 0, &info), 0);
    CHECK_EQ(info.si_code, SI_USER);
    finish(child, 44);
    child = start([] { execv(arguments[0], arguments); });
    set_options(child, PTRACE_O_TRACEEXEC);
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP, PTRACE_EVENT_EXEC));
    CHECK_EQ(message_of(child), (unsigned long)child);
    finish(child, 44);
}

static void* execute(void*) {
    execv(arguments[0], arguments);
    _exit(98);
}

// A thread that executes a program takes the number of the first one, whose end nobody is told.
static void test_exec_by_thread() {
    const pid_t child = start([] {
        pthread_t thread;
        pthread_create(&thread, nullptr, execute, nullptr);
        for (;;) pause();
    });
    set_options(child, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC);
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP, PTRACE_EVENT_CLONE));
    const pid_t tid = pid_t(message_of(child));
    CHECK_EQ(wait_status(tid), stopped(SIGSTOP));
    resume(child);
    resume(tid);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP, PTRACE_EVENT_EXEC));
    CHECK_EQ(message_of(child), (unsigned long)tid);
    CHECK_ERRNO(call(PTRACE_CONT, tid), ESRCH);
    finish(child, 44);
}

static void* wait_for_signals(void*) {
    for (;;) pause();
}

static pid_t next_thread(pid_t child) {
    CHECK_EQ(wait_status(child), stopped(SIGTRAP, PTRACE_EVENT_CLONE));
    const pid_t tid = pid_t(message_of(child));
    CHECK_EQ(wait_status(tid), stopped(SIGSTOP));
    return tid;
}

// The program is not executed before the tracer has waited for the threads that had to die for it.
static void test_exec_among_threads() {
    const pid_t child = start([] {
        pthread_t thread;
        pthread_create(&thread, nullptr, wait_for_signals, nullptr);
        pthread_create(&thread, nullptr, wait_for_signals, nullptr);
        execv(arguments[0], arguments);
    });
    set_options(child, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC);
    pid_t others[2];
    for (pid_t& each : others) {
        resume(child);
        each = next_thread(child);
        resume(each);
        CHECK(check::wait_asleep(each));
    }
    resume(child);
    for (const pid_t each : others) {
        siginfo_t info = {};
        CHECK_EQ(waitid(P_PID, id_t(each), &info, WEXITED | WNOWAIT | __WALL), 0);
        CHECK(check::eventually([&] { return check::thread_state(child) != 'R'; }));
        CHECK(check::thread_state(child) != 't');
        CHECK_EQ(waitpid(child, nullptr, WNOHANG | __WALL), 0);
        CHECK_EQ(wait_status(each), 0); // ended as by exit(2)
    }
    CHECK_EQ(wait_status(child), stopped(SIGTRAP, PTRACE_EVENT_EXEC));
    finish(child, 44);
}

int main(int count, char*[]) {
    if (count == 2) _exit(44);
    test_fork();
    test_seized_fork();
    test_vfork();
    test_threads();
    test_exit_by_signal();
    test_exec();
    test_exec_by_thread();
    test_exec_among_threads();
    return check::result();
}
