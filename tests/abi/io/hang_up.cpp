// Typing on behalf of the user (TIOCSTI) and hanging up (TIOCVHANGUP, vhangup, the end of a pty's master): who is told,
// and what is left of open descriptors (ioctl_tty(2), vhangup(2), pty(7)).
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "asleep.hpp"

using namespace check;

namespace {

struct Shared {
    std::atomic<int> hang_ups, continues, interrupts;
};
Shared* memory;

/// Leads a session whose controlling terminal is the slave.
struct Terminal {
    int master, slave;
    Terminal() {
        REQUIRE(openpty(&master, &slave, nullptr, nullptr, nullptr) == 0);
        CHECK_OK(setsid());
        CHECK_OK(ioctl(slave, TIOCSCTTY, 0));
        handle(SIGHUP, [](int) { memory->hang_ups++; }, SA_RESTART);
        handle(SIGCONT, [](int) { memory->continues++; }, SA_RESTART);
        handle(SIGINT, [](int) { memory->interrupts++; }, SA_RESTART);
        memory->hang_ups = memory->continues = memory->interrupts = 0;
    }
};

void typed_on_behalf() {
    Terminal terminal;
    for (const char* letter = "abc\n"; *letter; ++letter) CHECK_OK(ioctl(terminal.slave, TIOCSTI, letter));
    char line[16] = {};
    CHECK_EQ(read(terminal.slave, line, sizeof line), 4);
    CHECK_STREQ(line, "abc\n");
    // Echoed as if it had been typed, and keys that send signals send them.
    for (ssize_t had = 0, got = 1; had < 5 && got > 0; had += got)
        CHECK_GT(got = read(terminal.master, line + had, 1), 0);
    CHECK(memcmp(line, "abc\r\n", 5) == 0);
    CHECK_OK(ioctl(terminal.slave, TIOCSTI, "\x03"));
    CHECK(eventually([] { return memory->interrupts == 1; }));
    CHECK_ERRNO(ioctl(terminal.slave, TIOCSTI, nullptr), EFAULT);
}

/// What is left once nobody is at the other end.
void expect_dead(int slave) {
    char byte;
    CHECK_EQ(read(slave, &byte, 1), 0);
    CHECK_ERRNO(write(slave, "x", 1), EIO);
    pollfd request = {slave, POLLIN | POLLOUT, 0};
    CHECK_EQ(poll(&request, 1, 0), 1);
    CHECK(request.revents & POLLHUP);
    termios settings;
    CHECK_ERRNO(tcgetattr(slave, &settings), EIO);
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    CHECK(eventually([] { return memory->hang_ups == 1 && memory->continues == 1; }));
}

void hung_up_on_request() {
    Terminal terminal;
    CHECK_EQ(write(terminal.master, "unread\n", 7), 7);
    CHECK_OK(ioctl(terminal.slave, TIOCVHANGUP));
    expect_dead(terminal.slave);
}

/// The other end notices nothing: the dead descriptors still count until they are closed, and the line can be opened
/// anew meanwhile.
void expect_line_in_use(const Terminal& terminal) {
    char byte;
    pollfd request = {terminal.master, POLLIN, 0};
    CHECK_EQ(poll(&request, 1, 0), 0);
    const int again = open(ptsname(terminal.master), O_RDWR | O_NOCTTY);
    CHECK_OK(again);
    CHECK_EQ(write(again, "x", 1), 1);
    CHECK_EQ(read(terminal.master, &byte, 1), 1);
    CHECK_EQ(byte, 'x');
    CHECK_OK(close(again));
    CHECK_EQ(poll(&request, 1, 0), 0);
    CHECK_OK(close(terminal.slave));
    CHECK_EQ(poll(&request, 1, 1000), 1);
    CHECK(request.revents & POLLHUP);
    CHECK_ERRNO(read(terminal.master, &byte, 1), EIO);
}

void hung_up_by_call() {
    Terminal terminal;
    const int second = dup(terminal.slave);
    if (const pid_t nobody = fork(); nobody == 0) {
        CHECK_OK(setresuid(65534, 65534, 65534));
        CHECK_ERRNO(vhangup(), EPERM);
        _exit(result());
    } else {
        int status = -1;
        CHECK_EQ(waitpid(nobody, &status, 0), nobody);
        CHECK_EQ(status, 0);
    }
    CHECK_EQ(memory->hang_ups.load(), 0);
    CHECK_OK(vhangup());
    expect_dead(terminal.slave);
    expect_dead(second);
    close(second);
    expect_line_in_use(terminal);
    CHECK_OK(vhangup()); // there is no terminal any more
    CHECK_EQ(memory->hang_ups.load(), 1);
}

void master_closed() {
    Terminal terminal;
    close(terminal.master);
    expect_dead(terminal.slave);
}

/// A read that waits ends with an error when the master was closed, and with the end of the file when the line was hung
/// up; one that comes later finds the end of the file in both cases.
template <typename End>
void while_reading(int wanted_error, End end) {
    Terminal terminal;
    const pid_t child = fork();
    if (child == 0) {
        close(terminal.master);
        signal(SIGHUP, SIG_IGN);
        char byte;
        if (wanted_error != 0)
            CHECK_ERRNO(read(terminal.slave, &byte, 1), wanted_error);
        else
            CHECK_EQ(read(terminal.slave, &byte, 1), 0);
        CHECK_EQ(read(terminal.slave, &byte, 1), 0);
        _exit(result());
    }
    wait_asleep(child);
    end(terminal);
    int status = -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    CHECK_EQ(status, 0);
}

void closed_while_reading() {
    while_reading(EIO, [](Terminal& terminal) { close(terminal.master); });
}

void hung_up_while_reading() {
    while_reading(0, [](Terminal& terminal) { CHECK_OK(ioctl(terminal.slave, TIOCVHANGUP)); });
}

void called_while_reading() {
    while_reading(0, [](Terminal&) { CHECK_OK(vhangup()); });
}

} // namespace

int main() {
    memory = shared<Shared>();
    for (auto* part : {typed_on_behalf, hung_up_on_request, hung_up_by_call, master_closed, closed_while_reading,
                       hung_up_while_reading, called_while_reading})
        run_in_child(part);
    return result();
}
