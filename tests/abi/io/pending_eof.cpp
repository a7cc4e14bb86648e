// Keys typed while a terminal reads lines, and read once it does so no longer (termios(3), ICANON). Least Linux: 2.6.
#include "check.hpp"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string>
#include <termios.h>
#include <unistd.h>

namespace {

int master, terminal;

void set_canonical(bool on) {
    termios settings;
    CHECK_OK(tcgetattr(terminal, &settings));
    settings.c_lflag = on ? settings.c_lflag | ICANON : settings.c_lflag & ~tcflag_t(ICANON);
    settings.c_cc[VMIN] = 1, settings.c_cc[VTIME] = 0;
    CHECK_OK(tcsetattr(terminal, TCSANOW, &settings));
}

void type(const std::string& keys) { CHECK_EQ(write(master, keys.data(), keys.size()), ssize_t(keys.size())); }

/// What there is to read; "-" for nothing.
std::string pending() {
    pollfd ready{.fd = terminal, .events = POLLIN, .revents = 0};
    CHECK(poll(&ready, 1, 0) >= 0);
    if (!(ready.revents & POLLIN)) return "-";
    char bytes[64];
    const ssize_t got = read(terminal, bytes, sizeof bytes);
    CHECK(got >= 0);
    return std::string(bytes, size_t(got));
}

/// Lines typed while lines are read; read as single keys. Linux passes keys on to the terminal in a thread of its own.
std::string becomes(const std::string& keys) {
    set_canonical(true);
    type(keys);
    pollfd ready{.fd = terminal, .events = POLLIN, .revents = 0};
    CHECK_EQ(poll(&ready, 1, -1), 1);
    set_canonical(false);
    return pending();
}

} // namespace

int main() {
    master = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK_OK(master);
    CHECK_OK(grantpt(master));
    CHECK_OK(unlockpt(master));
    terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    CHECK_OK(terminal);

    // The end of a line that has no newline is kept as a NUL.
    CHECK(becomes("\x04") == std::string(1, '\0'));
    CHECK(becomes("ab\x04") == std::string("ab\0", 3));
    CHECK(becomes("one\ntwo\n") == "one\ntwo\n");
    CHECK(pending() == "-");
    // And the other way round: keys that were there already are a line.
    type("keys");
    pollfd ready{.fd = terminal, .events = POLLIN, .revents = 0};
    CHECK_EQ(poll(&ready, 1, -1), 1);
    set_canonical(true);
    CHECK(pending() == "keys");
    CHECK(pending() == "-");
    return check::result();
}
