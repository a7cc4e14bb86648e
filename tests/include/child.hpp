// Running part of a test in a child process, and judging how that ended.
#pragma once

#include <csignal>
#include <sys/wait.h>
#include <type_traits>
#include <unistd.h>

#include "check.hpp"

namespace check {

/// Runs `body` in a child: what it returns, or else its checks, decide the child's exit status. Returns the wait
/// status.
template <typename F>
int in_child(F body) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        failures = 0;
        int code = 0;
        if constexpr (std::is_void_v<decltype(body())>)
            body();
        else
            code = int(body());
        fflush(stdout);
        _exit(code ? code : result());
    }
    int status = -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

/// The same for a child that has to end well.
template <typename F>
void run_in_child(F body) {
    CHECK_EQ(in_child(body), 0);
}

/// A child that does nothing until a signal ends it.
inline pid_t pausing() {
    const pid_t child = fork();
    if (child == 0)
        for (;;) pause();
    return child;
}

/// Ends such a child, and waits for it whatever its exit signal is.
inline void end_child(pid_t child) {
    kill(child, SIGKILL);
    CHECK_EQ(waitpid(child, nullptr, __WALL), child);
}

/// What shells make of a wait status, but that a signal counts from 1000 on.
inline int code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status); }

inline bool died_of(int status, int signal) { return WIFSIGNALED(status) && WTERMSIG(status) == signal; }

} // namespace check
