// clone(2), clone3(2), vfork(2): what is shared and what is copied, the numbers stored, the stack and TLS given,
// errors; and waitid(2) in all its variants.
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "asleep.hpp"

using namespace check;

namespace {

long clone3(clone_args& args, size_t size = sizeof(clone_args)) { return syscall(SYS_clone3, &args, size); }

pid_t fork_by_clone3(uint64_t flags, uint64_t exit_signal = SIGCHLD) {
    clone_args args = {};
    args.flags = flags;
    args.exit_signal = exit_signal;
    return pid_t(clone3(args));
}

int end_of(pid_t child) {
    int status = -1;
    CHECK_EQ(waitpid(child, &status, __WALL), child);
    return status;
}

void stored_numbers() {
    auto* stored = shared<std::atomic<pid_t>>();
    clone_args args = {};
    int pidfd = -1;
    pid_t parents = 0;
    args.flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_PIDFD;
    args.exit_signal = SIGCHLD;
    args.parent_tid = uint64_t(&parents);
    args.child_tid = uint64_t(stored);
    args.pidfd = uint64_t(&pidfd);
    const pid_t child = pid_t(clone3(args));
    REQUIRE(child >= 0);
    if (child == 0) _exit(*stored == getpid() ? 0 : 1);
    CHECK_EQ(parents, child);
    CHECK_GE(pidfd, 0);
    CHECK_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
    siginfo_t info = {};
    CHECK_OK(waitid(idtype_t(3) /* P_PIDFD */, id_t(pidfd), &info, WEXITED));
    CHECK_EQ(info.si_pid, child);
    CHECK_EQ(info.si_code, CLD_EXITED);
    CHECK_EQ(info.si_status, 0);
    close(pidfd);
}

/// CLONE_CHILD_CLEARTID: the word becomes 0 and a futex waiter wakes when the child ends and its memory is shared.
alignas(16) char stack[65536];
std::atomic<pid_t> cleared;

void cleared_number() {
    cleared = 1;
    const pid_t child =
        clone([](void*) { return 0; }, stack + sizeof stack,
              CLONE_VM | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | SIGCHLD, nullptr, nullptr, nullptr, &cleared);
    REQUIRE(child > 0);
    while (pid_t seen = cleared) syscall(SYS_futex, &cleared, 0 /* FUTEX_WAIT */, seen, nullptr, nullptr, 0);
    CHECK_EQ(end_of(child), 0);
}

/// What is shared by which flag; the child changes everything.
void shared_parts() {
    for (uint64_t flags : {uint64_t(0), uint64_t(CLONE_FILES), uint64_t(CLONE_FS), uint64_t(CLONE_FILES | CLONE_FS)}) {
        CHECK_OK(chdir("/"));
        umask(022);
        const int fd = open("/dev/null", O_RDONLY);
        const pid_t child = fork_by_clone3(flags);
        if (child == 0) {
            close(fd);
            umask(077);
            _exit(chdir("/proc"));
        }
        CHECK_EQ(end_of(child), 0);
        char directory[64];
        CHECK_STREQ(getcwd(directory, sizeof directory), flags & CLONE_FS ? "/proc" : "/");
        CHECK_EQ(umask(022), mode_t(flags & CLONE_FS ? 077 : 022));
        if (flags & CLONE_FILES)
            CHECK_ERRNO(fcntl(fd, F_GETFD), EBADF);
        else
            CHECK_OK(close(fd));
    }
    CHECK_OK(chdir("/tmp"));
}

/// A stack of its own, and the position of a shared descriptor.
int on_own_stack(void* argument) {
    char here;
    if (&here < stack || &here >= stack + sizeof stack) return 1;
    return lseek(*static_cast<int*>(argument), 7, SEEK_CUR) == 7 ? 0 : 2;
}

void own_stack() {
    int fd = open("clone.file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    const pid_t child = clone(on_own_stack, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &fd);
    CHECK_EQ(end_of(child), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 7); // the open file description is one, with or without CLONE_FILES
    close(fd);
    unlink("clone.file");
}

/// CLONE_PARENT: a sibling, not a child. CLONE_CLEAR_SIGHAND: no handlers. An exit signal of one's own.
std::atomic<int> told;

void other_flags() {
    const pid_t self = getpid();
    const pid_t middle = fork();
    if (middle == 0) {
        const pid_t sibling = fork_by_clone3(CLONE_PARENT, 0);
        if (sibling == 0) _exit(getppid() == self ? 21 : 22);
        _exit(sibling > 0 ? 0 : 1);
    }
    CHECK_EQ(end_of(middle), 0);
    int status = 0;
    CHECK(waitpid(-1, &status, __WALL) > 0);
    CHECK_EQ(status, 21 << 8);

    handle(SIGUSR1, [](int) {});
    signal(SIGUSR2, SIG_IGN);
    const pid_t cleared_child = fork_by_clone3(1ull << 32 /* CLONE_CLEAR_SIGHAND */);
    if (cleared_child == 0) {
        struct sigaction one, two;
        sigaction(SIGUSR1, nullptr, &one);
        sigaction(SIGUSR2, nullptr, &two);
        _exit(one.sa_handler == SIG_DFL && two.sa_handler == SIG_IGN ? 0 : 1);
    }
    CHECK_EQ(end_of(cleared_child), 0);
    signal(SIGUSR2, SIG_DFL);

    handle(SIGUSR1, [](int) { told++; }, SA_RESTART);
    const pid_t other = fork_by_clone3(0, SIGUSR1);
    if (other == 0) _exit(0);
    CHECK(eventually([] { return told == 1; }));
    CHECK_ERRNO(waitpid(other, nullptr, 0), ECHILD); // only with __WCLONE or __WALL
    CHECK_EQ(waitpid(other, nullptr, __WCLONE), other);
}

/// A child with a number of one's choice.
void chosen_number() {
    const pid_t wanted = 23456;
    if (kill(wanted, 0) == 0) return;
    clone_args args = {};
    pid_t numbers[2] = {wanted, 0};
    args.exit_signal = SIGCHLD;
    args.set_tid = uint64_t(numbers);
    args.set_tid_size = 1;
    const pid_t child = pid_t(clone3(args));
    if (child == 0) _exit(getpid() == wanted ? 0 : 1);
    CHECK_EQ(child, wanted);
    pid_t second = pid_t(clone3(args)); // taken, until reaped
    if (second == 0) _exit(0);
    CHECK_EQ(second, -1);
    CHECK_EQ(end_of(child), 0);
    numbers[0] = 1;
    CHECK_ERRNO(clone3(args), EEXIST);
    numbers[0] = -5;
    CHECK_ERRNO(clone3(args), EINVAL);
    args.set_tid_size = 0;
    CHECK_ERRNO(clone3(args), EINVAL);
}

void errors() {
    clone_args args = {};
    args.exit_signal = SIGCHLD;
    CHECK_ERRNO(clone3(args, 63), EINVAL);
    CHECK_ERRNO(clone3(args, 5000), E2BIG);
    CHECK_ERRNO(syscall(SYS_clone3, 8, sizeof args), EFAULT);
    struct {
        clone_args args;
        uint64_t more;
    } bigger = {};
    bigger.args.exit_signal = SIGCHLD;
    bigger.more = 1; // unknown and not zero
    CHECK_ERRNO(syscall(SYS_clone3, &bigger, sizeof bigger), E2BIG);
    bigger.more = 0;
    const pid_t child = pid_t(syscall(SYS_clone3, &bigger, sizeof bigger));
    if (child == 0) _exit(0);
    CHECK_EQ(end_of(child), 0);
    auto flags = [](uint64_t wanted, uint64_t signal = SIGCHLD) {
        const pid_t made = fork_by_clone3(wanted, signal);
        if (made == 0) _exit(0);
        if (made > 0) end_of(made);
        return made;
    };
    CHECK_ERRNO(flags(1ull << 40), EINVAL);
    CHECK_ERRNO(flags(0, 65), EINVAL);
    CHECK_ERRNO(flags(SIGCHLD), EINVAL); // the signal has a field of its own
    CHECK_ERRNO(flags(CLONE_DETACHED), EINVAL);
    CHECK_ERRNO(flags(CLONE_THREAD, 0), EINVAL);
    CHECK_ERRNO(flags(CLONE_SIGHAND), EINVAL);
    CHECK_ERRNO(flags(CLONE_SIGHAND | CLONE_VM | (1ull << 32)), EINVAL);
    CHECK_ERRNO(flags(CLONE_FS | CLONE_NEWNS), EINVAL);
    args = {};
    args.exit_signal = SIGCHLD;
    args.stack = uint64_t(stack);
    CHECK_ERRNO(clone3(args), EINVAL); // a stack without a size
    args.stack = 0;
    args.stack_size = sizeof stack;
    CHECK_ERRNO(clone3(args), EINVAL);
}

/// vfork: the parent stands still until the child has gone or runs another program.
volatile int seen_by_child;

void vfork_order() {
    seen_by_child = 0;
    volatile pid_t child = vfork();
    if (child == 0) {
        nap();
        seen_by_child = 1;
        _exit(4);
    }
    CHECK_EQ(int(seen_by_child), 1);
    CHECK_EQ(end_of(child), 4 << 8);
    // A signal for the parent waits, one that kills it does not.
    const int status = in_child([] {
        const pid_t parent = getpid();
        if (vfork() == 0) {
            kill(parent, SIGKILL);
            for (int i = 0; i < 50; ++i) nap();
            _exit(0);
        }
        for (;;) pause();
    });
    CHECK(died_of(status, SIGKILL));
}

pid_t ending(int code) {
    const pid_t child = fork();
    if (child == 0) _exit(code);
    return child;
}

void waiting() {
    siginfo_t info = {};
    CHECK_ERRNO(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
    CHECK_ERRNO(waitid(P_PID, 1, &info, WEXITED), ECHILD);
    CHECK_ERRNO(waitid(P_PID, id_t(-1), &info, WEXITED), EINVAL);
    CHECK_ERRNO(waitid(P_ALL, 0, &info, 0), EINVAL);
    CHECK_ERRNO(waitid(P_ALL, 0, &info, WNOHANG), EINVAL);
    CHECK_ERRNO(waitid(idtype_t(77), 0, &info, WEXITED), EINVAL);
    CHECK_ERRNO(waitid(idtype_t(3), 9999, &info, WEXITED), EBADF);
    CHECK_ERRNO(waitid(P_ALL, 0, &info, WEXITED | 0x400), EINVAL);
    CHECK_ERRNO(wait4(-1, nullptr, 0x400, nullptr), EINVAL);
    CHECK_ERRNO(wait4(-1, nullptr, 0, nullptr), ECHILD);
    CHECK_ERRNO(wait4(INT32_MIN, nullptr, 0, nullptr), ESRCH);

    pid_t child = ending(17);
    CHECK_OK(waitid(P_PID, id_t(child), &info, WEXITED | WNOWAIT));
    CHECK_EQ(info.si_status, 17);
    CHECK_EQ(thread_state(child), 'Z');
    rusage usage = {};
    CHECK_EQ(syscall(SYS_waitid, P_PID, child, &info, WEXITED, &usage), 0);
    CHECK_EQ(info.si_signo, SIGCHLD);
    CHECK_EQ(info.si_pid, child);
    CHECK_EQ(info.si_uid, getuid());
    CHECK_EQ(thread_state(child), 0);
    CHECK_GT(usage.ru_minflt, 0);
    child = ending(0);
    CHECK_EQ(syscall(SYS_waitid, P_PID, child, nullptr, WEXITED, nullptr), 0);

    // By group: of a number, and one's own.
    child = fork();
    if (child == 0) {
        setpgid(0, 0);
        _exit(5);
    }
    setpgid(child, child);
    CHECK_ERRNO(waitid(P_PGID, 0, &info, WEXITED), ECHILD);
    CHECK_ERRNO(wait4(0, nullptr, 0, nullptr), ECHILD);
    CHECK_OK(waitid(P_PGID, id_t(child), &info, WEXITED));
    CHECK_EQ(info.si_status, 5);
    child = ending(6);
    CHECK_OK(waitid(P_PGID, 0, &info, WEXITED));
    CHECK_EQ(info.si_pid, child);
    child = ending(7);
    int status = 0;
    CHECK_EQ(wait4(0, &status, 0, nullptr), child);
    child = ending(8);
    CHECK_EQ(wait4(-getpgrp(), &status, 0, nullptr), child);
    CHECK_EQ(status, 8 << 8);

    // Without anything to tell, siginfo is emptied and not left as it was.
    const pid_t sleeper = fork();
    if (sleeper == 0)
        for (;;) pause();
    memset(&info, 0xff, sizeof info);
    CHECK_OK(waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WCONTINUED | WNOHANG));
    CHECK_EQ(info.si_pid, 0);
    CHECK_EQ(info.si_signo, 0);
    kill(sleeper, SIGKILL);
    CHECK_OK(waitid(P_ALL, 0, &info, WEXITED));
    CHECK_EQ(info.si_code, CLD_KILLED);
    CHECK_EQ(info.si_status, SIGKILL);
    CHECK_ERRNO(wait4(-1, (int*)8, 0, nullptr), ECHILD);
    child = ending(0);
    CHECK_ERRNO(syscall(SYS_wait4, child, 8, 0, nullptr), EFAULT);
    CHECK_ERRNO(waitpid(child, nullptr, 0), ECHILD); // reaped all the same
}

/// CPU time of children counts in their parent only once they have been waited for.
void times_of_children() {
    rusage before = {}, after = {};
    CHECK_OK(getrusage(RUSAGE_CHILDREN, &before));
    const pid_t child = fork();
    if (child == 0) {
        rusage own = {};
        do getrusage(RUSAGE_SELF, &own);
        while (own.ru_utime.tv_sec == 0 && own.ru_utime.tv_usec + own.ru_stime.tv_usec < 50000);
        _exit(0);
    }
    rusage of_child = {};
    CHECK_EQ(wait4(child, nullptr, 0, &of_child), child);
    CHECK_OK(getrusage(RUSAGE_CHILDREN, &after));
    auto us = [](const rusage& usage) {
        return usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_sec * 1000000 +
               usage.ru_stime.tv_usec;
    };
    CHECK_GE(us(of_child), 50000);
    CHECK_GE(us(after), us(before) + 50000);
}

} // namespace

int main() {
    stored_numbers();
    cleared_number();
    shared_parts();
    own_stack();
    other_flags();
    chosen_number();
    errors();
    vfork_order();
    waiting();
    times_of_children();
    return result();
}
