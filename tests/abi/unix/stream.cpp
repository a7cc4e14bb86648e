// Connected streams: bytes, ends, readiness, blocking and its interruption (unix(7), socket(7), socketpair(2)).
#include <csignal>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "asleep.hpp"
#include "child.hpp"
#include "sockets.hpp"

using namespace check;

static volatile int signals;
static void count(int) { signals = signals + 1; }

static void what_it_is() {
    int fds[2];
    CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM, 7, fds), EPROTONOSUPPORT);
    CHECK_ERRNO(socketpair(AF_UNIX, SOCK_RDM, 0, fds), ESOCKTNOSUPPORT);
    CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM | 0x100, 0, fds), EINVAL);
    CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM, 0, (int*)8), EFAULT);
    CHECK_ERRNO(socket(-1, SOCK_STREAM, 0), EAFNOSUPPORT);
    CHECK_ERRNO(socket(1000, SOCK_STREAM, 0), EAFNOSUPPORT);
    CHECK_ERRNO(socket(AF_UNIX, 14, 0), EINVAL);
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 1, fds));
    CHECK_EQ(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(fds[1], F_GETFL), O_RDWR | O_NONBLOCK);
    struct stat status;
    CHECK_OK(fstat(fds[0], &status));
    CHECK_EQ(status.st_mode, mode_t(S_IFSOCK | 0777));
    char path[64], link[64] = {}, wanted[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fds[0]);
    CHECK(readlink(path, link, sizeof link - 1) > 0);
    snprintf(wanted, sizeof wanted, "socket:[%lu]", (unsigned long)status.st_ino);
    CHECK_STREQ(link, wanted);
    CHECK_ERRNO(open(path, O_RDWR), ENXIO);
    CHECK_ERRNO(lseek(fds[0], 0, SEEK_SET), ESPIPE);
    char byte;
    CHECK_ERRNO(pread(fds[0], &byte, 1, 0), ESPIPE);
    CHECK_EQ(int_option(fds[0], SO_TYPE), SOCK_STREAM);
    CHECK_EQ(int_option(fds[0], SO_DOMAIN), AF_UNIX);
    CHECK_EQ(int_option(fds[0], SO_PROTOCOL), 0);
    CHECK_EQ(int_option(fds[0], SO_ACCEPTCONN), 0);
    CHECK_EQ(int_option(fds[0], SO_ERROR), 0);
    close(fds[0]);
    close(fds[1]);
    int pipes[2];
    CHECK_OK(pipe(pipes));
    CHECK_ERRNO(send(pipes[1], "x", 1, 0), ENOTSOCK);
    CHECK_ERRNO(shutdown(pipes[1], SHUT_RD), ENOTSOCK);
    CHECK_ERRNO(send(-1, "x", 1, 0), EBADF);
    close(pipes[0]);
    close(pipes[1]);
}

static void bytes() {
    SocketPair pair;
    char text[16] = {};
    CHECK_EQ(write(pair[0], "hello", 5), 5);
    CHECK_EQ(write(pair[0], " you", 4), 4);
    int left = 0;
    CHECK_OK(ioctl(pair[1], FIONREAD, &left));
    CHECK_EQ(left, 9);
    CHECK_EQ(recv(pair[1], text, 16, MSG_PEEK), 9);
    CHECK_EQ(read(pair[1], text, 3), 3);
    CHECK_EQ(memcmp(text, "hel", 3), 0);
    CHECK_EQ(read(pair[1], text, 16), 6);
    CHECK_EQ(memcmp(text, "lo you", 6), 0);
    // Nothing is left, on neither side.
    CHECK_ERRNO(recv(pair[1], text, 16, MSG_DONTWAIT), EAGAIN);
    CHECK_ERRNO(recv(pair[0], text, 16, MSG_DONTWAIT), EAGAIN);
    // The other way, by vectors.
    char one[3], two[4];
    iovec out[2] = {{(void*)"abc", 3}, {(void*)"defg", 4}}, in[2] = {{one, 3}, {two, 4}};
    CHECK_EQ(writev(pair[1], out, 2), 7);
    CHECK_EQ(readv(pair[0], in, 2), 7);
    CHECK_EQ(memcmp(two, "defg", 4), 0);
    // No bytes: no end.
    CHECK_EQ(write(pair[0], "", 0), 0);
    CHECK_EQ(read(pair[1], text, 0), 0);
    CHECK_ERRNO(recv(pair[1], text, 16, MSG_DONTWAIT), EAGAIN);
    // Bad memory leaves the bytes where they are.
    CHECK_EQ(write(pair[0], "xyz", 3), 3);
    CHECK_ERRNO(read(pair[1], (void*)8, 3), EFAULT);
    CHECK_ERRNO(write(pair[0], (void*)8, 3), EFAULT);
    CHECK_EQ(read(pair[1], text, 16), 3);
    CHECK_ERRNO(send(pair[0], "x", 1, MSG_OOB) == 1 ? (errno = EOPNOTSUPP, -1) : -1, EOPNOTSUPP);
}

static void large() {
    // More than fits: a child reads what the parent writes.
    constexpr size_t size = 3 << 20;
    SocketPair pair;
    auto* data = static_cast<unsigned char*>(malloc(size));
    for (size_t i = 0; i < size; ++i) data[i] = (unsigned char)(i * 7 + i / 251);
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        pair.close_one(0);
        auto* got = static_cast<unsigned char*>(malloc(size));
        size_t have = 0;
        for (size_t step = 1;; step = step * 5 % 70001 + 1) {
            const ssize_t n = read(pair[1], got + have, step < size - have ? step : size - have);
            if (n <= 0) break;
            have += size_t(n);
        }
        _exit(have == size && memcmp(got, data, size) == 0 ? 0 : 1);
    }
    pair.close_one(1);
    CHECK_EQ(write(pair[0], data, size), ssize_t(size));
    pair.close_one(0);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    free(data);
}

static void full() {
    SocketPair pair;
    nonblocking(pair[0]);
    CHECK_EQ(ready(pair[0]), POLLOUT);
    size_t small = 0;
    while (write(pair[0], "x", 1) == 1) ++small;
    CHECK_ERRNO(write(pair[0], "x", 1), EAGAIN);
    CHECK_EQ(small, size_t(278)); // of 212992 bytes, what one byte takes of it on Linux
    CHECK_EQ(ready(pair[0]), 0);
    int queued = 0;
    CHECK_OK(ioctl(pair[0], TIOCOUTQ, &queued));
    CHECK(queued >= 212992);
    char text[4096];
    // A little room isn't enough for poll; most of it must be free.
    CHECK_EQ(read(pair[1], text, 100), 100);
    CHECK_EQ(ready(pair[0]), 0);
    CHECK_EQ(write(pair[0], "x", 1), 1);
    CHECK_EQ(read(pair[1], text, 4096), 179);
    CHECK_EQ(ready(pair[0]), POLLOUT);
    // A large write takes what fits.
    static char much[1 << 20];
    const ssize_t went = write(pair[0], much, sizeof much);
    CHECK(went > 100000 && went < 300000);
    CHECK_ERRNO(write(pair[0], much, 10), EAGAIN);
    CHECK_ERRNO(send(pair[0], much, 10, MSG_DONTWAIT), EAGAIN);
}

static void ends() {
    handle(SIGPIPE, count);
    char text[8];
    {
        SocketPair pair;
        CHECK_EQ(write(pair[0], "last", 4), 4);
        pair.close_one(0);
        CHECK_EQ(ready(pair[1]), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
        CHECK_EQ(read(pair[1], text, 8), 4);
        CHECK_EQ(read(pair[1], text, 8), 0);
        CHECK_EQ(read(pair[1], text, 8), 0);
        signals = 0;
        CHECK_ERRNO(write(pair[1], "x", 1), EPIPE);
        CHECK_EQ(signals, 1);
        CHECK_ERRNO(send(pair[1], "x", 1, MSG_NOSIGNAL), EPIPE);
        CHECK_EQ(signals, 1);
    }
    {
        // What the other side never read is an error here, once.
        SocketPair pair;
        CHECK_EQ(write(pair[1], "lost", 4), 4);
        CHECK_EQ(write(pair[0], "ok", 2), 2);
        pair.close_one(0);
        CHECK_EQ(ready(pair[1]), POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR);
        CHECK_EQ(read(pair[1], text, 8), 2);
        CHECK_ERRNO(read(pair[1], text, 8), ECONNRESET);
        CHECK_EQ(read(pair[1], text, 8), 0);
        CHECK_EQ(int_option(pair[1], SO_ERROR), 0);
    }
    {
        SocketPair pair;
        CHECK_EQ(write(pair[1], "lost", 4), 4);
        pair.close_one(0);
        CHECK_EQ(int_option(pair[1], SO_ERROR), ECONNRESET);
        CHECK_EQ(read(pair[1], text, 8), 0);
    }
    {
        SocketPair pair;
        CHECK_ERRNO(shutdown(pair[0], 3), EINVAL);
        CHECK_ERRNO(shutdown(pair[0], -1), EINVAL);
        CHECK_EQ(write(pair[0], "rest", 4), 4);
        CHECK_OK(shutdown(pair[0], SHUT_WR));
        CHECK_EQ(ready(pair[1]), POLLIN | POLLOUT | POLLRDHUP);
        CHECK_EQ(ready(pair[0]), POLLOUT);
        CHECK_ERRNO(send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
        CHECK_EQ(read(pair[1], text, 8), 4);
        CHECK_EQ(read(pair[1], text, 8), 0);
        CHECK_EQ(write(pair[1], "back", 4), 4);
        CHECK_EQ(read(pair[0], text, 8), 4);
        CHECK_OK(shutdown(pair[1], SHUT_WR));
        CHECK_EQ(ready(pair[0]), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
    }
    {
        SocketPair pair;
        CHECK_EQ(write(pair[1], "there", 5), 5);
        CHECK_OK(shutdown(pair[0], SHUT_RD));
        CHECK_ERRNO(send(pair[1], "x", 1, MSG_NOSIGNAL), EPIPE);
        CHECK_EQ(read(pair[0], text, 8), 5);
        CHECK_EQ(read(pair[0], text, 8), 0);
        CHECK_EQ(write(pair[0], "still", 5), 5);
        CHECK_EQ(read(pair[1], text, 8), 5);
    }
    signal(SIGPIPE, SIG_DFL);
}

static void options() {
    SocketPair pair;
    int value = 0;
    socklen_t length = sizeof value;
    CHECK_EQ(int_option(pair[0], SO_SNDBUF), 212992);
    CHECK_EQ(int_option(pair[0], SO_RCVBUF), 212992);
    CHECK_OK(set_option(pair[0], SO_SNDBUF, 10000));
    CHECK_EQ(int_option(pair[0], SO_SNDBUF), 20000);
    CHECK_OK(set_option(pair[0], SO_SNDBUF, 1));
    CHECK_EQ(int_option(pair[0], SO_SNDBUF), 4608);
    CHECK_OK(set_option(pair[0], SO_RCVBUF, 1));
    CHECK_EQ(int_option(pair[0], SO_RCVBUF), 2304);
    CHECK_OK(set_option(pair[0], SO_SNDBUF, 1 << 30));
    int most = 0; // which newer kernels set higher
    FILE* file = fopen("/proc/sys/net/core/wmem_max", "r");
    CHECK(file && fscanf(file, "%d", &most) == 1);
    fclose(file);
    CHECK_EQ(int_option(pair[0], SO_SNDBUF), 2 * most);
    CHECK_OK(set_option(pair[0], SO_SNDBUFFORCE, 1 << 20));
    CHECK_EQ(int_option(pair[0], SO_SNDBUF), 2 << 20);
    CHECK_OK(set_option(pair[0], SO_RCVBUFFORCE, 1 << 20));
    CHECK_EQ(int_option(pair[0], SO_RCVBUF), 2 << 20);
    CHECK_ERRNO(set_option(pair[0], SO_TYPE, 1), ENOPROTOOPT);
    CHECK_ERRNO(set_option(pair[0], SO_ERROR, 1), ENOPROTOOPT);
    CHECK_ERRNO(set_option(pair[0], 9999, 1), ENOPROTOOPT);
    CHECK_ERRNO(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &value, 3), EINVAL);
    CHECK_ERRNO(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &value, socklen_t(-1)), EINVAL);
    CHECK_ERRNO(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, (void*)8, 4), EFAULT);
    CHECK_ERRNO(setsockopt(pair[0], 6, 1, &value, sizeof value), EOPNOTSUPP);
    CHECK_ERRNO(getsockopt(pair[0], 6, 1, &value, &length), EOPNOTSUPP);
    CHECK_ERRNO(getsockopt(pair[0], SOL_SOCKET, 9999, &value, &length), ENOPROTOOPT);
    length = socklen_t(-1);
    CHECK_ERRNO(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &value, &length), EINVAL);
    length = 2;
    value = -1;
    CHECK_OK(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &value, &length));
    CHECK_EQ(length, 2u);
    length = 100;
    CHECK_OK(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &value, &length));
    CHECK_EQ(length, 4u);
    CHECK_OK(set_option(pair[0], SO_KEEPALIVE, 5));
    CHECK_EQ(int_option(pair[0], SO_KEEPALIVE), 1);
    CHECK_EQ(int_option(pair[0], SO_REUSEADDR), 0);
    linger wait = {1, 7}, shown = {};
    length = sizeof shown;
    CHECK_OK(setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &wait, sizeof wait));
    CHECK_OK(getsockopt(pair[0], SOL_SOCKET, SO_LINGER, &shown, &length));
    CHECK(shown.l_onoff == 1 && shown.l_linger == 7);
    // An unprivileged process may not force.
    run_in_child([&] {
        CHECK_OK(setuid(65534));
        CHECK_ERRNO(set_option(pair[0], SO_SNDBUFFORCE, 1 << 20), EPERM);
        CHECK_ERRNO(set_option(pair[0], SO_RCVBUFFORCE, 1 << 20), EPERM);
    });
}

static double now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return double(time.tv_sec) + double(time.tv_nsec) / 1e9;
}

static void timeouts() {
    SocketPair pair;
    timeval time = {0, 100000}, shown = {};
    socklen_t length = sizeof shown;
    CHECK_OK(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    CHECK_OK(getsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &shown, &length));
    CHECK(shown.tv_sec == 0 && shown.tv_usec == 100000);
    char byte;
    double begin = now();
    CHECK_ERRNO(read(pair[0], &byte, 1), EAGAIN);
    CHECK_GE(now() - begin, 0.09);
    CHECK_OK(setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time));
    static char much[1 << 20];
    begin = now();
    CHECK(write(pair[0], much, sizeof much) > 100000); // what fits
    CHECK_GE(now() - begin, 0.09);
    CHECK_ERRNO(write(pair[0], much, 1), EAGAIN);
    time = {0, 1000000};
    CHECK_ERRNO(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time), EDOM);
    time = {-1, 0};
    CHECK_OK(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    CHECK_ERRNO(read(pair[0], &byte, 1), EAGAIN);
    CHECK_ERRNO(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time - 1), EINVAL);
}

// A read that sleeps when a signal comes; the handler's flags and a time-out decide what becomes of it.
static void interrupted(int flags, bool has_timeout, int wanted) {
    SocketPair pair;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        failures = 0;
        pair.close_one(0);
        handle(SIGUSR1, count, flags);
        signals = 0;
        const timeval time = {100, 0};
        if (has_timeout) CHECK_OK(setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
        char byte = 0;
        if (wanted)
            CHECK_ERRNO(read(pair[1], &byte, 1), wanted);
        else
            CHECK_EQ(read(pair[1], &byte, 1), 1);
        CHECK_EQ(signals, 1);
        _exit(result());
    }
    CHECK(wait_asleep(child));
    CHECK_OK(kill(child, SIGUSR1));
    if (!wanted) {
        CHECK(wait_asleep(child));
        CHECK_EQ(write(pair[0], "x", 1), 1);
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

static void waiting_for_all() {
    SocketPair pair;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        failures = 0;
        pair.close_one(0);
        char text[10];
        CHECK_EQ(recv(pair[1], text, 10, MSG_WAITALL), 10);
        CHECK_EQ(memcmp(text, "aaaaabbbbb", 10), 0);
        const int low = 4;
        CHECK_OK(setsockopt(pair[1], SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low));
        CHECK_EQ(read(pair[1], text, 10), 5);
        // The end comes before all is there.
        CHECK_EQ(recv(pair[1], text, 10, MSG_WAITALL), 3);
        _exit(result());
    }
    pair.close_one(1);
    CHECK_EQ(write(pair[0], "aaaaa", 5), 5);
    CHECK(wait_asleep(child));
    CHECK_EQ(write(pair[0], "bbbbb", 5), 5);
    CHECK(wait_asleep(child));
    CHECK_EQ(write(pair[0], "ccc", 3), 3);
    CHECK(wait_asleep(child));
    CHECK_EQ(write(pair[0], "dd", 2), 2);
    CHECK(wait_asleep(child));
    CHECK_EQ(write(pair[0], "eee", 3), 3);
    pair.close_one(0);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

static void peeking() {
    SocketPair pair;
    char text[16] = {};
    CHECK_EQ(int_option(pair[1], SO_PEEK_OFF), -1);
    CHECK_OK(set_option(pair[1], SO_PEEK_OFF, 2));
    CHECK_EQ(write(pair[0], "abcd", 4), 4);
    CHECK_EQ(write(pair[0], "efgh", 4), 4);
    CHECK_EQ(recv(pair[1], text, 3, MSG_PEEK), 3);
    CHECK_EQ(memcmp(text, "cde", 3), 0);
    CHECK_EQ(recv(pair[1], text, 2, MSG_PEEK), 2);
    CHECK_EQ(memcmp(text, "fg", 2), 0);
    CHECK_EQ(int_option(pair[1], SO_PEEK_OFF), 7);
    CHECK_OK(set_option(pair[1], SO_PEEK_OFF, -1));
    CHECK_EQ(recv(pair[1], text, 16, MSG_PEEK), 8);
    CHECK_EQ(read(pair[1], text, 16), 8);
}

static void edge_triggered() {
    SocketPair pair;
    const int epoll = epoll_create1(0);
    epoll_event event = {EPOLLIN | EPOLLET, {}}, got;
    CHECK_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, pair[1], &event));
    CHECK_EQ(epoll_wait(epoll, &got, 1, 0), 0);
    CHECK_EQ(write(pair[0], "ab", 2), 2);
    CHECK_EQ(epoll_wait(epoll, &got, 1, 0), 1);
    CHECK_EQ(epoll_wait(epoll, &got, 1, 0), 0);
    // Each further message is told, though the first was not read.
    CHECK_EQ(write(pair[0], "c", 1), 1);
    CHECK_EQ(epoll_wait(epoll, &got, 1, 0), 1);
    pair.close_one(0);
    CHECK_EQ(epoll_wait(epoll, &got, 1, 0), 1);
    CHECK_EQ(got.events, unsigned(EPOLLIN | EPOLLHUP));
    close(epoll);
}

int main() {
    what_it_is();
    bytes();
    large();
    full();
    ends();
    options();
    timeouts();
    interrupted(0, false, EINTR);
    interrupted(SA_RESTART, false, 0);
    interrupted(SA_RESTART, true, EINTR);
    waiting_for_all();
    peeking();
    edge_triggered();
    return result();
}
