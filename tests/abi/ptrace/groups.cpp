// ptrace(2), PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_LISTEN: group stops as a tracer sees them that follows them.
#include "tracee.hpp"

using namespace tracee;

static pid_t seized() {
    const pid_t child = check::pausing();
    CHECK(check::wait_asleep(child));
    CHECK_EQ(call(PTRACE_SEIZE, child), 0);
    return child;
}
constexpr int trap = stopped(SIGTRAP, PTRACE_EVENT_STOP);

static void test_interrupt() {
    const pid_t child = seized();
    CHECK_EQ(call(PTRACE_INTERRUPT, child), 0);
    CHECK_EQ(wait_status(child), trap);
    siginfo_t info = {};
    CHECK_EQ(call(PTRACE_GETSIGINFO, child, 0, &info), 0);
    CHECK_EQ(info.si_signo, SIGTRAP);
    CHECK_EQ(info.si_code, SIGTRAP | PTRACE_EVENT_STOP << 8);
    // While it is stopped already, the next one comes once it goes on.
    CHECK_EQ(call(PTRACE_INTERRUPT, child), 0);
    CHECK_EQ(waitpid(child, nullptr, WNOHANG | __WALL), 0);
    resume(child);
    CHECK_EQ(wait_status(child), trap);
    resume(child);
    CHECK(check::wait_asleep(child));
    CHECK_EQ(call(PTRACE_INTERRUPT, child), 0);
    CHECK_EQ(wait_status(child), trap);
    CHECK_EQ(call(PTRACE_DETACH, child), 0);
    CHECK(check::wait_asleep(child));
    check::end_child(child);
    // Only for who seized.
    const pid_t other = start([] {});
    CHECK_ERRNO(call(PTRACE_INTERRUPT, other), EIO);
    CHECK_ERRNO(call(PTRACE_LISTEN, other), EIO);
    finish(other);
}

static void test_listen() {
    const pid_t child = seized();
    CHECK_OK(kill(child, SIGSTOP));
    CHECK_EQ(wait_status(child), stopped(SIGSTOP)); // of the signal
    CHECK_ERRNO(call(PTRACE_LISTEN, child), EIO);
    resume(child, SIGSTOP);
    CHECK_EQ(wait_status(child), stopped(SIGSTOP, PTRACE_EVENT_STOP)); // of the group
    siginfo_t info = {};
    CHECK_EQ(call(PTRACE_GETSIGINFO, child, 0, &info), 0);
    CHECK_EQ(info.si_signo, SIGSTOP);
    CHECK_EQ(call(PTRACE_LISTEN, child), 0);
    CHECK_EQ(waitpid(child, nullptr, WNOHANG | __WALL), 0);
    CHECK_ERRNO(call(PTRACE_CONT, child), ESRCH); // stopped, but not for requests
    // INTERRUPT makes it tell again.
    CHECK_EQ(call(PTRACE_INTERRUPT, child), 0);
    CHECK_EQ(wait_status(child), stopped(SIGSTOP, PTRACE_EVENT_STOP));
    CHECK_EQ(call(PTRACE_LISTEN, child), 0);
    CHECK_OK(kill(child, SIGCONT));
    CHECK_EQ(wait_status(child), trap); // the stop has ended
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGCONT));
    resume(child, SIGCONT);
    CHECK(check::wait_asleep(child));
    check::end_child(child);
}

// Seized while the group is stopped: a trap for that stop at once.
static void test_seize_stopped() {
    const pid_t child = check::pausing();
    CHECK_OK(kill(child, SIGSTOP));
    CHECK_EQ(wait_status(child, WUNTRACED), stopped(SIGSTOP));
    CHECK_EQ(call(PTRACE_SEIZE, child), 0);
    CHECK_EQ(wait_status(child), stopped(SIGSTOP, PTRACE_EVENT_STOP));
    CHECK_EQ(call(PTRACE_DETACH, child), 0);
    CHECK(check::eventually([&] { return check::thread_state(child) == 'T'; }));
    CHECK_OK(kill(child, SIGCONT));
    CHECK(check::eventually([&] { return check::thread_state(child) == 'S'; }));
    check::end_child(child);
}

static void test_pending() {
    const pid_t child = start([] {
        sigset_t set = check::set_of(SIGRTMIN, SIGUSR1);
        sigprocmask(SIG_BLOCK, &set, nullptr);
        for (int i = 0; i < 3; ++i) sigqueue(getpid(), SIGRTMIN, sigval{.sival_int = 10 + i});
        syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1);
        raise(SIGUSR2);
    });
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGUSR2));
    struct {
        unsigned long offset;
        unsigned flags;
        int count;
    } wanted = {0, 1, 8};
    siginfo_t infos[8] = {};
    CHECK_EQ(call(0x4209, child, (unsigned long)&wanted, infos), 3);
    for (int i = 0; i < 3; ++i) {
        CHECK_EQ(infos[i].si_signo, SIGRTMIN);
        CHECK_EQ(infos[i].si_value.sival_int, 10 + i);
    }
    wanted.offset = 2;
    CHECK_EQ(call(0x4209, child, (unsigned long)&wanted, infos), 1);
    CHECK_EQ(infos[0].si_value.sival_int, 12);
    wanted = {0, 0, 8};
    CHECK_EQ(call(0x4209, child, (unsigned long)&wanted, infos), 1);
    CHECK_EQ(infos[0].si_signo, SIGUSR1);
    wanted.flags = 2;
    CHECK_ERRNO(call(0x4209, child, (unsigned long)&wanted, infos), EINVAL);
    wanted = {0, 0, -1};
    CHECK_ERRNO(call(0x4209, child, (unsigned long)&wanted, infos), EINVAL);
    finish(child);
}

int main() {
    test_interrupt();
    test_listen();
    test_seize_stopped();
    test_pending();
    return check::result();
}
