// ptrace(2): how tracing begins and ends, who may, and what is asked in vain.
#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>

#include "tracee.hpp"

using namespace tracee;

static int tracer_pid(pid_t pid) {
    char name[64], text[4096];
    snprintf(name, sizeof name, "/proc/%d/status", int(pid));
    FILE* file = fopen(name, "r");
    if (!file) return -1;
    const size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    const char* line = strstr(text, "TracerPid:");
    return line ? atoi(line + 10) : -1;
}

static void test_trace_me() {
    const pid_t child = start([] {
        errno = 0;
        CHECK_ERRNO(call(PTRACE_TRACEME, 0), EPERM); // traced already
        return 7;
    });
    CHECK_EQ(tracer_pid(child), getpid());
    CHECK_EQ(check::thread_state(child), 't');
    finish(child, 7);
}

static void test_attach_and_detach() {
    const pid_t child = check::pausing();
    CHECK(check::wait_asleep(child));
    CHECK_EQ(tracer_pid(child), 0);
    CHECK_EQ(call(PTRACE_ATTACH, child), 0);
    CHECK_EQ(wait_status(child), stopped(SIGSTOP));
    CHECK_ERRNO(call(PTRACE_ATTACH, child), EPERM);
    CHECK_ERRNO(call(PTRACE_SEIZE, child), EPERM);
    CHECK_EQ(tracer_pid(child), getpid());
    CHECK_EQ(call(PTRACE_DETACH, child), 0);
    CHECK_EQ(tracer_pid(child), 0);
    CHECK(check::wait_asleep(child)); // the pause goes on
    CHECK_ERRNO(call(PTRACE_DETACH, child), ESRCH);
    // Detached with a signal it dies of that.
    CHECK_EQ(call(PTRACE_ATTACH, child), 0);
    CHECK_EQ(wait_status(child), stopped(SIGSTOP));
    CHECK_EQ(call(PTRACE_DETACH, child, 0, SIGTERM), 0);
    CHECK(check::died_of(wait_status(child), SIGTERM));
}

static void test_refusals() {
    CHECK_ERRNO(call(PTRACE_ATTACH, getpid()), EPERM);
    CHECK_ERRNO(call(PTRACE_SEIZE, getpid()), EPERM);
    CHECK_ERRNO(call(PTRACE_ATTACH, 0), ESRCH);
    CHECK_ERRNO(call(PTRACE_CONT, -1), ESRCH);
    CHECK_ERRNO(call(PTRACE_CONT, 1), ESRCH);
    const pid_t child = check::pausing();
    CHECK(check::wait_asleep(child));
    CHECK_ERRNO(call(PTRACE_CONT, child), ESRCH);
    CHECK_ERRNO(call(PTRACE_KILL, child), ESRCH);
    CHECK_ERRNO(call(PTRACE_SEIZE, child, 1), EIO);
    CHECK_ERRNO(call(PTRACE_SEIZE, child, 0, 1ul << 30), EIO);
    CHECK_EQ(call(PTRACE_SEIZE, child), 0);
    // It runs, so there is nothing to ask.
    CHECK(check::wait_asleep(child));
    long word;
    CHECK_ERRNO(call(PTRACE_PEEKDATA, child, (unsigned long)&word, &word), ESRCH);
    CHECK_ERRNO(call(PTRACE_CONT, child), ESRCH);
    CHECK_ERRNO(call(PTRACE_DETACH, child), ESRCH);
    CHECK_EQ(waitpid(child, nullptr, WNOHANG | __WALL), 0);
    CHECK_EQ(call(PTRACE_INTERRUPT, child), 0);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP, PTRACE_EVENT_STOP));
    CHECK_ERRNO(call(PTRACE_CONT, child, 0, 65), EIO);
    CHECK_ERRNO(call(12345, child), EIO);
    CHECK_ERRNO(call(PTRACE_SETOPTIONS, child, 0, 1ul << 30), EINVAL);
    // Another process is not its tracer.
    check::run_in_child([&] {
        CHECK_ERRNO(call(PTRACE_CONT, child), ESRCH);
        CHECK_ERRNO(call(PTRACE_ATTACH, child), EPERM);
    });
    end(child);
    // A zombie is not traced any more.
    const pid_t dead = fork();
    if (dead == 0) _exit(3);
    siginfo_t info;
    CHECK_OK(waitid(P_PID, id_t(dead), &info, WEXITED | WNOWAIT));
    CHECK_ERRNO(call(PTRACE_ATTACH, dead), EPERM);
    CHECK_EQ(check::code_of(wait_status(dead)), 3);
}

static void become_nobody() {
    CHECK_OK(setgroups(0, nullptr));
    CHECK_OK(setresgid(65534, 65534, 65534));
    CHECK_OK(setresuid(65534, 65534, 65534));
}

static void test_permissions() {
    if (getuid() != 0) return;
    const pid_t roots = check::pausing();
    check::run_in_child([&] {
        become_nobody();
        CHECK_ERRNO(call(PTRACE_ATTACH, roots), EPERM);
        CHECK_ERRNO(call(PTRACE_SEIZE, roots), EPERM);
        CHECK_ERRNO(call(PTRACE_ATTACH, 1), EPERM);
        // One of the same user, once it may be dumped.
        int ready[2];
        CHECK_OK(pipe(ready));
        const pid_t own = fork();
        if (own == 0) {
            prctl(PR_SET_DUMPABLE, 0);
            write(ready[1], "x", 1);
            for (;;) pause();
        }
        char byte;
        CHECK_EQ(read(ready[0], &byte, 1), 1);
        CHECK_ERRNO(call(PTRACE_ATTACH, own), EPERM);
        kill(own, SIGKILL);
        CHECK(check::died_of(wait_status(own), SIGKILL));
        const pid_t open = fork();
        if (open == 0) {
            prctl(PR_SET_DUMPABLE, 1);
            write(ready[1], "x", 1);
            for (;;) pause();
        }
        CHECK_EQ(read(ready[0], &byte, 1), 1);
        CHECK_EQ(call(PTRACE_ATTACH, open), 0);
        CHECK_EQ(wait_status(open), stopped(SIGSTOP));
        end(open);
    });
    check::end_child(roots);
}

// Whoever is stopped already passes into a stop of the tracer's, and stays stopped when that leaves.
static void test_attach_to_stopped() {
    const pid_t child = check::pausing();
    CHECK_OK(kill(child, SIGSTOP));
    CHECK_EQ(wait_status(child, WUNTRACED), stopped(SIGSTOP));
    CHECK_EQ(check::thread_state(child), 'T');
    CHECK_EQ(call(PTRACE_ATTACH, child), 0);
    CHECK_EQ(check::thread_state(child), 't');
    CHECK_EQ(wait_status(child), stopped(SIGSTOP));
    siginfo_t info;
    CHECK_ERRNO(call(PTRACE_GETSIGINFO, child, 0, &info), EINVAL); // not of a signal
    CHECK_EQ(call(PTRACE_DETACH, child), 0);
    CHECK(check::eventually([&] { return check::thread_state(child) == 'T'; }));
    CHECK_OK(kill(child, SIGCONT));
    CHECK(check::eventually([&] { return check::thread_state(child) == 'S'; }));
    check::end_child(child);
}

// What one tracer wanted of calls is none of the next one's business.
static void test_second_tracer() {
    const pid_t another = start([] {}); // somebody is traced all the time
    const pid_t child = start([] {
        for (;;) pause();
    });
    resume(child, 0, PTRACE_SYSCALL);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP)); // the call begins
    resume(child, 0, PTRACE_SYSCALL);
    CHECK(check::wait_asleep(child));
    CHECK_OK(kill(child, SIGSTOP));
    CHECK_EQ(wait_status(child), stopped(SIGTRAP)); // and is interrupted
    resume(child, 0, PTRACE_SYSCALL);
    CHECK_EQ(wait_status(child), stopped(SIGSTOP));
    CHECK_EQ(call(PTRACE_DETACH, child), 0);
    CHECK(check::wait_asleep(child));
    CHECK_EQ(call(PTRACE_ATTACH, child), 0);
    CHECK_EQ(wait_status(child), stopped(SIGSTOP));
    end(child);
    finish(another);
}

int main() {
    test_second_tracer();
    test_trace_me();
    test_attach_and_detach();
    test_refusals();
    test_permissions();
    test_attach_to_stopped();
    return check::result();
}
