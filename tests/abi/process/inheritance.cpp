// What fork(2) and execve(2) hand on and what they don't (SEMANTICS F9, F10), field by field.
#include <cfenv>
#include <csignal>
#include <fcntl.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.hpp"

static void handler(int) {}

// Runs in the child, and after exec once more.
static void check_inherited(bool after_exec) {
    sigset_t mask, pending;
    sigprocmask(SIG_SETMASK, nullptr, &mask);
    CHECK(sigismember(&mask, SIGUSR2));
    sigpending(&pending);
    if (after_exec)
        CHECK(sigismember(&pending, SIGUSR2)); // raised in the child, kept by exec
    else
        CHECK(!sigismember(&pending, SIGUSR2)); // raised in the parent
    struct sigaction action;
    sigaction(SIGUSR1, nullptr, &action);
    CHECK(action.sa_handler == (after_exec ? SIG_DFL : handler));
    sigaction(SIGHUP, nullptr, &action);
    CHECK(action.sa_handler == SIG_IGN);
    stack_t stack;
    sigaltstack(nullptr, &stack);
    CHECK_EQ(stack.ss_flags & SS_DISABLE, after_exec ? SS_DISABLE : 0);

    char directory[64];
    CHECK_STREQ(getcwd(directory, sizeof directory), "/proc");
    CHECK_EQ(umask(0), 027u);
    umask(027);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 3);
    rlimit limit;
    getrlimit(RLIMIT_CORE, &limit);
    CHECK_EQ(limit.rlim_cur, 4096u);
    CHECK_EQ(personality(0xffffffff) & ADDR_NO_RANDOMIZE, ADDR_NO_RANDOMIZE);
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    int reaper = -1;
    CHECK_OK(prctl(PR_GET_CHILD_SUBREAPER, &reaper));
    CHECK_EQ(reaper, 0);
    itimerval timer;
    getitimer(ITIMER_REAL, &timer);
    CHECK_EQ(timer.it_value.tv_sec, after_exec ? 500 : 0); // the child sets its own, exec keeps it
    CHECK_OK(fcntl(50, F_GETFD));
    if (after_exec)
        CHECK_ERRNO(fcntl(51, F_GETFD), EBADF);
    else
        CHECK_OK(fcntl(51, F_GETFD));
}

static void set_up() {
    signal(SIGUSR1, handler);
    signal(SIGHUP, SIG_IGN);
    static char alternate[65536];
    stack_t stack = {};
    stack.ss_sp = alternate;
    stack.ss_size = sizeof alternate;
    CHECK_OK(sigaltstack(&stack, nullptr));
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    sigprocmask(SIG_BLOCK, &mask, nullptr);
    raise(SIGUSR2);
    CHECK_OK(chdir("/proc"));
    umask(027);
    CHECK_OK(setpriority(PRIO_PROCESS, 0, 3));
    rlimit limit = {4096, 8192};
    CHECK_OK(setrlimit(RLIMIT_CORE, &limit));
    CHECK_OK(personality(ADDR_NO_RANDOMIZE));
    CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    itimerval timer = {{0, 0}, {100, 0}};
    setitimer(ITIMER_REAL, &timer, nullptr);
    int fd = open("/dev/null", O_RDONLY);
    dup2(fd, 50);
    dup3(fd, 51, O_CLOEXEC);
    prctl(PR_SET_NAME, "inheriting");
}

int main(int count, char** arguments) {
    if (count > 1) {
        check_inherited(true);
        return check::result();
    }
    char self[256] = {};
    REQUIRE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    set_up();
    volatile double before = 1.0 / 3;
    fesetround(FE_UPWARD);
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(fegetround(), FE_UPWARD);
        CHECK(before == 1.0 / 3 || before > 0.333);
        char name[16];
        prctl(PR_GET_NAME, name);
        CHECK_STREQ(name, "inheriting");
        check_inherited(false);
        prctl(PR_SET_CHILD_SUBREAPER, 0);
        itimerval timer = {{0, 0}, {500, 500000}};
        setitimer(ITIMER_REAL, &timer, nullptr);
        raise(SIGUSR2);
        if (check::result()) _exit(1);
        execl(self, arguments[0], "again", nullptr);
        _exit(2);
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    return check::result();
}
