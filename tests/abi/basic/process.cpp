// fork(2), wait4(2), waitid(2) and _exit(2): statuses, WNOHANG, ECHILD.
#include <csignal>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.hpp"

int main() {
    CHECK_ERRNO(waitpid(-1, nullptr, 0), ECHILD);

    pid_t child = fork();
    if (child == 0) _exit(42);
    int status = 0;
    rusage usage;
    CHECK_EQ(wait4(child, &status, 0, &usage), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 42);

    child = fork();
    if (child == 0) {
        for (;;) pause();
    }
    CHECK_EQ(waitpid(child, &status, WNOHANG), 0);
    CHECK_EQ(kill(child, SIGKILL), 0);
    siginfo_t info = {};
    CHECK_EQ(waitid(P_PID, id_t(child), &info, WEXITED | WNOWAIT), 0);
    CHECK_EQ(info.si_pid, child);
    CHECK_EQ(info.si_code, CLD_KILLED);
    CHECK_EQ(info.si_status, SIGKILL);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGKILL);
    CHECK_ERRNO(waitpid(child, &status, 0), ECHILD);
    CHECK_ERRNO(waitid(P_ALL, 0, &info, 0), EINVAL);
    return check::result();
}
