// Children that do one thing and tell by their exit status how it went.
#pragma once

#include "child.hpp"

namespace check {

/// A child whose exit status is `body`'s number, or 100 + errno when that is negative.
template <typename F>
pid_t numbered_child(F body) {
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        const int number = body();
        _exit(number >= 0 ? number : 100 + errno);
    }
    return pid;
}

/// How a child ended, as code_of() tells it.
inline int outcome(pid_t pid) {
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return code_of(status);
}

} // namespace check
