// Terminals through a pty: line editing, echo, signals, raw reads, job control, hang-up (termios(3), pty(7)).
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "asleep.hpp"

namespace {

std::string visible(const std::string& text) {
    std::string out;
    char piece[8];
    for (unsigned char c : text) {
        snprintf(piece, sizeof piece, c < 32 || c > 126 ? "\\x%02x" : "%c", c);
        out += piece;
    }
    return out;
}

void expect(int line, const std::string& seen, const std::string& wanted) {
    if (seen == wanted) return;
    check::failed(__FILE__, line, ("seen " + visible(seen) + ", wanted " + visible(wanted)).c_str());
}

struct Pair {
    int master = -1, slave = -1;
    Pair() {
        master = posix_openpt(O_RDWR | O_NOCTTY);
        REQUIRE(master >= 0);
        REQUIRE(grantpt(master) == 0);
        REQUIRE(unlockpt(master) == 0);
        char name[64];
        REQUIRE(ptsname_r(master, name, sizeof name) == 0);
        slave = open(name, O_RDWR | O_NOCTTY);
        REQUIRE(slave >= 0);
    }
    ~Pair() { close(slave), close(master); }
    void type(const std::string& text) { CHECK_EQ(write(master, text.data(), text.size()), ssize_t(text.size())); }
    std::string line() {
        char buffer[5000];
        const ssize_t count = read(slave, buffer, sizeof buffer);
        return std::string(buffer, count > 0 ? size_t(count) : 0);
    }
    std::string screen() {
        std::string all;
        pollfd request = {master, POLLIN, 0};
        while (poll(&request, 1, 50) == 1 && (request.revents & POLLIN)) {
            char buffer[4096];
            const ssize_t count = read(master, buffer, sizeof buffer);
            if (count <= 0) break;
            all.append(buffer, size_t(count));
        }
        return all;
    }
    termios get() {
        termios t;
        CHECK_OK(tcgetattr(slave, &t));
        return t;
    }
    void set(const termios& t) { CHECK_OK(tcsetattr(slave, TCSANOW, &t)); }
};

void editing() {
    Pair pair;
    pair.type("hello\n");
    expect(__LINE__, pair.line(), "hello\n");
    expect(__LINE__, pair.screen(), "hello\r\n");
    pair.type("abx\x7f"
              "c\n");
    expect(__LINE__, pair.line(), "abc\n");
    expect(__LINE__, pair.screen(), "abx\b \bc\r\n");
    pair.type("one two\x17three\n"); // word erase
    expect(__LINE__, pair.line(), "one three\n");
    expect(__LINE__, pair.screen(), "one two\b \b\b \b\b \bthree\r\n");
    pair.type("gone\x15kept\n"); // kill
    expect(__LINE__, pair.line(), "kept\n");
    expect(__LINE__, pair.screen(), "gone\b \b\b \b\b \b\b \bkept\r\n");
    pair.type("a\tb\x7f\x7f\x7fz\n"); // erasing a tab
    expect(__LINE__, pair.line(), "z\n");
    expect(__LINE__, pair.screen(), "a\tb\b \b\b\b\b\b\b\b\b\b \bz\r\n");
    pair.type("\x16\x03\n"); // literal next: ^C is a character
    expect(__LINE__, pair.line(), "\x03\n");
    expect(__LINE__, pair.screen(), "^\b^C\r\n");
    pair.type("ab\x12"
              "c\n"); // reprint
    expect(__LINE__, pair.line(), "abc\n");
    expect(__LINE__, pair.screen(), "ab^R\r\nabc\r\n");
    pair.type("\x01\x7f"
              "q\r"); // a control character is two columns wide; CR ends a line
    expect(__LINE__, pair.line(), "q\n");
    expect(__LINE__, pair.screen(), "^A\b \b\b \bq\r\n");
}

void end_of_file() {
    Pair pair;
    pair.type("\x04");
    char buffer[16];
    CHECK_EQ(read(pair.slave, buffer, sizeof buffer), 0);
    pair.type("xyz\x04");
    CHECK_EQ(read(pair.slave, buffer, sizeof buffer), 3);
    pair.type("abc\x04"
              "d\n");
    CHECK_EQ(read(pair.slave, buffer, 3), 3);
    CHECK_EQ(read(pair.slave, buffer, sizeof buffer), 2); // the end of file went with the full buffer before it
    pair.type("two\nlines\n");
    int queued = 0;
    CHECK(check::eventually([&] { // what is typed arrives a little later
        return ioctl(pair.slave, FIONREAD, &queued) == 0 && queued >= 10;
    }));
    CHECK_EQ(queued, 10);
    CHECK_EQ(read(pair.slave, buffer, sizeof buffer), 4);
    CHECK_EQ(read(pair.slave, buffer, 2), 2);
    CHECK_EQ(read(pair.slave, buffer, sizeof buffer), 4);
}

void long_lines() {
    Pair pair;
    termios t = pair.get();
    t.c_lflag &= ~tcflag_t(ECHO);
    pair.set(t);
    std::string text(4090, 'x');
    pair.type(text + "\n");
    CHECK_EQ(pair.line().size(), 4091u);
}

void raw() {
    Pair pair;
    termios t = pair.get();
    cfmakeraw(&t);
    t.c_cc[VMIN] = 3;
    t.c_cc[VTIME] = 0;
    pair.set(t);
    char buffer[16];
    pair.type("\x03\r\x04");
    CHECK_EQ(read(pair.slave, buffer, sizeof buffer), 3);
    CHECK_EQ(memcmp(buffer, "\x03\r\x04", 3), 0);
    expect(__LINE__, pair.screen(), "");
    pollfd request = {pair.slave, POLLIN, 0};
    pair.type("ab");
    CHECK_EQ(poll(&request, 1, 50), 0); // fewer than VMIN
    pair.type("c");
    CHECK_EQ(poll(&request, 1, 1000), 1);
    CHECK_EQ(read(pair.slave, buffer, sizeof buffer), 3);
    t.c_cc[VMIN] = 0;
    t.c_cc[VTIME] = 1;
    pair.set(t);
    CHECK_EQ(read(pair.slave, buffer, sizeof buffer), 0); // timed out
    t.c_cc[VTIME] = 0;
    pair.set(t);
    CHECK_EQ(read(pair.slave, buffer, sizeof buffer), 0); // at once
    t.c_cc[VMIN] = 5;
    t.c_cc[VTIME] = 1;
    pair.set(t);
    pair.type("xy");
    CHECK_EQ(read(pair.slave, buffer, sizeof buffer), 2); // the pause between bytes ended it
    CHECK_EQ(write(pair.slave, "a\nb", 3), 3);
    expect(__LINE__, pair.screen(), "a\nb");
}

void output() {
    Pair pair;
    CHECK_EQ(write(pair.slave, "a\nb", 3), 3);
    expect(__LINE__, pair.screen(), "a\r\nb");
    termios t = pair.get();
    t.c_oflag |= TABDLY;
    pair.set(t);
    CHECK_EQ(write(pair.slave, "\rab\tc\n", 6), 6);
    expect(__LINE__, pair.screen(), "\rab      c\r\n");
    // Flow control.
    const int flags = fcntl(pair.slave, F_GETFL);
    fcntl(pair.slave, F_SETFL, flags | O_NONBLOCK);
    pair.type("\x13");
    CHECK(check::eventually([&] { return write(pair.slave, "y", 1) < 0 && errno == EAGAIN; }));
    pair.screen();
    pair.type("\x11");
    CHECK(check::eventually([&] { return write(pair.slave, "x", 1) == 1; }));
    expect(__LINE__, pair.screen(), "x");
    winsize size = {24, 80, 0, 0}, seen = {};
    CHECK_OK(ioctl(pair.master, TIOCSWINSZ, &size));
    CHECK_OK(ioctl(pair.slave, TIOCGWINSZ, &seen));
    CHECK_EQ(seen.ws_col, 80);
}

// A session leader whose terminal is `slave`; `body` runs in it and its result is the exit status.
template <typename Body>
pid_t session(Pair& pair, Body body) {
    const pid_t child = fork();
    if (child != 0) return child;
    setsid();
    if (ioctl(pair.slave, TIOCSCTTY, 0) != 0) _exit(100);
    _exit(body());
}

int wait_for(pid_t child) {
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    return status;
}

void signals() {
    Pair pair;
    pid_t child = session(pair, [&] {
        for (;;) pause();
        return 0;
    });
    CHECK(check::eventually([&] { return tcgetpgrp(pair.master) == child; }));
    pair.type("typed");
    for (const char wanted : {'t', 'y', 'p', 'e', 'd'}) { // echoed before the key that throws echoes away
        char seen = 0;
        CHECK_EQ(read(pair.master, &seen, 1), 1);
        CHECK_EQ(seen, wanted);
    }
    pair.type("\x03");
    int status = wait_for(child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGINT);
    expect(__LINE__, pair.screen(), "^C");
    child = session(pair, [&] {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGWINCH);
        sigprocmask(SIG_BLOCK, &set, nullptr);
        (void)!write(pair.slave, "r", 1);
        int signo = 0;
        sigwait(&set, &signo);
        return signo;
    });
    char ready;
    CHECK_EQ(read(pair.master, &ready, 1), 1);
    winsize size = {50, 100, 0, 0};
    CHECK_OK(ioctl(pair.master, TIOCSWINSZ, &size));
    status = wait_for(child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), SIGWINCH);
}

void job_control() {
    Pair pair;
    const pid_t child = session(pair, [&] {
        if (tcgetpgrp(pair.slave) != getpid() || tcgetsid(pair.slave) != getpid()) return 1;
        const pid_t background = fork();
        if (background == 0) {
            setpgid(0, 0);
            char c;
            (void)!read(pair.slave, &c, 1); // SIGTTIN
            _exit(7);
        }
        setpgid(background, background);
        int status = 0;
        if (waitpid(background, &status, WUNTRACED) != background) return 2;
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTTIN) return 3;
        signal(SIGTTOU, SIG_IGN);
        if (tcsetpgrp(pair.slave, background) != 0) return 4;
        kill(-background, SIGCONT);
        (void)!write(pair.slave, "go", 2); // the master answers with a line
        if (waitpid(background, &status, WUNTRACED) != background) return 5;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 7) return 6;
        if (tcsetpgrp(pair.slave, getpid()) != 0) return 8;
        const int own = open("/dev/tty", O_RDWR);
        if (own < 0) return 9;
        if (tcgetpgrp(own) != getpid()) return 10;
        return 0;
    });
    char buffer[8];
    CHECK_EQ(read(pair.master, buffer, sizeof buffer), 2);
    pair.type("x\n");
    CHECK_EQ(wait_for(child), 0);
}

void hang_up() {
    Pair pair;
    const pid_t child = session(pair, [&] {
        close(pair.master);
        (void)!write(pair.slave, "r", 1);
        for (;;) pause();
        return 0;
    });
    char ready;
    CHECK_EQ(read(pair.master, &ready, 1), 1);
    close(pair.master);
    const int status = wait_for(child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGHUP);
    char c;
    CHECK_EQ(read(pair.slave, &c, 1), 0);
    CHECK_ERRNO(write(pair.slave, "x", 1), EIO);
    pollfd request = {pair.slave, POLLIN, 0};
    CHECK_EQ(poll(&request, 1, 0), 1);
    CHECK(request.revents & POLLHUP);
    Pair other;
    CHECK_EQ(write(other.slave, "last", 4), 4);
    close(other.slave);
    char buffer[8];
    CHECK_EQ(read(other.master, buffer, sizeof buffer), 4);
    CHECK_ERRNO(read(other.master, buffer, sizeof buffer), EIO);
}

} // namespace

int main() {
    for (int signo : {SIGALRM, SIGINT, SIGQUIT, SIGHUP}) signal(signo, SIG_DFL);
    alarm(60);
    editing();
    end_of_file();
    long_lines();
    raw();
    output();
    signals();
    job_control();
    hang_up();
    return check::result();
}
