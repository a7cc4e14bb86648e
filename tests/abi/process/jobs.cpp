// Process groups and sessions, stops and continues, orphans, subreapers, death signals, pidfds, autoreaping.
#include <csignal>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asleep.hpp"

template <typename F>
static int in_child(F function) {
    pid_t child = fork();
    if (child == 0) {
        function();
        _exit(check::result());
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    return status;
}

static void check_groups() {
    CHECK_EQ(in_child([] {
                 CHECK_OK(setpgid(0, 0));
                 CHECK_EQ(getpgrp(), getpid());
                 CHECK_ERRNO(setsid(), EPERM); // a group leader can't
             }),
             0);
    CHECK_EQ(in_child([] {
                 CHECK_EQ(setsid(), getpid());
                 CHECK_EQ(getsid(0), getpid());
                 CHECK_EQ(getpgid(0), getpid());
                 CHECK_ERRNO(setpgid(0, 0), EPERM); // nor may a session leader change groups
             }),
             0);
    CHECK_ERRNO(setpgid(0, -1), EINVAL);
    CHECK_ERRNO(setpgid(99999999, 0), ESRCH);
    CHECK_ERRNO(getpgid(99999999), ESRCH);
    // A group outlives its leader.
    int pipes[2];
    CHECK_OK(pipe(pipes));
    pid_t leader = fork();
    if (leader == 0) {
        setpgid(0, 0);
        if (fork() == 0) {
            char byte;
            close(pipes[1]);
            (void)!read(pipes[0], &byte, 1);
            _exit(0);
        }
        _exit(0);
    }
    waitpid(leader, nullptr, 0);
    CHECK_OK(kill(-leader, 0));
    close(pipes[1]);
    close(pipes[0]);
}

static void check_stops() {
    pid_t child = fork();
    if (child == 0)
        for (;;) pause();
    siginfo_t info = {};
    CHECK_OK(waitid(P_PID, id_t(child), &info, WEXITED | WNOHANG));
    CHECK_EQ(info.si_pid, 0);
    kill(child, SIGSTOP);
    CHECK_OK(waitid(P_PID, id_t(child), &info, WSTOPPED | WNOWAIT));
    CHECK_EQ(info.si_code, CLD_STOPPED);
    int status = 0;
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    CHECK_EQ(waitpid(child, &status, WUNTRACED | WNOHANG), 0);
    kill(child, SIGCONT);
    CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
    CHECK(WIFCONTINUED(status));
    kill(child, SIGKILL);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, SIGKILL);
}

static void check_orphans() {
    int pipes[2];
    CHECK_OK(pipe(pipes));
    pid_t reaper = fork();
    if (reaper == 0) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        const pid_t self = getpid();
        if (fork() == 0) {
            if (fork() == 0) {
                check::eventually([self] { return getppid() == self; });
                pid_t parent = getppid();
                (void)!write(pipes[1], &parent, sizeof parent);
                _exit(0);
            }
            _exit(0);
        }
        while (wait(nullptr) > 0) {
        }
        _exit(0);
    }
    pid_t parent = 0;
    CHECK_EQ(read(pipes[0], &parent, sizeof parent), ssize_t(sizeof parent));
    CHECK_EQ(parent, reaper);
    waitpid(reaper, nullptr, 0);

    // PR_SET_PDEATHSIG: the grandchild dies of its parent's death.
    pid_t middle = fork();
    if (middle == 0) {
        if (fork() == 0) {
            close(pipes[0]);
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            (void)!write(pipes[1], "x", 1);
            for (;;) pause();
        }
        char byte;
        (void)!read(pipes[0], &byte, 1);
        _exit(0);
    }
    waitpid(middle, nullptr, 0);
    close(pipes[1]);
    char byte;
    CHECK_EQ(read(pipes[0], &byte, 1), 0); // end of file once the grandchild is gone
    close(pipes[0]);
}

static void check_autoreap() {
    signal(SIGCHLD, SIG_IGN);
    pid_t child = fork();
    if (child == 0) _exit(1);
    CHECK_ERRNO(waitpid(child, nullptr, 0), ECHILD);
    struct sigaction action = {};
    action.sa_handler = SIG_DFL;
    action.sa_flags = SA_NOCLDWAIT;
    sigaction(SIGCHLD, &action, nullptr);
    child = fork();
    if (child == 0) _exit(1);
    CHECK_ERRNO(waitpid(child, nullptr, 0), ECHILD);
    signal(SIGCHLD, SIG_DFL);
}

static void check_pidfd() {
    int go[2];
    CHECK_OK(pipe(go));
    pid_t child = fork();
    if (child == 0) {
        char byte;
        (void)!read(go[0], &byte, 1);
        _exit(9);
    }
    int fd = int(syscall(SYS_pidfd_open, child, 0));
    CHECK_OK(fd);
    pollfd poller = {fd, POLLIN, 0};
    CHECK_EQ(poll(&poller, 1, 0), 0);
    CHECK_EQ(write(go[1], "x", 1), 1);
    CHECK_EQ(poll(&poller, 1, 10000), 1);
    close(go[0]), close(go[1]);
    siginfo_t info = {};
    CHECK_OK(waitid(idtype_t(3) /* P_PIDFD */, id_t(fd), &info, WEXITED));
    CHECK_EQ(info.si_status, 9);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, fd, 0, nullptr, 0), ESRCH);
    close(fd);
    CHECK_ERRNO(syscall(SYS_pidfd_open, -1, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_pidfd_open, 1, 0x12345), EINVAL);
}

static int ignore_and_exit(void*) {
    signal(SIGUSR1, SIG_IGN);
    _exit(5);
}

static void check_clone_flags() {
    auto clone = [](unsigned long flags) { return syscall(SYS_clone, flags, 0, 0, 0, 0); };
    CHECK_ERRNO(clone(CLONE_THREAD), EINVAL);
    CHECK_ERRNO(clone(CLONE_SIGHAND), EINVAL);
    CHECK_ERRNO(clone(CLONE_THREAD | CLONE_VM), EINVAL);
    // Processes that share the actions share each change of them, but have their own status.
    static char stack[65536];
    pid_t child =
        ::clone(ignore_and_exit, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_SIGHAND | SIGCHLD, nullptr);
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 5 << 8);
    struct sigaction action;
    sigaction(SIGUSR1, nullptr, &action);
    CHECK(action.sa_handler == SIG_IGN);
    signal(SIGUSR1, SIG_DFL);
    // A child without SIGCHLD is waited for with __WCLONE or __WALL.
    child = pid_t(clone(0));
    if (child == 0) _exit(6);
    CHECK_ERRNO(waitpid(child, &status, 0), ECHILD);
    CHECK_EQ(waitpid(child, &status, __WALL), child);
    CHECK_EQ(status, 6 << 8);
}

static void check_many() {
    for (int i = 0; i < 1000; i++) {
        pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) _exit(0);
    }
    int reaped = 0;
    while (wait(nullptr) > 0) reaped++;
    CHECK_EQ(reaped, 1000);
}

int main() {
    check_groups();
    check_stops();
    check_orphans();
    check_autoreap();
    check_pidfd();
    check_clone_flags();
    check_many();
    return check::result();
}
