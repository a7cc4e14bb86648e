// Pseudo-terminals and the less common modes of the line discipline: locking, peers, packet mode, input and output
// translations, echo modes, other ends of lines, flushing, switching modes with input waiting, hang-up (pty(7),
// tty_ioctl(4)).
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>

#include "asleep.hpp"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

using namespace check;

namespace {

struct Pair {
    int master = -1, slave = -1;
    char name[64];
    Pair() {
        master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
        REQUIRE(master >= 0 && unlockpt(master) == 0 && ptsname_r(master, name, sizeof name) == 0);
        slave = open(name, O_RDWR | O_NOCTTY);
        REQUIRE(slave >= 0);
    }
    ~Pair() { close(slave), close(master); }

    template <typename F>
    void change(F edit) {
        termios t;
        CHECK_OK(tcgetattr(slave, &t));
        edit(t);
        CHECK_OK(tcsetattr(slave, TCSANOW, &t));
    }
    void type(const std::string& text) { CHECK_EQ(write(master, text.data(), text.size()), ssize_t(text.size())); }
    /// What one read of the slave gives.
    std::string line() {
        char buffer[5000];
        const ssize_t count = read(slave, buffer, sizeof buffer);
        return count < 0 ? "error " + std::to_string(errno) : std::string(buffer, size_t(count));
    }
    /// What comes out at the master until it ends with a mark that the slave writes. What was typed must have been
    /// worked on by then, that is, its line read.
    std::string screen() {
        change([&](termios& t) { saved = t.c_oflag, t.c_oflag = 0; });
        CHECK_EQ(write(slave, "\x1e", 1), 1);
        std::string all;
        char buffer[4096];
        while (all.empty() || all.back() != '\x1e') {
            const ssize_t count = read(master, buffer, sizeof buffer);
            if (count <= 0) return all + "(end)";
            all.append(buffer, size_t(count));
        }
        change([&](termios& t) { t.c_oflag = saved; });
        return all.substr(0, all.size() - 1);
    }
    /// Waits until `count` bytes can be read.
    void arrived(int count) {
        CHECK(eventually([&] {
            int queued = 0;
            ioctl(slave, FIONREAD, &queued);
            return queued >= count;
        }));
    }
    tcflag_t saved = 0;
};

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
    if (seen != wanted) failed(__FILE__, line, ("seen " + visible(seen) + ", wanted " + visible(wanted)).c_str());
}

void opening() {
    const int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    int locked = -1, number = -1;
    CHECK_OK(ioctl(master, TIOCGPTLCK, &locked));
    CHECK_EQ(locked, 1);
    CHECK_OK(ioctl(master, TIOCGPTN, &number));
    const std::string name = "/dev/pts/" + std::to_string(number);
    struct stat info;
    CHECK_OK(stat(name.c_str(), &info));
    CHECK(S_ISCHR(info.st_mode));
    CHECK_EQ(major(info.st_rdev), 136u);
    CHECK_EQ(minor(info.st_rdev), unsigned(number));
    CHECK_EQ(info.st_uid, geteuid());
    CHECK_ERRNO(open(name.c_str(), O_RDWR | O_NOCTTY), EIO); // still locked
    CHECK_OK(unlockpt(master));
    const int peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK_GE(peer, 0);
    CHECK_EQ(fcntl(peer, F_GETFD), FD_CLOEXEC);
    CHECK(isatty(peer) && isatty(master));
    CHECK_EQ(write(peer, "p", 1), 1);
    char byte = 0;
    CHECK_EQ(read(master, &byte, 1), 1);
    CHECK_EQ(byte, 'p');
    close(peer);
    close(master);
    CHECK_ERRNO(stat(name.c_str(), &info), ENOENT); // goes with its master
    // Without a controlling terminal there is no /dev/tty.
    const int status = in_child([] {
        setsid();
        CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    });
    CHECK_EQ(status, 0);
    CHECK_ERRNO(ioctl(0x7ff, TCGETS, 8), EBADF);
    const int null = open("/dev/null", O_RDWR);
    termios t;
    CHECK_ERRNO(tcgetattr(null, &t), ENOTTY);
    close(null);
}

void defaults() {
    Pair pair;
    termios t;
    CHECK_OK(tcgetattr(pair.slave, &t));
    CHECK_EQ(t.c_iflag, tcflag_t(ICRNL | IXON));
    CHECK_EQ(t.c_oflag, tcflag_t(OPOST | ONLCR));
    CHECK_EQ(t.c_lflag, tcflag_t(ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN));
    CHECK_EQ(t.c_cflag & (CSIZE | CREAD), tcflag_t(CS8 | CREAD));
    CHECK_EQ(cfgetospeed(&t), speed_t(B38400));
    const unsigned char wanted[] = {3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0};
    for (int i = 0; i < int(sizeof wanted); ++i) CHECK_EQ(int(t.c_cc[i]), int(wanted[i]));
    winsize size = {9, 9, 9, 9};
    CHECK_OK(ioctl(pair.slave, TIOCGWINSZ, &size));
    CHECK_EQ(size.ws_row, 0);
}

void packet_mode() {
    Pair pair;
    int on = 1, seen = 0;
    CHECK_OK(ioctl(pair.master, TIOCPKT, &on));
    CHECK_OK(ioctl(pair.master, TIOCGPKT, &seen));
    CHECK_EQ(seen, 1);
    char buffer[64];
    CHECK_EQ(write(pair.slave, "data", 4), 4);
    CHECK_EQ(read(pair.master, buffer, sizeof buffer), 5);
    CHECK_EQ(buffer[0], TIOCPKT_DATA);
    CHECK_EQ(memcmp(buffer + 1, "data", 4), 0);
    CHECK_OK(tcflush(pair.slave, TCIFLUSH));
    pollfd request = {pair.master, POLLPRI | POLLIN, 0};
    CHECK_EQ(poll(&request, 1, 5000), 1);
    CHECK(request.revents & POLLPRI);
    CHECK_EQ(read(pair.master, buffer, sizeof buffer), 1);
    CHECK(buffer[0] & TIOCPKT_FLUSHREAD);
    CHECK_OK(tcflow(pair.slave, TCOOFF));
    CHECK_EQ(read(pair.master, buffer, sizeof buffer), 1);
    CHECK_EQ(buffer[0] & TIOCPKT_STOP, TIOCPKT_STOP);
    CHECK_OK(tcflow(pair.slave, TCOON));
    CHECK_EQ(read(pair.master, buffer, sizeof buffer), 1);
    CHECK_EQ(buffer[0] & TIOCPKT_START, TIOCPKT_START);
    pair.change([](termios& t) { t.c_iflag &= ~tcflag_t(IXON); });
    CHECK_EQ(read(pair.master, buffer, sizeof buffer), 1);
    CHECK_EQ(buffer[0] & TIOCPKT_NOSTOP, TIOCPKT_NOSTOP);
    on = 0;
    CHECK_OK(ioctl(pair.master, TIOCPKT, &on));
    CHECK_EQ(write(pair.slave, "x", 1), 1);
    CHECK_EQ(read(pair.master, buffer, sizeof buffer), 1);
    CHECK_EQ(buffer[0], 'x');
}

void input_translation() {
    Pair pair;
    pair.change([](termios& t) { t.c_lflag &= ~tcflag_t(ECHO); });
    pair.change([](termios& t) { t.c_iflag = IGNCR; });
    pair.type("a\rb\n");
    expect(__LINE__, pair.line(), "ab\n");
    pair.change([](termios& t) { t.c_iflag = INLCR, t.c_cc[VEOL] = 'Q'; });
    pair.type("a\nbQ");
    expect(__LINE__, pair.line(), "a\rbQ");
    pair.change([](termios& t) { t.c_iflag = ISTRIP | IUCLC; });
    pair.type("\xc1"
              "BC\n"); // stripped to A, then made small
    expect(__LINE__, pair.line(), "abc\n");
    pair.change([](termios& t) { t.c_iflag = ICRNL, t.c_cc[VEOL] = 0, t.c_cc[VEOL2] = '#'; });
    pair.type("one#two\r");
    expect(__LINE__, pair.line(), "one#");
    expect(__LINE__, pair.line(), "two\n");
}

void echo_modes() {
    Pair pair;
    pair.change([](termios& t) { t.c_lflag &= ~tcflag_t(ECHOCTL); });
    pair.type("\x01\n");
    expect(__LINE__, pair.line(), "\x01\n");
    expect(__LINE__, pair.screen(), "\x01\r\n");
    pair.change([](termios& t) { t.c_lflag &= ~tcflag_t(ECHOE | ECHOKE), t.c_lflag |= ECHOCTL; });
    pair.type("ab\x7f"
              "c\x15"
              "d\n"); // erase and kill show as themselves
    expect(__LINE__, pair.line(), "d\n");
    expect(__LINE__, pair.screen(), "ab^?c^U\r\nd\r\n");
    pair.change([](termios& t) { t.c_lflag &= ~tcflag_t(ECHO | ECHOK), t.c_lflag |= ECHONL; });
    pair.type("secret\n");
    expect(__LINE__, pair.line(), "secret\n");
    expect(__LINE__, pair.screen(), "\r\n");
    pair.change([](termios& t) { t.c_lflag |= ECHO | ECHOE | ECHOPRT; });
    pair.type("xyz\x7f\x7fw\n");
    expect(__LINE__, pair.line(), "xw\n");
    expect(__LINE__, pair.screen(), "xyz\\zy/w\r\n");
}

void output_translation() {
    Pair pair;
    auto put = [&](const std::string& text) {
        CHECK_EQ(write(pair.slave, text.data(), text.size()), ssize_t(text.size()));
    };
    pair.change([](termios& t) { t.c_oflag = OPOST | OCRNL; });
    put("a\rb\n");
    expect(__LINE__, pair.screen(), "a\nb\n");
    pair.change([](termios& t) { t.c_oflag = OPOST | ONOCR; });
    put("\r\ra\r");
    expect(__LINE__, pair.screen(), "\ra\r");
    pair.change([](termios& t) { t.c_oflag = OPOST | OLCUC; });
    put("abc\n");
    expect(__LINE__, pair.screen(), "ABC\n");
    pair.change([](termios& t) { t.c_oflag = ONLCR; }); // nothing without OPOST
    put("a\nb\t");
    expect(__LINE__, pair.screen(), "a\nb\t");
}

void signal_characters() {
    Pair pair;
    // Without ISIG they are characters; with NOFLSH the line survives.
    pair.change([](termios& t) { t.c_lflag &= ~tcflag_t(ISIG); });
    pair.type("a\x03\x1a\n");
    expect(__LINE__, pair.line(), "a\x03\x1a\n");
    expect(__LINE__, pair.screen(), "a^C^Z\r\n");
    pair.change([](termios& t) { t.c_lflag |= ISIG; });
    pair.type("lost\x03kept\n");
    expect(__LINE__, pair.line(), "kept\n");
    pair.change([](termios& t) { t.c_lflag |= NOFLSH; });
    pair.type("also\x03kept\n");
    expect(__LINE__, pair.line(), "alsokept\n");
    // Without IEXTEN there is no literal-next and no word erase.
    pair.change([](termios& t) { t.c_lflag &= ~tcflag_t(IEXTEN | NOFLSH); });
    pair.type("a b\x17\x16\n");
    expect(__LINE__, pair.line(), "a b\x17\x16\n");
    // A disabled character is none.
    pair.change([](termios& t) { t.c_cc[VERASE] = _POSIX_VDISABLE; });
    pair.type("ab\x7f\n");
    expect(__LINE__, pair.line(), "ab\x7f\n");
}

void flow_control() {
    Pair pair;
    fcntl(pair.slave, F_SETFL, O_RDWR | O_NONBLOCK);
    pair.type("\x13");
    CHECK(eventually([&] { return write(pair.slave, "", 0) == 0 && write(pair.slave, "z", 1) < 0; }));
    char byte;
    fcntl(pair.master, F_SETFL, O_RDWR | O_NONBLOCK);
    while (read(pair.master, &byte, 1) == 1) {
    }
    pair.change([](termios& t) { t.c_iflag |= IXANY; });
    pair.type("q"); // any character starts again
    CHECK(eventually([&] { return write(pair.slave, "y", 1) == 1; }));
}

void waiting_input() {
    Pair pair;
    fcntl(pair.slave, F_SETFL, O_RDWR | O_NONBLOCK);
    char buffer[16];
    CHECK_ERRNO(read(pair.slave, buffer, sizeof buffer), EAGAIN);
    pair.type("half");
    for (char wanted : {'h', 'a', 'l', 'f'}) { // echoed: it has been worked on
        CHECK_EQ(read(pair.master, buffer, 1), 1);
        CHECK_EQ(buffer[0], wanted);
    }
    CHECK_ERRNO(read(pair.slave, buffer, sizeof buffer), EAGAIN);    // no line yet
    pair.change([](termios& t) { t.c_lflag &= ~tcflag_t(ICANON); }); // then all that there is counts
    expect(__LINE__, pair.line(), "half");
    pair.type("more");
    pair.arrived(4);
    pair.change([](termios& t) { t.c_lflag |= ICANON; });
    pair.type("\n");
    CHECK(eventually([&] { return read(pair.slave, buffer, sizeof buffer) > 0; }));
    // TCSAFLUSH and tcflush throw input away.
    pair.type("gone\n");
    pair.arrived(5);
    termios t;
    CHECK_OK(tcgetattr(pair.slave, &t));
    CHECK_OK(tcsetattr(pair.slave, TCSAFLUSH, &t));
    CHECK_ERRNO(read(pair.slave, buffer, sizeof buffer), EAGAIN);
    pair.type("gone\n");
    pair.arrived(5);
    CHECK_OK(tcflush(pair.slave, TCIFLUSH));
    CHECK_ERRNO(read(pair.slave, buffer, sizeof buffer), EAGAIN);
    pair.type("pushed\n");
    pair.arrived(7);
    CHECK_EQ(read(pair.slave, buffer, 3), 3);
    CHECK_EQ(read(pair.slave, buffer + 3, 13), 4);
    CHECK_EQ(memcmp(buffer, "pushed\n", 7), 0);
}

/// Reads that wait for bytes and for time (termios(3), "Canonical and noncanonical mode").
void timed_reads() {
    Pair pair;
    auto raw = [&](unsigned char least, unsigned char tenths) {
        pair.change([&](termios& t) { cfmakeraw(&t), t.c_cc[VMIN] = least, t.c_cc[VTIME] = tenths; });
    };
    auto now = [] {
        timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        return time.tv_sec * 1000 + time.tv_nsec / 1000000;
    };
    char buffer[16];
    raw(0, 0);
    CHECK_EQ(read(pair.slave, buffer, sizeof buffer), 0);
    raw(0, 2);
    const long begin = now();
    CHECK_EQ(read(pair.slave, buffer, sizeof buffer), 0);
    CHECK_GE(now() - begin, 150);
    raw(4, 0);
    const pid_t child = fork();
    if (child == 0) {
        char bytes[16];
        _exit(read(pair.slave, bytes, sizeof bytes) == 5 ? 0 : 1);
    }
    wait_asleep(child);
    pair.type("12");
    wait_asleep(child);
    pair.type("345");
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(status == 0 || status == 1 << 8); // woken by the fourth byte already
    // The least asked for is no more than what is asked for.
    pair.change([](termios& t) { t.c_cc[VMIN] = 10; });
    pair.type("ab");
    CHECK_GE(read(pair.slave, buffer, 2), 1);
}

void hanging_up() {
    Pair pair;
    CHECK_EQ(write(pair.slave, "rest", 4), 4);
    close(pair.slave);
    pollfd request = {pair.master, POLLIN, 0};
    CHECK_EQ(poll(&request, 1, 5000), 1);
    CHECK(request.revents & POLLHUP);
    char buffer[16];
    CHECK_EQ(read(pair.master, buffer, sizeof buffer), 4);
    CHECK_ERRNO(read(pair.master, buffer, sizeof buffer), EIO);
    pair.slave = open(pair.name, O_RDWR | O_NOCTTY); // and lives again
    CHECK_GE(pair.slave, 0);
    request.revents = 0;
    CHECK_EQ(poll(&request, 1, 0), 0);
    pair.type("again\n");
    expect(__LINE__, pair.line(), "again\n");
    // A reader that sleeps at the slave wakes when the master goes.
    const pid_t child = fork();
    if (child == 0) {
        close(pair.master);
        char byte;
        _exit(read(pair.slave, &byte, 1) <= 0 ? 0 : 1); // EIO, or 0 when the hang-up is complete by then
    }
    wait_asleep(child);
    close(pair.master);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_ERRNO(ioctl(pair.slave, TIOCGWINSZ, buffer), EIO);
    pair.master = open("/dev/null", O_RDWR);
}

/// A size that doesn't change is no news.
std::atomic<int>* changes;

void window_size() {
    changes = shared<std::atomic<int>>();
    auto* ready = shared<std::atomic<bool>>();
    Pair pair;
    const pid_t child = fork();
    if (child == 0) {
        setsid();
        ioctl(pair.slave, TIOCSCTTY, 0);
        handle(SIGWINCH, [](int) { ++*changes; });
        *ready = true;
        for (;;) pause();
    }
    CHECK(eventually([&] { return ready->load(); }));
    for (unsigned short rows : {24, 24, 25, 25, 25, 26}) {
        const winsize size = {rows, 80, 1, 2};
        CHECK_OK(ioctl(pair.master, TIOCSWINSZ, &size));
        CHECK(eventually([&] { return *changes >= rows - 23; }));
    }
    CHECK_EQ(changes->load(), 3);
    winsize size = {};
    CHECK_OK(ioctl(pair.slave, TIOCGWINSZ, &size));
    CHECK_EQ(size.ws_row, 26);
    CHECK_EQ(size.ws_ypixel, 2);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
}

// What a master is asked about job control is done to its terminal, taking it as the controlling one included.
void control_by_master() {
    Pair pair;
    const int status = in_child([&] {
        CHECK_ERRNO(ioctl(pair.master, TIOCSCTTY, 0), EPERM); // no session leader
        setsid();
        pid_t id = -1;
        CHECK_ERRNO(ioctl(pair.master, TIOCGSID, &id), ENOTTY);
        CHECK_OK(ioctl(pair.master, TIOCSCTTY, 0));
        CHECK_OK(ioctl(pair.master, TIOCSCTTY, 0)); // has it already
        for (const int end : {pair.master, pair.slave}) {
            CHECK_OK(ioctl(end, TIOCGSID, &id));
            CHECK_EQ(id, getpid());
            CHECK_EQ(tcgetpgrp(end), getpid());
        }
        CHECK_OK(tcsetpgrp(pair.master, getpid()));
        const int own = open("/dev/tty", O_RDWR);
        CHECK_GE(own, 0);
        close(own);
        CHECK_ERRNO(ioctl(pair.master, TIOCNOTTY, 0), ENOTTY); // that is nobody's controlling terminal
        CHECK_OK(ioctl(pair.slave, TIOCNOTTY, 0));
        CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    });
    CHECK_EQ(status, 0);
}

// Who may not read it takes no terminal, unless it is privileged; a master opened for nothing else is readable.
void control_by_rights() {
    const int status = in_child([] {
        const int master = open("/dev/ptmx", O_RDONLY | O_NOCTTY), writer = open("/dev/ptmx", O_WRONLY | O_NOCTTY);
        REQUIRE(master >= 0 && writer >= 0);
        setsid();
        CHECK_OK(setresuid(65534, 65534, 65534));
        CHECK_ERRNO(ioctl(writer, TIOCSCTTY, 0), EPERM);
        CHECK_OK(ioctl(master, TIOCSCTTY, 0));
        CHECK_ERRNO(ioctl(writer, TIOCSCTTY, 0), EPERM); // one is enough
    });
    CHECK_EQ(status, 0);
}

} // namespace

int main() {
    signal(SIGHUP, SIG_IGN);
    opening();
    defaults();
    packet_mode();
    input_translation();
    echo_modes();
    output_translation();
    signal_characters();
    flow_control();
    waiting_input();
    timed_reads();
    hanging_up();
    window_size();
    control_by_master();
    control_by_rights();
    return result();
}
