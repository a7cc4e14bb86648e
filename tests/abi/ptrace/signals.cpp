// ptrace(2), "Signal-delivery-stop": the tracer sees each signal first, and says which one is delivered.
#include "tracee.hpp"

using namespace tracee;

static volatile sig_atomic_t seen, seen_code, seen_value;
static volatile pid_t seen_pid;
static void note(int signal, siginfo_t* info, void*) {
    seen = signal;
    seen_code = info->si_code;
    seen_pid = info->si_pid;
    seen_value = info->si_value.sival_int;
}

static void test_suppressed_and_changed() {
    const pid_t child = start([] {
        check::handle(SIGUSR1, note);
        check::handle(SIGUSR2, note);
        raise(SIGUSR1);
        CHECK_EQ(seen, 0); // withheld
        raise(SIGUSR1);
        CHECK_EQ(seen, SIGUSR1);
        CHECK_EQ(seen_pid, getpid());
        seen = 0;
        raise(SIGUSR1);
        CHECK_EQ(seen, SIGUSR2); // another one
        CHECK_EQ(seen_code, SI_USER);
        CHECK_EQ(seen_pid, getppid());
        raise(SIGUSR1);
        CHECK_EQ(seen_value, 4711);
        raise(SIGTERM); // withheld too
        raise(SIGCHLD); // ignored, but the tracer is told
    });
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGUSR1));
    siginfo_t info = {};
    CHECK_EQ(call(PTRACE_GETSIGINFO, child, 0, &info), 0);
    CHECK_EQ(info.si_signo, SIGUSR1);
    CHECK_EQ(info.si_code, SI_TKILL);
    CHECK_EQ(info.si_pid, child);
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGUSR1));
    resume(child, SIGUSR1);
    CHECK_EQ(wait_status(child), stopped(SIGUSR1));
    resume(child, SIGUSR2);
    CHECK_EQ(wait_status(child), stopped(SIGUSR1));
    info.si_code = SI_QUEUE;
    info.si_value.sival_int = 4711;
    CHECK_EQ(call(PTRACE_SETSIGINFO, child, 0, &info), 0);
    resume(child, SIGUSR1);
    CHECK_EQ(wait_status(child), stopped(SIGTERM));
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGCHLD));
    resume(child, SIGCHLD);
    CHECK_EQ(check::code_of(wait_status(child)), 0);
}

static void test_deadly() {
    const pid_t child = start([] {
        for (;;) pause();
    });
    resume(child);
    CHECK_OK(kill(child, SIGTERM));
    CHECK_EQ(wait_status(child), stopped(SIGTERM));
    resume(child, SIGTERM);
    CHECK(check::died_of(wait_status(child), SIGTERM));

    const pid_t faulty = start([] { *(volatile int*)8 = 1; });
    resume(faulty);
    CHECK_EQ(wait_status(faulty), stopped(SIGSEGV));
    siginfo_t info = {};
    CHECK_EQ(call(PTRACE_GETSIGINFO, faulty, 0, &info), 0);
    CHECK_EQ(info.si_code, SEGV_MAPERR);
    CHECK_EQ(info.si_addr, (void*)8);
    resume(faulty); // withheld: the instruction faults again
    CHECK_EQ(wait_status(faulty), stopped(SIGSEGV));
    resume(faulty, SIGSEGV);
    CHECK(check::died_of(wait_status(faulty), SIGSEGV));
}

// Nothing holds SIGKILL up, and the tracer can't use it in vain.
static void test_kill() {
    const pid_t child = start([] {});
    CHECK_OK(kill(child, SIGKILL));
    CHECK(check::died_of(wait_status(child), SIGKILL));
    CHECK_ERRNO(call(PTRACE_CONT, child), ESRCH);

    const pid_t other = start([] {});
    CHECK_EQ(call(PTRACE_KILL, other), 0);
    CHECK(check::died_of(wait_status(other), SIGKILL));

    const pid_t injected = start([] {});
    resume(injected, SIGKILL);
    CHECK(check::died_of(wait_status(injected), SIGKILL));
}

// A stop signal stops twice: once as a signal, once with the group; GETSIGINFO tells which.
static void test_group_stop() {
    const pid_t child = start([] {
        raise(SIGTSTP);
        return 5;
    });
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGTSTP));
    siginfo_t info = {};
    CHECK_EQ(call(PTRACE_GETSIGINFO, child, 0, &info), 0);
    resume(child, SIGSTOP);
    CHECK_EQ(wait_status(child), stopped(SIGSTOP));
    CHECK_ERRNO(call(PTRACE_GETSIGINFO, child, 0, &info), EINVAL);
    CHECK_EQ(check::thread_state(child), 't');
    finish(child, 5);
}

// waitid(2) and SIGCHLD tell of stops too.
static volatile sig_atomic_t child_code, child_status, child_pid;
static void note_child(int, siginfo_t* info, void*) {
    child_code = info->si_code;
    child_status = info->si_status;
    child_pid = info->si_pid;
}
static void test_reports() {
    const pid_t child = start([] { raise(SIGUSR2); });
    check::handle(SIGCHLD, note_child, SA_RESTART);
    resume(child);
    siginfo_t info = {};
    CHECK_OK(waitid(P_PID, id_t(child), &info, WSTOPPED | WNOWAIT));
    CHECK_EQ(info.si_code, CLD_TRAPPED);
    CHECK_EQ(info.si_status, SIGUSR2);
    CHECK_EQ(info.si_pid, child);
    CHECK_EQ(child_code, CLD_TRAPPED);
    CHECK_EQ(child_status, SIGUSR2);
    CHECK_EQ(child_pid, child);
    CHECK_OK(waitid(P_PID, id_t(child), &info, WEXITED)); // stops of tracees are always told of
    CHECK_EQ(info.si_code, CLD_TRAPPED);
    info.si_pid = 0;
    CHECK_OK(waitid(P_PID, id_t(child), &info, WSTOPPED | WNOHANG));
    CHECK_EQ(info.si_pid, 0); // once only
    finish(child);
    CHECK_EQ(child_code, CLD_EXITED);
    signal(SIGCHLD, SIG_DFL);
}

// A signal that the tracer has blocked meanwhile waits.
static void test_mask() {
    const pid_t child = start([] {
        check::handle(SIGUSR1, note);
        raise(SIGUSR1);
        CHECK_EQ(seen, 0);
        sigset_t pending;
        CHECK_OK(sigpending(&pending));
        CHECK_EQ(sigismember(&pending, SIGUSR1), 1);
    });
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGUSR1));
    unsigned long mask = 0;
    CHECK_EQ(call(PTRACE_GETSIGMASK, child, 8, &mask), 0);
    CHECK_ERRNO(call(PTRACE_GETSIGMASK, child, 4, &mask), EINVAL);
    mask |= 1ul << (SIGUSR1 - 1) | 1ul << (SIGKILL - 1);
    CHECK_EQ(call(PTRACE_SETSIGMASK, child, 8, &mask), 0);
    CHECK_EQ(call(PTRACE_GETSIGMASK, child, 8, &mask), 0);
    CHECK_EQ(mask >> (SIGKILL - 1) & 1, 0u);
    resume(child, SIGUSR1);
    CHECK_EQ(check::code_of(wait_status(child)), 0);
}

int main() {
    test_suppressed_and_changed();
    test_deadly();
    test_kill();
    test_group_stop();
    test_reports();
    test_mask();
    return check::result();
}
