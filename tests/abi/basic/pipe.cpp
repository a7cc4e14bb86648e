// pipe2(2): bytes in order, end of file, EPIPE and SIGPIPE, non-blocking ends. SEMANTICS: pipe(7).
#include <csignal>
#include <fcntl.h>
#include <unistd.h>

#include "check.hpp"

int main() {
    signal(SIGPIPE, SIG_IGN);
    int ends[2];
    REQUIRE(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
    CHECK_EQ(fcntl(ends[0], F_GETFD), FD_CLOEXEC);

    char buffer[16] = {};
    CHECK_ERRNO(read(ends[0], buffer, sizeof buffer), EAGAIN);
    CHECK_EQ(write(ends[1], "linnet", 6), 6);
    CHECK_EQ(read(ends[0], buffer, 3), 3);
    CHECK_STREQ(buffer, "lin");
    CHECK_EQ(read(ends[0], buffer, sizeof buffer), 3);

    CHECK_EQ(close(ends[1]), 0);
    CHECK_EQ(read(ends[0], buffer, sizeof buffer), 0);
    CHECK_EQ(close(ends[0]), 0);

    REQUIRE(pipe(ends) == 0);
    close(ends[0]);
    CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
    CHECK_ERRNO(pipe2(ends, 0x1000000), EINVAL);
    return check::result();
}
