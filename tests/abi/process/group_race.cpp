// A shell's parent and child both put the child into a group of its own, so that neither has to wait for the other.
// There must be one group then, and it must be found.
#include "check.hpp"

#include <cerrno>
#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

namespace {

void both_make_the_group() {
    pid_t child = fork();
    if (child == 0) {
        if (setpgid(0, 0) != 0) _exit(1);
        for (;;) pause();
    }
    CHECK(child > 0);
    CHECK_EQ(setpgid(child, child), 0);
    CHECK_EQ(getpgid(child), child);
    CHECK_EQ(kill(-child, SIGTERM), 0);
    int status = 0;
    CHECK_EQ(waitpid(-child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

// The child becomes a session leader while the parent moves it: one of the two wins, and the group is found either way.
void session_against_group() {
    pid_t child = fork();
    if (child == 0) {
        pid_t session = setsid();
        if (session != getpid() && errno != EPERM) _exit(1);
        for (;;) pause();
    }
    CHECK(child > 0);
    const int error = setpgid(child, child) == 0 ? 0 : errno;
    CHECK(error == 0 || error == EPERM);
    CHECK_EQ(kill(-child, SIGTERM), 0);
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

} // namespace

int main() {
    for (int i = 0; i < 1500; ++i) {
        both_make_the_group();
        session_against_group();
    }
    return check::result();
}
